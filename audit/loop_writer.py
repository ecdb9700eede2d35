"""The group writer of a web process's loop: events without a hand-over between threads (D7, V8).

It does what `audit.writer` does, on PostgreSQL and in the loop itself: while one batch commits the
next one gathers, and every caller is woken by the commit of its own events. Only a connection is
made in a thread. Where no loop writer was started (SQLite, commands, tasks) the thread serves.
"""

import asyncio
import logging
import threading
from asyncio import AbstractEventLoop, Future, TimerHandle
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import pq
from psycopg.errors import error_from_result

from audit import arrays, chain, failures, writer
from audit.rows import Row
from audit.writer import AuditUnavailableError

logger = logging.getLogger(__name__)

#: The server ends a statement after `writer.STATEMENT_SECONDS`; so long we wait for it to say so,
#: and for a connection.
ANSWER_SECONDS = writer.STATEMENT_SECONDS + 5

_NAME = b"audit_append"
_PLACES = ", ".join(f"${number + 1}" for number in range(len(Row._fields)))
_STATEMENT = f"SELECT audit_append({_PLACES})".encode()
_BINARY = [pq.Format.BINARY] * len(Row._fields)
_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)

_Job = tuple[Sequence[Row], "Future[None]"]


class LoopWriter:
    """A bounded queue, and the connection that the loop watches while a batch commits."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: deque[_Job] = deque()
        self._waiting_rows = 0
        self._batches: deque[list[_Job]] = deque()  # gathered, the first of them being written
        self._woken = 0
        self._is_busy = False
        self._gathering: TimerHandle | None = None
        self._deadline: TimerHandle | None = None
        self._connection: psycopg.Connection[Any] | None = None
        self._socket = -1  # kept: libpq forgets it when the server closes it
        self._results: list[pq.abc.PGresult] = []
        self._opening: asyncio.Task[None] | None = None
        self._is_second_try = False

    def submit(self, rows: Sequence[Row]) -> "Future[None]":
        """Queue rows for one commit. Raises AuditUnavailableError when too many wait already."""
        if self._waiting_rows + len(rows) > writer.MAX_WAITING_ROWS:
            raise AuditUnavailableError("too many events wait to be stored")
        done: Future[None] = self._loop.create_future()
        self._jobs.append((rows, done))
        self._waiting_rows += len(rows)
        if not self._is_busy:
            self._is_busy = True  # who runs in the same turn of the loop comes along
            self._loop.call_soon(self._gather)
        elif self._gathering and self._waiting_rows >= self._enough():
            self._gathering.cancel()
            self._gathering = None
            self._gather()
        return done

    def close(self) -> None:
        """Give the connection back; who still waits is told that nothing is known."""
        if self._opening:
            self._opening.cancel()
        self._disconnect()
        error = RuntimeError("the audit writer was closed")
        for batch in (*self._batches, list(self._jobs)):
            _finish(batch, error)
        self._batches.clear()
        self._jobs.clear()
        self._waiting_rows = 0

    def _enough(self) -> int:
        return min(self._woken, writer.MAX_BATCH_ROWS)

    def _next(self) -> None:
        """After a commit: those it woke may come again, which is worth a short wait (a crowd)."""
        if self._batches:
            self._start()
        elif self._woken >= writer.CROWD and self._waiting_rows < self._enough():
            self._gathering = self._loop.call_later(writer.COMPANY_SECONDS, self._gather)
        else:
            self._gather()

    def _gather(self) -> None:
        self._gathering = None
        if not self._jobs:
            self._is_busy, self._woken = False, 0
            return
        batch = [self._jobs.popleft()]
        size = len(batch[0][0])
        while self._jobs and size + len(self._jobs[0][0]) <= writer.MAX_BATCH_ROWS:
            batch.append(self._jobs.popleft())
            size += len(batch[-1][0])
        self._waiting_rows -= size
        self._batches.append(batch)
        self._start()

    def _start(self) -> None:
        """Send the first batch, on a connection that is made if there is none."""
        if self._connection is None:
            self._opening = self._loop.create_task(self._open())
            return
        rows = [row for job in self._batches[0] for row in job[0]]
        try:
            values = arrays.of(rows)
        except Exception as error:  # noqa: BLE001 (their caller is told, whatever it is)
            self._refused(error)
            return
        self._deadline = self._loop.call_later(ANSWER_SECONDS, self._too_late)
        try:
            self._connection.pgconn.send_query_prepared(_NAME, values, _BINARY)
            self._flush()
        except psycopg.Error as error:
            self._failed(error)

    async def _open(self) -> None:
        making = _Making()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._connection = await making.connection()
        except Exception as error:  # noqa: BLE001 (callers are told, whatever it is)
            self._failed(error)
            return
        finally:
            making.give_up()
        self._opening = None
        self._socket = self._connection.fileno()
        self._loop.add_reader(self._socket, self._readable)
        self._start()

    def _flush(self) -> None:
        """Send what the socket takes; the rest when it takes more. Raises psycopg.Error."""
        if self._connection is not None and self._connection.pgconn.flush():
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket)
        try:
            self._flush()
        except psycopg.Error as error:
            self._failed(error)

    def _readable(self) -> None:
        """The server's answer, or the end of its connection."""
        if self._connection is None:
            return
        connection = self._connection.pgconn
        try:
            connection.consume_input()
            while not connection.is_busy():
                result = connection.get_result()
                if result is None:
                    break
                self._results.append(result)
            else:
                return  # more is to come
        except psycopg.Error as error:
            self._failed(error)
            return
        if self._results:
            results, self._results = self._results, []
            self._answered(results)

    def _answered(self, results: "Sequence[pq.abc.PGresult]") -> None:
        """The statement is one result, and a commit that failed another behind it."""
        self._stop_clock()
        bad = next((result for result in results if result.status not in _GOOD), None)
        if bad is None:
            self._done(None)
            return
        error = error_from_result(bad)
        if failures.is_of_a_row(error):
            self._refused(error)
        elif failures.is_of_a_session(error) and not self._is_second_try:
            logger.warning("the audit trail is written in a new session", exc_info=error)
            self._disconnect()
            self._is_second_try = True
            self._start()
        else:
            self._failed(error)

    def _refused(self, error: Exception) -> None:
        """One bad row fails its own caller only."""
        self._is_second_try = False
        if len(self._batches[0]) > 1:
            self._batches.extendleft([job] for job in reversed(self._batches.popleft()))
            self._start()
        else:
            logger.error("an audit event cannot be written: %s", type(error).__name__)
            self._done(error)

    def _too_late(self) -> None:
        self._failed(TimeoutError("the database did not answer"))

    def _failed(self, error: Exception) -> None:
        """The connection may be lost, perhaps after the commit: trying again could store twice."""
        self._disconnect()
        if self._batches:
            logger.error("the audit trail cannot be written", exc_info=error)
            self._done(error)

    def _done(self, error: Exception | None) -> None:
        self._stop_clock()
        self._is_second_try = False
        batch = self._batches.popleft()
        _finish(batch, error)
        self._woken = len(batch)
        self._next()

    def _stop_clock(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _disconnect(self) -> None:
        """The next batch opens a new connection."""
        self._stop_clock()
        self._opening = None
        self._results = []
        connection, self._connection = self._connection, None
        if connection is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            connection.close()


class _Making:
    """A connection that a thread of its own makes: names and servers may be silent for long."""

    def __init__(self) -> None:
        self._made: psycopg.Connection[Any] | None = None  # not yet taken over
        self._is_given_up = False
        self._handing_over = threading.Lock()

    async def connection(self) -> "psycopg.Connection[Any]":
        """The connection, which is the caller's to close. Raises psycopg.Error."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="audit-connect")
        # Not `to_thread`: the connection is nobody's, so it must not follow the bound tenant.
        done = asyncio.get_running_loop().run_in_executor(thread, self._make)
        thread.shutdown(wait=False)
        made = await done
        self._made = None
        return made

    def give_up(self) -> None:
        """Close the connection, unless it was taken over, now or when it is made."""
        with self._handing_over:
            self._is_given_up = True
            made, self._made = self._made, None
        if made is not None:
            made.close()

    def _make(self) -> "psycopg.Connection[Any]":
        made = _connected()
        with self._handing_over:
            if not self._is_given_up:
                self._made = made
                return made
        made.close()
        return made


def _finish(batch: Sequence[_Job], error: Exception | None) -> None:
    """Wake the callers, but those who have stopped waiting."""
    for _, done in batch:
        if done.done():
            continue
        if error:
            done.set_exception(AuditUnavailableError.because(error))
        else:
            done.set_result(None)


def _connected() -> "psycopg.Connection[Any]":
    """A connection of its own, where the one statement is prepared. Raises psycopg.Error."""
    wrapper = chain.own_connection(statement_seconds=writer.STATEMENT_SECONDS)
    wrapper.connect()
    connection: psycopg.Connection[Any] = wrapper.connection
    prepared = connection.pgconn.prepare(_NAME, _STATEMENT)
    if prepared.status not in _GOOD:
        connection.close()
        raise error_from_result(prepared)
    connection.pgconn.nonblocking = 1
    return connection


_writers: dict[AbstractEventLoop, LoopWriter] = {}


def start() -> None:
    """From now on the running loop writes its events itself, where the database is PostgreSQL."""
    if connections[DEFAULT_DB_ALIAS].vendor == "postgresql":
        loop = asyncio.get_running_loop()
        _writers[loop] = LoopWriter(loop)


def stop() -> None:
    """The running loop's events go to the process's thread again."""
    if mine := _writers.pop(asyncio.get_running_loop(), None):
        mine.close()


async def awrite(rows: Sequence[Row]) -> None:
    """Store rows in one commit; returns when it is durable. Raises AuditUnavailableError.

    A caller that is cancelled takes nothing back: its rows are stored all the same.
    """
    mine = _writers.get(asyncio.get_running_loop())
    if mine is None:
        await writer.awrite(rows)
    else:
        await mine.submit(rows)
