"""The group writer: one thread of each process appends what all its callers wait for (D7, V8).

While one batch commits the next one gathers, so that many events share one commit. Every caller is
woken by the commit of its own events. A caller alone never waits for company; where many came at
once, the writer gives those it has just woken a moment to come again, since a commit costs as much
for one event as for many.
"""

import logging
import os
import sys
import threading
from asyncio import AbstractEventLoop, get_running_loop
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Self

from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from audit import chain, failures
from audit.rows import Row

logger = logging.getLogger(__name__)

MAX_WAITING_ROWS = 10_000
MAX_BATCH_ROWS = 1_000
STATEMENT_SECONDS = 20
#: So many callers in one commit are a crowd, whose next events are worth this short wait.
CROWD = 8
COMPANY_SECONDS = 0.002

_NEVER = sys.maxsize


class AuditUnavailableError(RuntimeError):
    """The event is not known to be stored: do not go on (V8)."""

    @classmethod
    def because(cls, cause: Exception) -> Self:
        """An error of the caller's own, with its cause."""
        error = cls("the audit trail cannot be written")
        error.__cause__ = cause
        return error


class _ThreadJob:
    """Rows of one commit, and the thread that waits for it."""

    __slots__ = ("cause", "done", "rows")
    loop = None

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.cause: Exception | None = None
        self.done = threading.Lock()  # the cheapest thing a thread can wait for
        self.done.acquire()

    def finish(self, cause: Exception | None) -> None:
        """Wake the caller."""
        self.cause = cause
        self.done.release()

    def wait(self) -> None:
        """Raises AuditUnavailableError."""
        self.done.acquire()
        if self.cause:
            raise AuditUnavailableError.because(self.cause)


class _TaskJob:
    """Rows of one commit, and the task that waits for it on its loop."""

    __slots__ = ("future", "loop", "rows")

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.loop = get_running_loop()
        self.future = self.loop.create_future()

    def finish(self, cause: Exception | None) -> None:
        """Wake the caller, unless it has stopped waiting; on its loop."""
        if self.future.done():
            return
        if cause:
            self.future.set_exception(AuditUnavailableError.because(cause))
        else:
            self.future.set_result(None)


_Job = _ThreadJob | _TaskJob


class GroupWriter:
    """A bounded queue and the thread that empties it."""

    def __init__(self) -> None:
        self._wake = threading.Condition(threading.Lock())
        self._jobs: deque[_Job] = deque()
        self._waiting_rows = 0
        self._enough = _NEVER  # the writer sleeps until so many rows wait
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self._thread.start()

    def submit(self, job: _Job) -> None:
        """Queue rows for one commit. Raises AuditUnavailableError when too many wait already."""
        with self._wake:
            if self._waiting_rows + len(job.rows) > MAX_WAITING_ROWS:
                raise AuditUnavailableError("too many events wait to be stored")
            self._waiting_rows += len(job.rows)
            self._jobs.append(job)
            if self._waiting_rows >= self._enough:
                self._enough = _NEVER
                self._wake.notify()

    def _run(self) -> None:
        connection = chain.own_connection(statement_seconds=STATEMENT_SECONDS)
        for batch in self._batches():
            _write(connection, batch)

    def _batches(self) -> Iterator[list[_Job]]:
        woken = 0
        while True:
            with self._wake:
                if woken >= CROWD:
                    self._sleep(min(self._waiting_rows + woken, MAX_BATCH_ROWS), COMPANY_SECONDS)
                self._sleep(1)
                batch = [self._jobs.popleft()]
                size = len(batch[0].rows)
                while self._jobs and size + len(self._jobs[0].rows) <= MAX_BATCH_ROWS:
                    batch.append(self._jobs.popleft())
                    size += len(batch[-1].rows)
                self._waiting_rows -= size
            yield batch
            woken = len(batch)

    def _sleep(self, enough: int, seconds: float | None = None) -> None:
        """Until so many rows wait, or for so long."""
        if self._waiting_rows < enough:
            self._enough = enough
            self._wake.wait_for(lambda: self._waiting_rows >= enough, seconds)
            self._enough = _NEVER


def _write(connection: BaseDatabaseWrapper, batch: list[_Job]) -> None:
    """Store a batch and wake its callers; one bad row fails its own caller only."""
    rows = [row for job in batch for row in job.rows]
    try:
        _append(connection, rows)
    except Exception as error:
        if not failures.is_of_a_row(error):
            logger.exception("the audit trail cannot be written")
            _close(connection)
            _wake(batch, error)
        elif len(batch) > 1:
            for job in batch:
                _write(connection, [job])
        else:
            logger.error("an audit event cannot be written: %s", type(error).__name__)
            _wake(batch, error)
    else:
        _wake(batch, None)


def _append(connection: BaseDatabaseWrapper, rows: Sequence[Row]) -> None:
    """In one commit; once more in a new session where the first could only refuse."""
    if chain.is_lost(connection):
        _close(connection)
    try:
        chain.append_and_commit(connection, rows)
    except Error as error:
        if not failures.is_of_a_session(error):
            raise
        logger.warning("the audit trail is written in a new session", exc_info=error)
        _close(connection)
        chain.append_and_commit(connection, rows)


def _wake(batch: list[_Job], cause: Exception | None) -> None:
    """Threads one by one, the tasks of a loop by one call into it."""
    by_loop: dict[AbstractEventLoop, list[_Job]] = {}
    for job in batch:
        if job.loop:
            by_loop.setdefault(job.loop, []).append(job)
        else:
            job.finish(cause)
    for loop, jobs in by_loop.items():
        # A loop that has ended has nobody left to wake.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_finish_all, jobs, cause)


def _finish_all(jobs: list[_Job], cause: Exception | None) -> None:
    for job in jobs:
        job.finish(cause)


def _close(connection: BaseDatabaseWrapper) -> None:
    """The next batch opens a new connection."""
    try:
        connection.close()
    except Error:
        connection.connection = None


_lock = threading.Lock()
_writer: GroupWriter | None = None


def write(rows: Sequence[Row]) -> None:
    """Store rows in one commit; returns when it is durable. Raises AuditUnavailableError."""
    job = _ThreadJob(rows)
    _this_process().submit(job)
    job.wait()


async def awrite(rows: Sequence[Row]) -> None:
    """`write` for a task: its loop goes on meanwhile.

    A caller that is cancelled takes nothing back: its rows are stored all the same.
    """
    job = _TaskJob(rows)
    _this_process().submit(job)
    await job.future


def _this_process() -> GroupWriter:
    global _writer
    if _writer is None:
        with _lock:
            if _writer is None:
                _writer = GroupWriter()
    return _writer


def _forget() -> None:
    """A forked process has no threads but its own: it starts its own writer."""
    global _lock, _writer
    _lock, _writer = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)
