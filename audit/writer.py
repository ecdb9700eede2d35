"""The group writer: one thread of each process appends what all its callers wait for (D7, V8).

While one batch commits the next one gathers, so that many events share one commit and nobody
waits for company. Every caller is woken by the commit of its own events.
"""

import logging
import os
import threading
from asyncio import AbstractEventLoop, get_running_loop
from asyncio import Future as AsyncFuture
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import cast

from django.db import Error, InterfaceError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from audit import chain
from audit.rows import Row

logger = logging.getLogger(__name__)

MAX_WAITING_ROWS = 10_000
MAX_BATCH_ROWS = 1_000
STATEMENT_SECONDS = 20


class AuditUnavailableError(RuntimeError):
    """The event is not known to be stored: do not go on (V8)."""


class _Job:
    """Rows of one commit, and the caller to wake: a thread, or a task on a loop."""

    __slots__ = ("future", "loop", "rows")

    def __init__(self, rows: Sequence[Row], loop: AbstractEventLoop | None) -> None:
        self.rows = rows
        self.loop = loop
        self.future: Future[None] | AsyncFuture[None] = loop.create_future() if loop else Future()

    def finish(self, cause: Exception | None) -> None:
        """Wake the caller, unless it has stopped waiting."""
        if self.future.done():
            return
        if cause:
            failure = AuditUnavailableError("the audit trail cannot be written")
            failure.__cause__ = cause
            self.future.set_exception(failure)
        else:
            self.future.set_result(None)


class GroupWriter:
    """A bounded queue and the thread that empties it."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._waiting_rows = 0
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self._thread.start()

    def submit(self, job: _Job) -> None:
        """Queue rows for one commit. Raises AuditUnavailableError when too many wait already."""
        with self._wake:
            if self._waiting_rows + len(job.rows) > MAX_WAITING_ROWS:
                raise AuditUnavailableError("too many events wait to be stored")
            self._waiting_rows += len(job.rows)
            self._jobs.append(job)
            self._wake.notify()

    def _run(self) -> None:
        connection = chain.own_connection(statement_seconds=STATEMENT_SECONDS)
        for batch in self._batches():
            _write(connection, batch)

    def _batches(self) -> Iterator[list[_Job]]:
        while True:
            with self._wake:
                while not self._jobs:
                    self._wake.wait()
                batch = [self._jobs.popleft()]
                size = len(batch[0].rows)
                while self._jobs and size + len(self._jobs[0].rows) <= MAX_BATCH_ROWS:
                    batch.append(self._jobs.popleft())
                    size += len(batch[-1].rows)
                self._waiting_rows -= size
            yield batch


def _write(connection: BaseDatabaseWrapper, batch: list[_Job]) -> None:
    """Store a batch and wake its callers; one bad row fails its own caller only."""
    try:
        chain.append_and_commit(connection, [row for job in batch for row in job.rows])
    except (OperationalError, InterfaceError) as error:
        # The connection may be lost, perhaps after the commit: trying again could store it twice.
        logger.exception("the audit trail cannot be written")
        _close(connection)
        _wake(batch, error)
    except Exception as error:  # noqa: BLE001 (the thread must outlive any error)
        if len(batch) > 1:
            for job in batch:
                _write(connection, [job])
        else:
            logger.error("an audit event cannot be written: %s", type(error).__name__)
            _wake(batch, error)
    else:
        _wake(batch, None)


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
    job = _Job(rows, None)
    _this_process().submit(job)
    cast("Future[None]", job.future).result()


async def awrite(rows: Sequence[Row]) -> None:
    """`write` for a task: its loop goes on meanwhile.

    A caller that is cancelled takes nothing back: its rows are stored all the same.
    """
    job = _Job(rows, get_running_loop())
    _this_process().submit(job)
    await cast("AsyncFuture[None]", job.future)


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
