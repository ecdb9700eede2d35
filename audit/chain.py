"""The hash chain of each tenant: append to it and walk it (A5, A8; design D7).

A hash is the SHA-256 of label, tenant, number, previous hash and leaf (`audit.rows`). PostgreSQL
appends in its function `audit_append`; SQLite does the same steps here, in the same format.
"""

import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from audit import arrays
from audit.clock import Clock
from audit.rows import Row, leaf_digest, sqlite_time
from authfi.lib import tenancy
from authfi.lib.compiled import Write, write, write_in_one
from authfi.lib.tenancy import TenantRef
from authfi.lib.transaction import defer, transaction

_LABEL = b"authfi-audit-v1"
FIRST_PREV = bytes(32)
READ_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Break:
    """The first number of a chain that cannot be trusted, and why."""

    seq: int
    reason: str


class ChainBrokenError(RuntimeError):
    """A chain is not what was written."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(f"record {seq}: {reason}")
        self.found = Break(seq, reason)


def rfc3339(at: datetime) -> str:
    """UTC with milliseconds, as leaves and checkpoints hold it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def link_prefix(tenant_id: UUID) -> bytes:
    """What every hash of a tenant's chain begins with."""
    return len(_LABEL).to_bytes(2, "big") + _LABEL + tenant_id.bytes


def own_connection(*, statement_seconds: int = 0) -> BaseDatabaseWrapper:
    """A database connection outside the pool and outside any transaction; its maker closes it.

    On PostgreSQL a statement ends after `statement_seconds` (0: never), and a dead server is
    noticed; SQLite waits for its lock as long as its own timeout says.
    """
    connection = connections[DEFAULT_DB_ALIAS].copy()
    options = connection.settings_dict["OPTIONS"]
    options.pop("pool", None)
    if connection.vendor == "postgresql":
        options["connect_timeout"] = 5
        options["tcp_user_timeout"] = 20_000
        options["options"] = f"-c statement_timeout={statement_seconds}s"
    return connection


def is_lost(connection: BaseDatabaseWrapper) -> bool:
    """Whether the server has ended an idle connection: a word that nobody asked for is its last."""
    if connection.vendor != "postgresql" or connection.connection is None:
        return False
    idle = select.poll()
    try:
        idle.register(connection.connection, select.POLLIN)
    except psycopg.Error:
        return True
    return bool(idle.poll(0))


def flush(rows: Sequence[Row]) -> None:
    """Append inside the transaction that this thread has open: its last statement (D7)."""
    append(connections[DEFAULT_DB_ALIAS], rows)


def append_with(wanted: Write, rows: Sequence[Row]) -> bool:
    """Write what is wanted and append, in one commit of this thread's connection.

    False, and nothing was stored, where a change hit nothing. No transaction may be open.
    """
    if connections[DEFAULT_DB_ALIAS].vendor == "postgresql":
        return write_in_one(wanted, arrays.CALL, arrays.of(rows))
    with suppress(_HitNothingError), transaction():
        if not write(wanted):
            raise _HitNothingError
        defer(rows)
        return True
    return False


class _HitNothingError(Exception):
    """Takes a transaction back."""


def append_and_commit(connection: BaseDatabaseWrapper, rows: Sequence[Row]) -> None:
    """Append on a connection that has no transaction open, in one commit."""
    if connection.vendor == "postgresql":
        append(connection, rows)  # one statement commits by itself
        return
    with connection.cursor() as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        try:
            append(connection, rows)
            cursor.execute("COMMIT")
        except BaseException:
            cursor.execute("ROLLBACK")
            raise


def append(connection: BaseDatabaseWrapper, rows: Sequence[Row]) -> None:
    """Chain and store rows, in their order within each tenant."""
    if connection.vendor == "postgresql":
        _append_by_function(connection, rows)
        return
    for tenant_id, its_rows in groupby(sorted(rows, key=attrgetter("tenant_id")), lambda r: r[0]):
        _append_here(connection, tenant_id, list(its_rows))


def _append_by_function(connection: BaseDatabaseWrapper, rows: Sequence[Row]) -> None:
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(arrays.APPEND, arrays.of(rows))


_INSERT = (
    "INSERT INTO audit_event (tenant_id, id, at, code, outcome, actor_index, patient_index, "
    "client_id, request_id, details, leaf, seq, prev, hash) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_MOVE_HEAD = "UPDATE audit_head SET seq = %s, hash = %s WHERE tenant_id = %s"
_FIRST_HEAD = "INSERT INTO audit_head (seq, hash, tenant_id) VALUES (%s, %s, %s)"


def _append_here(connection: BaseDatabaseWrapper, tenant_id: UUID, rows: Sequence[Row]) -> None:
    """Each event, then the head: the triggers let neither go further than one step (A7)."""
    prefix = link_prefix(tenant_id)
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq, hash FROM audit_head WHERE tenant_id = %s", [tenant_id.hex])
        seq, head = cursor.fetchone() or (0, FIRST_PREV)
        for row in rows:
            seq, prev = seq + 1, head
            head = sha256(prefix + seq.to_bytes(8, "big") + prev + row.leaf).digest()
            event = (tenant_id.hex, row.id.hex(), sqlite_time(row.at), *row[3:], seq, prev, head)
            cursor.execute(_INSERT, event)
            cursor.execute(_MOVE_HEAD, [seq, head, tenant_id.hex])
            if not cursor.rowcount:
                cursor.execute(_FIRST_HEAD, [seq, head, tenant_id.hex])


def make_partitions() -> None:
    """Make this and the next three months' partitions where the trail is partitioned."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT audit_make_partitions()")


@contextmanager
def snapshot(tenant: TenantRef) -> Iterator[BaseDatabaseWrapper]:
    """A connection that sees one tenant's trail as it is now, however long reading it takes."""
    connection = own_connection()
    try:
        with tenancy.bind(tenant):
            connection.connect()
        is_postgres = connection.vendor == "postgresql"
        if not is_postgres:
            connection.connection.text_factory = _any_text
        with connection.cursor() as cursor:
            cursor.execute(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if is_postgres else "BEGIN"
            )
        yield connection
    finally:
        connection.close()


def _any_text(raw: bytes) -> str:
    """Text of SQLite even where it is none: a changed row must be readable to be named."""
    return raw.decode(errors="surrogateescape")


# Times leave the database as text with microseconds: milliseconds are stored, and a row that has
# more was changed. UUIDs leave it in their usual spelling. SQLite keeps what it is given: what is
# not text of the one form that is written leaves it as NULL.
_TIME = {
    "postgresql": "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')",
    "sqlite": "CASE WHEN typeof(at) = 'text' AND length(CAST(at AS BLOB)) IN (19, 26) "
    "AND substr(at, 11, 1) = ' ' THEN substr(at, 1, 10) || 'T' || substr(at, 12) "
    "|| CASE length(at) WHEN 19 THEN '.000000' ELSE '' END END",
}
_ID = {
    "postgresql": "id::text",
    "sqlite": "CASE WHEN typeof(id) = 'text' AND length(CAST(id AS BLOB)) = 32 "
    "THEN substr(id, 1, 8) || '-' || substr(id, 9, 4) || '-' || substr(id, 13, 4) || '-' "
    "|| substr(id, 17, 4) || '-' || substr(id, 21) END",
}
_EVENTS = (
    "SELECT seq, prev, hash, leaf, {time}, actor_index, client_id, code, details, {id}, outcome, "
    "patient_index, request_id FROM audit_event WHERE tenant_id = {tenant} AND seq > {after} "
    "ORDER BY seq"
)
CHECKPOINTS = (
    "SELECT size, root, head, frontier, {time}, kid, signature FROM audit_checkpoint "
    "WHERE tenant_id = {tenant} ORDER BY size"
)
LAST_CHECKPOINT = f"{CHECKPOINTS} DESC LIMIT 1"
TIME_OF_NEXT = "SELECT {time} FROM audit_event WHERE tenant_id = {tenant} AND seq = {after} + 1"


def stream(
    connection: BaseDatabaseWrapper, query: str, tenant_id: UUID, after: int = 0
) -> Iterator[list[tuple[Any, ...]]]:
    """Rows in lists of bounded length, as the database's driver gives them."""
    sql = query.format(
        time=_TIME[connection.vendor],
        id=_ID[connection.vendor],
        tenant=f"'{tenant_id if connection.vendor == 'postgresql' else tenant_id.hex}'",
        after=int(after),
    )
    if connection.vendor == "postgresql":
        cursor: Any = psycopg.ServerCursor(connection.connection, f"c{hash(query) & 0xFFFFFF}")
    else:
        cursor = connection.connection.cursor()
    with connection.wrap_database_errors:
        cursor.execute(sql, **({"binary": True} if connection.vendor == "postgresql" else {}))
        while rows := cursor.fetchmany(READ_ROWS):
            yield rows
    cursor.close()


def walk(
    connection: BaseDatabaseWrapper,
    tenant: TenantRef,
    *,
    after: int = 0,
    head: bytes = FIRST_PREV,
    clock: Clock | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[list[bytes]]:
    """Hashes of the events behind `after`, many at a time, each recomputed from all its columns.

    `clock` is shown the events' times. Raises ChainBrokenError at the first event that is not what
    was written, when the hashes before it have been given.
    """
    follower = _Follower(tenant.id, after, head, clock or Clock())
    for rows in stream(connection, _EVENTS, tenant.id, after):
        broken = None
        hashes: list[bytes] = []
        try:
            follower.follow(rows, hashes.append)
        except ChainBrokenError as error:
            broken = error
        if hashes:
            yield hashes
        if broken:
            raise broken
        if progress:
            progress(follower.seq)


class _Follower:
    """Recomputes a chain from its rows: each hash from what is stored and from the one before."""

    def __init__(self, tenant_id: UUID, seq: int, head: bytes, clock: Clock) -> None:
        self.prefix, self.tenant_text = link_prefix(tenant_id), str(tenant_id)
        self.seq, self.head, self.clock = seq, head, clock

    def follow(self, rows: Sequence[tuple[Any, ...]], keep: Callable[[bytes], None]) -> None:
        """Each hash is given to `keep`. Raises ChainBrokenError."""
        expected, head, clock = self.seq, self.head, self.clock
        prefix, tenant_text = self.prefix, self.tenant_text
        for seq, prev, digest, leaf, at, *columns in rows:
            expected += 1
            if type(seq) is not int or seq != expected:
                raise ChainBrokenError(expected, _wrong_number(seq, expected))
            if prev != head:
                raise ChainBrokenError(seq, "does not follow the record before it")
            moment = at[:23] + "Z" if at and at[23:] == "000" else at
            try:
                computed = leaf_digest(moment, tenant_text, *columns)
            except (TypeError, ValueError) as error:
                raise ChainBrokenError(seq, "was changed") from error
            if computed != leaf:
                raise ChainBrokenError(seq, "was changed")
            head = sha256(prefix + seq.to_bytes(8, "big") + prev + leaf).digest()
            if digest != head:
                raise ChainBrokenError(seq, "has a wrong hash")
            if moment < clock.latest:
                clock.went_back(seq, moment)
            else:
                clock.latest = moment
            keep(head)
        self.seq, self.head = expected, head


def _wrong_number(seq: object, expected: int) -> str:
    if not isinstance(seq, int):
        return "was changed"
    return "is missing" if seq > expected else f"was added: {seq} occurs twice"
