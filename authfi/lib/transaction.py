"""Transactions that carry their audit events (design D7).

`transaction()` is used instead of a bare `atomic()`. Events deferred inside it are written by the
last statement of the outermost block, on the same connection: the change and its event are kept
or lost together. Events of a savepoint that was rolled back are dropped with it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db import transaction as django_transaction

Flush = Callable[[Sequence[Any]], None]


class BareTransactionError(RuntimeError):
    """Something was recorded inside a plain `atomic()`, where nothing would write it."""


@dataclass(slots=True)
class _Buffer:
    connection_id: int
    items: list[Any] = field(default_factory=list)


_buffer: ContextVar[_Buffer | None] = ContextVar("authfi_transaction", default=None)
_flush: list[Flush] = []


def register_flush(flush: Flush) -> None:
    """Name the function that writes deferred events; `audit` does so once, at start."""
    _flush[:] = [flush]


@contextmanager
def transaction() -> Iterator[None]:
    """Open a transaction, or a savepoint inside one, and write deferred events before it ends."""
    outer = _active()
    if outer is not None:
        yield from _savepoint(outer)
        return
    if in_transaction():
        raise BareTransactionError("lib.transaction inside a bare atomic(): use it for both")
    buffer = _Buffer(connection_id=id(connections[DEFAULT_DB_ALIAS]))
    token = _buffer.set(buffer)
    try:
        with django_transaction.atomic():
            yield
            if buffer.items:
                _flush[0](buffer.items)
    finally:
        _buffer.reset(token)


def _savepoint(buffer: _Buffer) -> Iterator[None]:
    kept = len(buffer.items)
    try:
        with django_transaction.atomic():
            yield
    except BaseException:
        del buffer.items[kept:]
        raise


def defer(items: Sequence[Any]) -> bool:
    """Keep events for the end of the open transaction; False when none is open.

    Raises BareTransactionError inside a plain `atomic()`.
    """
    buffer = _active()
    if buffer is not None:
        buffer.items.extend(items)
        return True
    if in_transaction():
        raise BareTransactionError("recorded inside a bare atomic(): use lib.transaction")
    return False


def in_transaction() -> bool:
    """True while this thread's connection has a transaction open."""
    return connections[DEFAULT_DB_ALIAS].in_atomic_block


def _active() -> _Buffer | None:
    """The buffer of this thread's connection; a context copied to another thread has none."""
    buffer = _buffer.get()
    if buffer is not None and buffer.connection_id == id(connections[DEFAULT_DB_ALIAS]):
        return buffer
    return None
