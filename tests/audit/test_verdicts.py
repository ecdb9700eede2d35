"""What the console says of a trail: in full while it is short, by its checkpoint when long (A9)."""

import time
from datetime import timedelta

import pytest

from audit import checkpoints, record, verdicts, verify
from audit.chain import Break
from audit.events import Code
from tenants import directory, tasks
from tests.audit.conftest import a_read, details_of, forging, trail

pytestmark = pytest.mark.spec("A8", "A9")


@pytest.fixture
def long(mercy, monkeypatch):
    """Mercy with nine sealed events and one behind them, which counts as long."""
    monkeypatch.setattr(verdicts, "SHORT", 5)
    record.record_for(mercy, *(a_read(number) for number in range(2, 10)))
    checkpoints.seal(mercy)
    record.record_for(mercy, a_read(10))
    return mercy


def now(tenant):
    return verdicts.recent(tenant, 0)


def test_a_verdict_is_used_again_for_a_while(mercy, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    first = verdicts.recent(mercy)
    record.record_for(mercy, a_read())
    clock[0] += 19
    assert verdicts.recent(mercy) is first
    clock[0] += 2
    assert verdicts.recent(mercy).count == 2


def test_a_short_trail_is_read_in_full(mercy):
    checkpoints.seal(mercy)
    found = now(mercy)
    assert (found.read_from, found.count, found.broken, found.full_at) == (1, 1, None, None)


def test_of_a_long_trail_the_end_is_read_and_the_rest_in_the_background(long):
    found = now(long)
    assert (found.read_from, found.last_seq, found.sealed) == (10, 10, 9)
    assert (found.broken, found.full_at) == (None, None)
    verdicts.read_in_full(long)
    found = now(long)
    assert (found.broken, found.full_at, found.last_seq) == (None, trail(long)[-1].at, 11)


def test_an_edit_behind_the_checkpoint_is_found_by_the_reading_in_full(long):
    with forging(long) as forger:
        forger.edit(4, "client_id", "another-app")
    assert now(long).broken is None
    assert verdicts.read_in_full(long).broken == Break(4, "was changed")
    assert [told["seq"] for told in details_of(long, Code.AUDIT_VERIFY)] == [4]
    assert trail(long)[-1].outcome == "failure"
    assert now(long).broken == Break(4, "was changed")


def test_an_edit_of_the_end_is_found_at_once(long):
    with forging(long) as forger:
        forger.edit(10, "client_id", "another-app")
    assert now(long).broken == Break(10, "was changed")


@pytest.mark.parametrize("column", ["root", "head", "frontier", "signature"])
def test_a_changed_checkpoint_is_no_ground_to_stand_on(long, column):
    with forging(long) as forger:
        forger.run(
            f"UPDATE audit_checkpoint SET {column} = %s WHERE tenant_id = {{tenant}}", b"x" * 64
        )
    found = now(long).broken
    assert found is not None
    assert found.seq in (1, 9)


def test_the_end_must_follow_the_checkpoint(long):
    with forging(long) as forger:
        forger.run("DELETE FROM audit_event WHERE tenant_id = {tenant} AND seq = 10")
    assert now(long).broken == Break(10, "is missing: the chain's head is at 10")


def test_a_finding_that_was_tampered_with_is_a_break(long):
    with forging(long) as forger:
        forger.edit(4, "client_id", "another-app")
    verdicts.read_in_full(long)
    seq = trail(long)[-1].seq
    with forging(long) as forger:
        forger.edit(seq, "details", b"other")
    assert now(long).broken == Break(seq, "was changed")


def test_a_short_intact_trail_gets_no_event_of_it(mercy):
    verdicts.read_in_full(mercy)
    assert len(trail(mercy)) == 1


def test_the_task_reads_every_tenants_trail(long, lakeside, monkeypatch):
    monkeypatch.setattr(directory, "everyone", lambda: [lakeside, long])
    assert tasks.verify_trails() == 0
    with forging(lakeside) as forger:
        forger.edit(1, "client_id", "another-app")
    assert tasks.verify_trails() == 1
    assert trail(lakeside)[-1].outcome == "failure"
    assert verify.verify(long).broken is None
    assert now(long).full_at - trail(long)[0].at < timedelta(minutes=5)
