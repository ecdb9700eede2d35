"""The tenant setting of a PostgreSQL session, the second wall behind the managers (design D2).

Row-level security policies read `app.tenant`. It is a session setting, so that no transaction has
to span a request, and it is made when a statement is about to run for another tenant than the one
before: work for one tenant after the other on a connection that stays costs no round trip. Other
databases have no such wall; there these functions do nothing.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import Connection
from psycopg.pq import TransactionStatus

Bound = Callable[[], UUID | None]

_SET = "SELECT set_config('app.tenant', %s, false)"

#: What each session has set; None where it cannot be told, because a transaction may take it back.
#: A session that is not here was never told: it sees nothing.
_known: "WeakKeyDictionary[Connection[Any], str | None]" = WeakKeyDictionary()


def follow(connection: BaseDatabaseWrapper, bound: Bound) -> None:
    """Have a new session see the bound tenant, also when `bound` names another one later on.

    A connection that its maker keeps for himself stays with the tenant that it began with.
    """
    if connection.vendor != "postgresql":
        return
    _apply(connection.connection, bound())
    if not any(connection is one for one in connections.all(initialized_only=True)):
        return
    if not any(isinstance(one, _Follower) for one in connection.execute_wrappers):
        connection.execute_wrappers.insert(0, _Follower(bound))


class _Follower:
    """Runs before every statement of a thread's connection."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    def __call__(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        _apply(context["connection"].connection, self._bound())
        return execute(sql, params, many, context)


def _apply(raw: "Connection[Any]", tenant_id: UUID | None) -> None:
    """Set the tenant on one session, unless it is set.

    A setting made inside a transaction ends with a rollback, even of a savepoint: it is made
    before the transaction begins, else again for each of its statements. A transaction that has
    failed accepts no statement, so there is nothing to set.
    """
    wanted = str(tenant_id) if tenant_id else ""
    if _known.get(raw, "") == wanted:
        return
    status = raw.info.transaction_status
    if status is TransactionStatus.INERROR:
        return
    if status is TransactionStatus.IDLE and not raw.autocommit:
        raw.autocommit = True
        try:
            raw.execute(_SET, [wanted])
        finally:
            raw.autocommit = False
    else:
        raw.execute(_SET, [wanted])
    _known[raw] = wanted if status is TransactionStatus.IDLE else None


def clear_pooled(raw: "Connection[Any]") -> None:
    """Forget the tenant when a connection goes back to the pool (the pool's `reset` callback)."""
    if _known.get(raw, "") == "":
        return
    raw.execute(_SET, [""])
    raw.commit()
    _known[raw] = ""
