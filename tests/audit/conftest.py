"""Events to record, and the hand of somebody who may do anything in the database."""

import json
import time
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, connections

from audit import verify
from audit.events import Actor, Code, Event, Outcome
from audit.models import AuditEvent
from authfi.lib import tenancy


def is_postgres():
    return connection.vendor == "postgresql"


#: A column and an SQL value that the database keeps there, but no driver can read.
UNREADABLE = (
    ("at", "'infinity'") if is_postgres() else ("details", "CAST(x'ff' || details AS TEXT)")
)
DR_ADA = Actor.person(UUID(int=0xADA), roles=("doctor",), aal=2)


def a_read(number=1, **changes):
    """Dr. Ada read an observation of Pat."""
    told: dict[str, Any] = {
        "code": Code.FHIR_READ_ALLOW,
        "outcome": Outcome.SUCCESS,
        "actor": DR_ADA,
        "client_id": "growth-chart",
        "patient": "pat-of-mercy",
        "object": f"Observation/{number}",
        "rule": "scope_covers",
    }
    return Event(**told | changes)


def trail(tenant):
    """The tenant's events in their order."""
    with tenancy.bind(tenant):
        return list(AuditEvent.objects.order_by("seq"))


def details_of(tenant, code):
    """What the tenant's events of that code say, in their order."""
    with tenancy.bind(tenant):
        return [event.details for event in AuditEvent.objects.filter(code=code).order_by("seq")]


def objects(tenant):
    """What the tenant's events since its creation are about."""
    with tenancy.bind(tenant):
        return [event.details["object"] for event in AuditEvent.objects.order_by("seq")[1:]]


def broken(tenant):
    """The first break that a verification of the tenant finds."""
    found = verify.verify(tenant).broken
    assert found is not None
    return found


def key(value):
    """A UUID as the database's driver takes it."""
    return value if connection.vendor == "postgresql" else value.hex


class Forger:
    """Runs SQL past every protection of the trail."""

    def __init__(self, cursor, tenant):
        self.cursor, self.tenant = cursor, tenant

    def run(self, sql, *parameters):
        assert "{tenant}" in sql
        tenant = str(self.tenant.id) if is_postgres() else self.tenant.id.hex
        self.cursor.execute(sql.replace("{tenant}", f"'{tenant}'"), parameters)

    def edit(self, seq, column, value):
        where = "WHERE tenant_id = {tenant} AND seq = %s"
        self.run(f"UPDATE audit_event SET {column} = %s {where}", value, seq)

    def edit_to(self, seq, column, expression):
        where = "WHERE tenant_id = {tenant} AND seq = %s"
        self.run(f"UPDATE audit_event SET {column} = {expression} {where}", seq)

    def columns(self, seq, *names):
        self.run(
            f"SELECT {', '.join(names)} FROM audit_event WHERE tenant_id = {{tenant}} AND seq = %s",
            seq,
        )
        return [bytes(v) if isinstance(v, memoryview) else v for v in self.cursor.fetchone()]


@contextmanager
def forging(tenant):
    """Triggers and row-level security out of the way, and back afterwards."""
    forge = _forging_postgres if is_postgres() else _forging_sqlite
    with forge() as cursor:
        yield Forger(cursor, tenant)


@contextmanager
def _forging_postgres():
    tables = ("audit_event", "audit_head", "audit_checkpoint")
    with connections["owner"].cursor() as cursor:
        lock_all(cursor, tables)
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield cursor
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        cursor.execute("COMMIT")


def lock_all(cursor, tables):
    """Begin, alone with the tables: never waiting with one in hand, so that nobody deadlocks."""
    deadline = time.monotonic() + 30
    while True:
        cursor.execute("BEGIN")
        try:
            cursor.execute(f"LOCK TABLE {', '.join(tables)} NOWAIT")
        except OperationalError:
            cursor.execute("ROLLBACK")
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return


@contextmanager
def _forging_sqlite():
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = [row for row in cursor.fetchall() if row[0].startswith("audit_")]
        for name, _ in triggers:
            cursor.execute(f"DROP TRIGGER {name}")
        yield cursor
        for _, sql in triggers:
            cursor.execute(sql)


@pytest.fixture
def raw_columns():
    """Every stored value of a tenant's events, as text, without opening anything."""

    def read(tenant):
        with tenancy.bind(tenant), connection.cursor() as cursor:
            cursor.execute("SELECT * FROM audit_event WHERE tenant_id = %s", [key(tenant.id)])
            return json.dumps([[_text(v) for v in row] for row in cursor.fetchall()])

    return read


def _text(value):
    is_bytes = isinstance(value, bytes | memoryview)
    return bytes(value).decode("latin-1") if is_bytes else str(value)
