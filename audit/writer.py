"""The group writer: one thread of each process appends what all its callers wait for (D7, V8).

While one batch commits the next one gathers, so that many events share one commit and nobody
waits for company. Every caller is woken by the commit of its own events.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from django.db import Error, InterfaceError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from audit import chain

logger = logging.getLogger(__name__)

MAX_WAITING_ROWS = 10_000
MAX_BATCH_ROWS = 1_000


class AuditUnavailableError(RuntimeError):
    """The event is not known to be stored: do not go on (V8)."""


class _Job:
    __slots__ = ("future", "rows")

    def __init__(self, rows: Sequence[chain.Row]) -> None:
        self.rows = rows
        self.future: Future[None] = Future()
        # A caller that stops waiting takes nothing back: its event is stored all the same.
        self.future.set_running_or_notify_cancel()

    def fail(self, error: BaseException) -> None:
        failure = AuditUnavailableError("the audit trail cannot be written")
        failure.__cause__ = error
        self.future.set_exception(failure)


class GroupWriter:
    """A bounded queue and the thread that empties it."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._waiting_rows = 0
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self._thread.start()

    def submit(self, rows: Sequence[chain.Row]) -> Future[None]:
        """Queue rows for one commit. Raises AuditUnavailableError when too many wait already."""
        job = _Job(rows)
        with self._wake:
            if self._waiting_rows + len(rows) > MAX_WAITING_ROWS:
                raise AuditUnavailableError("too many events wait to be stored")
            self._waiting_rows += len(rows)
            self._jobs.append(job)
            self._wake.notify()
        return job.future

    def _run(self) -> None:
        connection = chain.own_connection()
        for batch in self._batches():
            _write(connection, batch)

    def _batches(self) -> Iterator[list[_Job]]:
        while True:
            with self._wake:
                while not self._jobs:
                    self._wake.wait()
                batch, size = [self._jobs.popleft()], 0
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
        for job in batch:
            job.fail(error)
    except Exception as error:  # noqa: BLE001 (the thread must outlive any error)
        if len(batch) > 1:
            for job in batch:
                _write(connection, [job])
        else:
            logger.error("an audit event cannot be written: %s", type(error).__name__)
            batch[0].fail(error)
    else:
        for job in batch:
            job.future.set_result(None)


def _close(connection: BaseDatabaseWrapper) -> None:
    """The next batch opens a new connection."""
    try:
        connection.close()
    except Error:
        connection.connection = None


_lock = threading.Lock()
_writer: GroupWriter | None = None


def submit(rows: Sequence[chain.Row]) -> Future[None]:
    """Queue rows with this process's writer. Raises AuditUnavailableError."""
    global _writer
    if _writer is None:
        with _lock:
            if _writer is None:
                _writer = GroupWriter()
    return _writer.submit(rows)


def _forget() -> None:
    """A forked process has no threads but its own: it starts its own writer."""
    global _lock, _writer
    _lock, _writer = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)
