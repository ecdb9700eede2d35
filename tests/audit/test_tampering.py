"""Each way of tampering, as a script somebody with every right would run: `audit_verify` names the
record and ends with 1 (A8, A9)."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from audit import checkpoints, record
from audit.events import Code
from authfi.lib import tenancy
from tests.audit.conftest import a_read, details_of, forging, is_postgres
from tests.audit.test_audit_verify import run
from tests.audit.test_chain import cut_behind, rewrite_from

TABLES = ("audit_event", "audit_head", "audit_checkpoint")


@pytest.fixture
def kept(mercy):
    """Mercy with nine events, the first six sealed and anchored, as are all of them later."""
    with tenancy.bind(mercy):
        record.record(*(a_read(number) for number in range(2, 7)))
        checkpoints.seal(mercy)
        record.record(*(a_read(number) for number in range(7, 10)))
        checkpoints.seal(mercy)
    return mercy


def edit(tenant, _):
    with forging(tenant) as forger:
        forger.edit(4, "client_id", "another-app")


def delete(tenant, _):
    with forging(tenant) as forger:
        forger.run("DELETE FROM audit_event WHERE tenant_id = {tenant} AND seq = 5")


def reorder(tenant, _):
    with forging(tenant) as forger:
        for old, new in ((3, 100), (7, 3), (100, 7)):
            forger.edit(old, "seq", new)


def transplant(tenant, other):
    record.record_for(other, *(a_read(number) for number in range(2, 9)))
    theirs = str(other.id) if is_postgres() else other.id.hex
    with forging(tenant) as forger:
        forger.run("DELETE FROM audit_event WHERE tenant_id = {tenant} AND seq = 6")
        forger.run(
            "UPDATE audit_event SET tenant_id = {tenant} WHERE tenant_id = %s AND seq = 6", theirs
        )


def rewrite(tenant, _):
    """All hashes from the fourth on are right again; the checkpoints are of the old ones."""
    rewrite_from(tenant, 4)


def rewrite_without_checkpoints(tenant, _):
    rewrite_from(tenant, 1)
    with forging(tenant) as forger:
        forger.run("DELETE FROM audit_checkpoint WHERE tenant_id = {tenant}")


def restore_an_old_backup(tenant, _):
    """Everything as it was when six events were sealed: right in itself, but old."""
    cut_behind(tenant, 6)
    with forging(tenant) as forger:
        forger.run("DELETE FROM audit_checkpoint WHERE tenant_id = {tenant} AND size > 6")


def cut_the_end(tenant, _):
    cut_behind(tenant, 8)


def empty(tenant, _):
    with forging(tenant) as forger:
        for table in TABLES:
            forger.run(f"DELETE FROM {table} WHERE tenant_id = {{tenant}}")


@pytest.mark.spec("A8", "A9")
@pytest.mark.parametrize(
    ("script", "seq", "words"),
    [
        (edit, 4, "was changed"),
        (delete, 5, "is missing"),
        (reorder, 3, "does not follow the record before it"),
        (transplant, 6, "does not follow the record before it"),
        (rewrite, 1, "or one up to 6 was rewritten: the signed checkpoint at 6 differs"),
        (rewrite_without_checkpoints, 9, "was rewritten: the anchor file differs at 9"),
        (restore_an_old_backup, 7, "is missing: the anchor file knows of 9 records"),
        (cut_the_end, 9, "is missing: a checkpoint was signed over 9 records"),
        (empty, 1, "is missing: the anchor file knows of 9 records"),
    ],
)
def test_tampering_ends_with_1_and_the_record_is_named(kept, lakeside, script, seq, words):
    assert run(kept.slug)[0] == 0
    script(kept, lakeside)
    status, said = run(kept.slug)
    assert status == 1
    assert f"BROKEN: record {seq} " in said
    assert words in said


@pytest.mark.spec("A8", "A1")
def test_a_clock_set_back_is_no_break_but_an_anomaly(kept):
    """Numbers order events: the trail is intact, and says where its time runs backwards."""
    with time_machine.travel(datetime.now(UTC) - timedelta(hours=2)):
        record.record_for(kept, a_read(10))
    status, said = run(kept.slug)
    assert status == 0
    assert "the clock went back at record 10" in said
    checkpoints.seal(kept)
    (told,) = details_of(kept, Code.AUDIT_ANOMALY)
    assert (told["reason"], told["seq"]) == ("the clock went back", 10)
