"""A process that appends is killed at each step: nothing said to be stored is lost (A5, V8)."""

import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

from audit import checkpoints, record, verify
from audit.models import AuditEvent
from authfi.lib import tenancy
from tenants.models import Policy
from tests.audit.appender import TWICE
from tests.audit.conftest import a_read, objects

CALLERS = 8


def start(tenant, way, *, at=None, callers=CALLERS):
    """An appender that works until it is killed: at a step, or by us."""
    command = ["-m", "tests.audit.appender", tenant.slug, str(callers), "100000", way]
    if at:
        command = ["-m", "tests.crash", "--at", at, "--", *command]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "authfi.settings"}
    return subprocess.Popen([sys.executable, *command], env=env, stdout=subprocess.PIPE, text=True)


def told_until_killed(process):
    """Names of the events whose callers were told that they are stored."""
    said, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    return set(said.splitlines())


def stored(tenant):
    """How often each event is stored, those that the process made."""
    return Counter(name for name in objects(tenant) if name.count("-") == 2)


def account(tenant, told):
    """Every event that was told of is stored, each whole and once; the chain goes on."""
    found = verify.verify(tenant)
    counted = stored(tenant)
    assert found.broken is None
    assert told <= counted.keys()
    assert set(counted.values()) <= {len(TWICE)}
    assert len(counted.keys() - told) <= CALLERS
    record.record_for(tenant, a_read("afterwards"))
    checkpoints.seal(tenant)
    again = verify.verify(tenant)
    assert (again.broken, again.count, again.sealed) == (None, found.count + 1, found.count + 1)


STEPS = {
    "before the batch is written": "audit.chain:append_and_commit:before:20",
    "before SQLite commits": "audit.chain:append:after:20",
    "after the commit": "audit.chain:append_and_commit:after:20",
    "before the callers are woken": "audit.writer:_wake:before:20",
    "while the callers are woken": "audit.writer:{job}.finish:after:61",
    "when the callers were woken": "audit.writer:_wake:after:20",
}


@pytest.mark.spec("A5", "V8")
@pytest.mark.parametrize("way", ["threads", "tasks"])
@pytest.mark.parametrize("step", list(STEPS))
def test_a_killed_process_loses_nothing_that_was_told(mercy, way, step):
    at = STEPS[step].format(job="_ThreadJob" if way == "threads" else "_TaskJob")
    told = told_until_killed(start(mercy, way, at=at))
    assert told
    account(mercy, told)


@pytest.mark.spec("A5", "V8")
@pytest.mark.parametrize(
    ("step", "untold"), [("before the batch is written", 0), ("after the commit", 1)]
)
def test_with_one_caller_the_step_is_exact(mercy, step, untold):
    """Nineteen times it was told; the twentieth batch is lost, or there though nobody knows."""
    told = told_until_killed(start(mercy, "threads", at=STEPS[step], callers=1))
    assert len(told) == 19
    assert told <= stored(mercy).keys()
    assert len(stored(mercy)) == 19 + untold


@pytest.mark.spec("A1", "A5", "V8")
@pytest.mark.parametrize(
    "step",
    [
        "audit.record:chain.flush:before:20",
        "audit.record:chain.flush:after:20",
        "django.db.transaction:Atomic.__exit__:after:40",
    ],
)
def test_a_change_and_its_events_are_both_there_or_both_lost(mercy, step):
    told = told_until_killed(start(mercy, "changes", at=step))
    account(mercy, told)
    with tenancy.bind(mercy):
        changed = {f"Observation/{kind}" for kind in Policy.objects.values_list("kind", flat=True)}
    assert told <= changed == stored(mercy).keys()


@pytest.mark.spec("A5", "V8")
def test_two_processes_killed_under_load_leave_one_good_chain(mercy):
    running = [start(mercy, way) for way in ("threads", "tasks")]
    told: set[str] = set()
    for process in running:
        assert process.stdout is not None
        told |= {process.stdout.readline().strip() for _ in range(100)}
    for process in running:
        process.kill()
    for process in running:
        assert process.stdout is not None
        told |= set(process.stdout.read().splitlines())
        assert process.wait(60) == -signal.SIGKILL
    counted = stored(mercy)
    assert told <= counted.keys()
    assert set(counted.values()) == {len(TWICE)}
    assert len(counted.keys() - told) <= 2 * CALLERS
    with tenancy.bind(mercy):
        seqs = list(AuditEvent.objects.order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))
    assert verify.verify(mercy).broken is None
