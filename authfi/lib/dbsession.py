"""The tenant setting of a PostgreSQL session, the second wall behind the managers (design D2).

Row-level security policies read `app.tenant`. It is a session setting, so that no transaction has
to span a request. Other databases have no such wall; there these functions do nothing.
"""

from typing import Any
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import Connection
from psycopg.pq import TransactionStatus

_SET = "SELECT set_config('app.tenant', %s, false)"


def apply_everywhere(tenant_id: UUID | None) -> None:
    """Set the tenant on every connection this thread has open."""
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None:
            apply(connection, tenant_id)


def apply(connection: BaseDatabaseWrapper, tenant_id: UUID | None) -> None:
    """Set the tenant on one connection.

    A transaction that has failed accepts no statement; its rollback brings the former setting
    back by itself, because a setting made inside a transaction ends with it.
    """
    if connection.vendor != "postgresql":
        return
    raw: Connection[Any] = connection.connection
    if raw.info.transaction_status is TransactionStatus.INERROR:
        return
    raw.execute(_SET, [str(tenant_id) if tenant_id else ""])


def clear_pooled(raw: Connection[Any]) -> None:
    """Forget the tenant when a connection goes back to the pool (the pool's `reset` callback)."""
    raw.execute(_SET, [""])
    raw.commit()
