"""Nobody changes the trail, and the application cannot write to it but by appending (A7)."""

from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, connection, connections

from audit import chain, checkpoints, record, rows, tasks, verify
from audit.models import AuditCheckpoint, AuditEvent
from authfi.lib import tenancy
from tests.audit.conftest import a_read, is_postgres, key

CHANGES = ["UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}"]
EVENT_COLUMNS = (
    "tenant_id, seq, id, at, code, outcome, actor_index, patient_index, client_id, request_id, "
    "details, leaf, prev, hash"
)


@pytest.fixture
def sealed(mercy):
    """Mercy, bound, with two events and a checkpoint."""
    with tenancy.bind(mercy):
        record.record(a_read(2))
        checkpoints.seal(mercy)
        yield mercy


def refused(cursor, sql, parameters=()):
    with pytest.raises(DatabaseError) as caught:
        cursor.execute(sql, parameters)
    return str(caught.value)


def partitions():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = 'audit_event'::regclass ORDER BY 1"
        )
        return [name for (name,) in cursor.fetchall()]


@pytest.mark.spec("A7")
@pytest.mark.parametrize("table", ["audit_event", "audit_checkpoint"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_application_changes_no_row(sealed, table, change):
    with connection.cursor() as cursor:
        said = refused(cursor, change.format(table))
    assert "append-only" in said or "permission denied" in said
    assert (AuditEvent.objects.count(), AuditCheckpoint.objects.count()) == (2, 1)
    assert verify.verify(sealed).broken is None


@pytest.mark.spec("A7")
@pytest.mark.postgres
@pytest.mark.parametrize("change", [*CHANGES, "TRUNCATE {}"])
def test_the_owner_changes_no_row_either_not_even_in_a_partition(sealed, change):
    with connections["owner"].cursor() as cursor:
        for table in ["audit_event", "audit_checkpoint", *partitions()]:
            assert "append-only" in refused(cursor, change.format(table))
    assert verify.verify(sealed).broken is None


@pytest.mark.spec("A7")
@pytest.mark.postgres
@pytest.mark.parametrize(
    "sql",
    [
        f"INSERT INTO audit_event ({EVENT_COLUMNS}) SELECT {EVENT_COLUMNS} FROM audit_event",
        "UPDATE audit_head SET seq = 0",
        "DELETE FROM audit_head",
        "INSERT INTO audit_head (tenant_id, seq, hash) VALUES (gen_random_uuid(), 0, '')",
        "TRUNCATE audit_event",
        "TRUNCATE audit_head",
        "ALTER TABLE audit_event DISABLE TRIGGER USER",
        "SET ROLE authfi_auditor",
        "SELECT audit_protect('audit_event')",
    ],
)
def test_the_application_can_neither_insert_nor_move_a_head(sealed, sql):
    with connection.cursor() as cursor:
        said = refused(cursor, sql)
    assert "permission denied" in said or "must be owner" in said


@pytest.mark.spec("A7", "T1")
@pytest.mark.postgres
def test_the_application_does_not_read_a_partition_directly(sealed):
    assert len(partitions()) == 5
    with connection.cursor() as cursor:
        for name in partitions():
            assert "permission denied" in refused(cursor, f"SELECT * FROM {name}")


@pytest.mark.spec("T1")
@pytest.mark.postgres
def test_raw_sql_sees_the_events_of_the_bound_tenant_only(sealed, lakeside):
    with tenancy.bind(lakeside), connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tenant_id FROM audit_event")
        assert cursor.fetchall() == [(lakeside.id,)]
        cursor.execute("SELECT tenant_id FROM audit_head")
        assert cursor.fetchall() == [(lakeside.id,)]
    with tenancy.bind(None), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_event")
        assert cursor.fetchone() == (0,)


@pytest.mark.spec("A7")
@pytest.mark.postgres
def test_this_month_and_the_next_three_have_their_partitions():
    now = datetime.now(UTC)
    months = [divmod(now.year * 12 + now.month - 1 + ahead, 12) for ahead in range(4)]
    expected = [f"audit_event_{year:04}_{month + 1:02}" for year, month in months]
    tasks.make_partitions()
    assert partitions() == sorted([*expected, "audit_event_default"])


@pytest.mark.spec("A7")
@pytest.mark.postgres
def test_the_role_that_appends_is_no_way_past_the_policies():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT r.rolname, r.rolcanlogin, r.rolsuper, r.rolbypassrls, p.prosecdef, p.proconfig "
            "FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner WHERE p.proname = 'audit_append'"
        )
        assert cursor.fetchall() == [
            (
                "authfi_auditor", False, False, False, True,
                ["search_path=pg_catalog, public, pg_temp",
                 "enable_seqscan=off", "plan_cache_mode=force_generic_plan"],
            )
        ]  # fmt: skip


@pytest.mark.spec("A7")
@pytest.mark.postgres
def test_events_of_a_month_without_a_partition_are_kept(sealed):
    row = record._prepare((a_read(3),))[0]
    far = row._replace(at=row.at + 10 * 366 * 86_400_000)
    leaf = rows.leaf_digest(
        rows.time_text(far.at), str(far.tenant_id), far.actor_index, far.client_id, far.code,
        far.details, rows.id_text(far.id), far.outcome, far.patient_index, far.request_id,
    )  # fmt: skip
    own = chain.own_connection()
    chain.append_and_commit(own, [far._replace(leaf=leaf)])
    own.close()
    assert AuditEvent.objects.get(seq=3).at.timestamp() * 1000 == far.at
    assert verify.verify(sealed).broken is None


def test_the_head_is_not_seen_by_another_tenant(sealed, lakeside):
    with tenancy.bind(lakeside), connection.cursor() as cursor:
        cursor.execute("SELECT seq FROM audit_head WHERE tenant_id = %s", [key(lakeside.id)])
        assert cursor.fetchone() == (1,)


def rows_of(tenant):
    """Everything that is stored of a tenant's trail."""
    tables = ("audit_event", "audit_head", "audit_checkpoint")
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT * FROM {table} WHERE tenant_id = %s", [key(tenant.id)])
            yield [
                [bytes(v) if isinstance(v, memoryview) else v for v in row]
                for row in cursor.fetchall()
            ]


_REST = "code, outcome, actor_index, patient_index, client_id, request_id, details, leaf"
_COPY = "SELECT {} FROM audit_event WHERE tenant_id = {tenant} AND seq = 2"
_NEW_ID = "gen_random_uuid()" if is_postgres() else "lower(hex(randomblob(16)))"
_CHECKPOINT = "root, head, frontier, at, kid, signature"


def copied(columns, *, into=EVENT_COLUMNS, table="audit_event", verb="INSERT"):
    """Insert a changed copy of the tenant's second event."""
    return f"{verb} INTO {table} ({into}) {_COPY.format(columns, tenant='{tenant}')}"


FORGERIES = {
    "the same event": copied(EVENT_COLUMNS),
    "another event of the same number": copied(
        f"tenant_id, seq, {_NEW_ID}, at, {_REST}, prev, hash"
    ),
    "a number ahead": copied(f"tenant_id, seq + 2, {_NEW_ID}, at, {_REST}, hash, hash"),
    "the next number, but no link": copied(
        f"tenant_id, seq + 1, {_NEW_ID}, at, {_REST}, prev, hash"
    ),
    "no number": copied(f"tenant_id, NULL, {_NEW_ID}, at, {_REST}, prev, hash"),
    "head ahead": "UPDATE audit_head SET seq = seq + 1 WHERE tenant_id = {tenant}",
    "head back": "UPDATE audit_head SET seq = seq - 1 WHERE tenant_id = {tenant}",
    "head of another hash": "UPDATE audit_head SET hash = leaf FROM audit_event e "
    "WHERE audit_head.tenant_id = {tenant} AND e.tenant_id = {tenant} AND e.seq = 2",
    "no head": "DELETE FROM audit_head WHERE tenant_id = {tenant}",
    "head given away": f"UPDATE audit_head SET tenant_id = {_NEW_ID} WHERE tenant_id = {{tenant}}",
    "a second head": copied("tenant_id, 1, hash", into="tenant_id, seq, hash", table="audit_head"),
    "a head of nobody": copied(
        f"{_NEW_ID}, 1, hash", into="tenant_id, seq, hash", table="audit_head"
    ),
}
# SQLite fires no DELETE trigger for what REPLACE removes; `rowid` is a key of every table there.
# What comes nearest on PostgreSQL is refused likewise.
_REPLACING = {
    "an event": (copied(EVENT_COLUMNS, verb="REPLACE"), copied(EVENT_COLUMNS)),
    "an event by its rowid": (
        copied(
            f"rowid, tenant_id, seq + 1, {_NEW_ID}, at, {_REST}, hash, hash",
            into=f"rowid, {EVENT_COLUMNS}",
            verb="REPLACE",
        ),
        copied(f"tenant_id, seq + 1, {_NEW_ID}, at, {_REST}, hash, hash"),
    ),
    "a head": (
        copied(
            "tenant_id, 9, hash", into="tenant_id, seq, hash", table="audit_head", verb="REPLACE"
        ),
        copied("tenant_id, 9, hash", into="tenant_id, seq, hash", table="audit_head")
        + " ON CONFLICT (tenant_id) DO UPDATE SET seq = 9",
    ),
    "a checkpoint": (
        (
            f"REPLACE INTO audit_checkpoint (id, tenant_id, size, {_CHECKPOINT}) "
            "SELECT id, tenant_id, size, root, head, frontier, at, kid, x'' "
            "FROM audit_checkpoint WHERE tenant_id = {tenant}"
        ),
        (
            f"INSERT INTO audit_checkpoint (id, tenant_id, size, {_CHECKPOINT}) "
            "SELECT id, tenant_id, size, root, head, frontier, at, kid, '' "
            "FROM audit_checkpoint WHERE tenant_id = {tenant} "
            "ON CONFLICT (tenant_id, size) DO UPDATE SET signature = excluded.signature"
        ),
    ),
    "a checkpoint by its size": (
        (
            f"REPLACE INTO audit_checkpoint (id, tenant_id, size, {_CHECKPOINT}) "
            f"SELECT {_NEW_ID}, tenant_id, size, {_CHECKPOINT} "
            "FROM audit_checkpoint WHERE tenant_id = {tenant}"
        ),
        (
            f"INSERT INTO audit_checkpoint (id, tenant_id, size, {_CHECKPOINT}) "
            f"SELECT {_NEW_ID}, tenant_id, size, {_CHECKPOINT} "
            "FROM audit_checkpoint WHERE tenant_id = {tenant}"
        ),
    ),
    "a checkpoint by its rowid": (
        (
            f"REPLACE INTO audit_checkpoint (rowid, id, tenant_id, size, {_CHECKPOINT}) "
            f"SELECT rowid, {_NEW_ID}, tenant_id, size + 1, {_CHECKPOINT} "
            "FROM audit_checkpoint WHERE tenant_id = {tenant}"
        ),
        "UPDATE audit_checkpoint SET size = size + 1 WHERE tenant_id = {tenant}",
    ),
}
FORGERIES |= {f"replace {name}": sql[is_postgres()] for name, sql in _REPLACING.items()}


@pytest.mark.spec("A7")
@pytest.mark.parametrize("name", list(FORGERIES))
def test_nothing_is_put_in_the_place_of_what_was_written(sealed, name):
    before = list(rows_of(sealed))
    sql = FORGERIES[name].replace("{tenant}", f"'{key(sealed.id)}'")
    with connection.cursor() as cursor:
        said = refused(cursor, sql)
    assert any(word in said for word in ("append-only", "permission denied", "duplicate key"))
    assert list(rows_of(sealed)) == before
    record.record(a_read(3))
    assert verify.verify(sealed).broken is None
