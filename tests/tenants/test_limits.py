"""Limits: shared by processes, counted by keyed digests, kept apart by tenant (V1, ERRS-06)."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.conf import settings

from audit.models import AuditEvent
from authfi.lib import tenancy
from tenants import limits, policies, tasks
from tenants.models import Allowance
from tests.cast import ADMIN

NOON = datetime(2031, 5, 6, 12, 0, 10, tzinfo=UTC)
NOBODY = "203.0.113.9"


@pytest.fixture(autouse=True)
def clock():
    """Ten seconds past a full minute: 50 seconds are left of the window."""
    limits.forget()
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller
    limits.forget()


def taken(limit, key, times):
    return [limits.take(limit, key) for _ in range(times)]


@pytest.mark.spec("V1")
def test_so_many_a_minute_and_then_the_seconds_to_wait(bound, clock):
    allowed = settings.LIMITS[limits.TOKEN]
    assert taken(limits.TOKEN, "app", allowed) == [0] * allowed
    assert taken(limits.TOKEN, "app", 3) == [50, 50, 50]
    assert limits.take(limits.TOKEN, "other app") == 0
    clock.shift(49)
    assert limits.take(limits.TOKEN, "app") == 1
    clock.shift(1)
    assert limits.take(limits.TOKEN, "app") == 0


@pytest.mark.spec("V1", "T2")
def test_another_tenants_use_does_not_count(mercy, lakeside):
    for tenant in (mercy, lakeside):
        with tenancy.bind(tenant):
            assert taken(limits.TOKEN, NOBODY, 300) == [0] * 300
            assert limits.take(limits.TOKEN, NOBODY) == 50


@pytest.mark.spec("V1")
@pytest.mark.parametrize("allowed", [1, 7, 39, 100])
def test_a_limit_that_blocks_do_not_divide_is_kept_all_the_same(bound, settings, allowed):
    settings.LIMITS = {**settings.LIMITS, limits.TOKEN: allowed}
    assert taken(limits.TOKEN, "app", allowed + 5) == [0] * allowed + [50] * 5


def test_a_block_is_one_statement_and_the_rest_costs_none(bound, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert taken(limits.GATEWAY, "app", 300) == [0] * 300
    with django_assert_num_queries(1):
        limits.take(limits.GATEWAY, "app")
    with django_assert_num_queries(0):
        assert limits.waiting(limits.GATEWAY, "another app") == 0


def test_who_is_over_a_limit_costs_nothing_more(bound, django_assert_num_queries):
    taken(limits.TOKEN, NOBODY, 301)
    with django_assert_num_queries(0):
        assert taken(limits.TOKEN, NOBODY, 100) == [50] * 100


@pytest.mark.spec("A1")
def test_what_is_counted_by_is_kept_as_a_digest(bound):
    limits.take(limits.REFUSALS, NOBODY)
    [row] = Allowance.objects.all()
    assert NOBODY not in row.key
    assert row.key.startswith("refusals:")


def test_waiting_uses_nothing_of_what_is_left(bound):
    allowed = settings.LIMITS[limits.SIGN_IN_FAILURES]
    for _ in range(allowed):
        assert limits.waiting(limits.SIGN_IN_FAILURES, NOBODY) == 0
        assert limits.waiting(limits.SIGN_IN_FAILURES, NOBODY) == 0
        limits.take(limits.SIGN_IN_FAILURES, NOBODY)
    assert limits.waiting(limits.SIGN_IN_FAILURES, NOBODY) == 50


def test_what_is_over_a_limit_is_told_once_a_window(bound, clock):
    def told():
        return AuditEvent.objects.filter(code="audit.anomaly").count()

    taken(limits.TOKEN, NOBODY, 301)
    for _ in range(20):
        limits.tell_once(limits.TOKEN, NOBODY)
    assert told() == 1
    clock.shift(60)
    taken(limits.TOKEN, NOBODY, 301)
    limits.tell_once(limits.TOKEN, NOBODY)
    assert told() == 2


def test_what_has_expired_is_swept(bound, clock):
    limits.take(limits.TOKEN, "app")
    clock.shift(timedelta(hours=1, minutes=3))
    limits.take(limits.TOKEN, "app")
    tasks._sweep(bound)  # this tenant only: for all others it is not 2031
    assert Allowance.objects.count() == 1


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_an_address_stands_for_its_network(address, expected):
    assert limits.network_of(address) == expected


@pytest.mark.spec("D18")
def test_trusted_networks_are_the_tenants(bound):
    assert not limits.is_trusted("10.1.2.3")
    changes = {"trusted_networks": ["10.1.0.0/16", "2001:db8::/32"]}
    policies.change(kind="sign-in", changes=changes, actor=ADMIN)
    assert limits.is_trusted("10.1.2.3")
    assert limits.is_trusted("2001:db8::7")
    assert not limits.is_trusted("10.2.2.3")
    assert not limits.is_trusted("")


@pytest.mark.spec("V1")
def test_a_minute_that_ends_during_the_statement_does_not_refuse_the_next(
    bound, clock, settings, monkeypatch
):
    settings.LIMITS = {**settings.LIMITS, limits.TOKEN: 1}
    limits.take(limits.TOKEN, "app")
    limits._leases.clear()  # as another process, which has to ask
    use = limits._use

    def slow(*asked):
        used = use(*asked)
        clock.shift(60)
        limits.waiting(limits.TOKEN, "another app")  # another thread is in the next minute already
        return used

    monkeypatch.setattr(limits, "_use", slow)
    assert limits.take(limits.TOKEN, "app") > 0, "the former minute's was used up"
    monkeypatch.setattr(limits, "_use", use)
    assert limits.waiting(limits.TOKEN, "app") == 0
    assert limits.take(limits.TOKEN, "app") == 0
    assert limits.take(limits.TOKEN, "app") > 0


@pytest.mark.spec("V1")
def test_what_a_former_minute_gave_is_not_used_in_the_next(bound, clock, settings, monkeypatch):
    settings.LIMITS = {**settings.LIMITS, limits.TOKEN: 40}
    use = limits._use

    def slow(*asked):
        used = use(*asked)
        if clock_shifts:
            clock.shift(clock_shifts.pop())
            limits.waiting(limits.TOKEN, "another app")
        return used

    clock_shifts = [60]
    monkeypatch.setattr(limits, "_use", slow)
    assert limits.take(limits.TOKEN, "app") == 0
    assert [limits.take(limits.TOKEN, "app") for _ in range(41)] == [0] * 40 + [50]


@pytest.mark.spec("V1")
def test_a_slow_thread_does_not_undo_what_the_next_minute_has_leased(bound, clock, monkeypatch):
    limits.take(limits.TOKEN, "app")
    clock.shift(60)
    limits.take(limits.TOKEN, "app")
    lease = limits._leased(limits.TOKEN, "app")
    assert lease is not None
    left = lease.left
    clock.shift(-60)
    assert limits.take(limits.TOKEN, "app") == 0
    clock.shift(60)
    again = limits._leased(limits.TOKEN, "app")
    assert again is not None
    assert again.left == left


@pytest.mark.spec("V1")
def test_a_clock_that_was_ahead_refuses_nobody_when_it_is_set_back(bound, clock, settings):
    settings.LIMITS = {**settings.LIMITS, limits.TOKEN: 40}
    clock.shift(timedelta(days=400))
    limits.take(limits.TOKEN, "app")
    clock.shift(timedelta(days=-400))
    assert [limits.take(limits.TOKEN, "app") for _ in range(41)] == [0] * 40 + [50]


TAKE = """
import django; django.setup()
import sys
from authfi.lib import tenancy
from tenants import directory, limits
limits.time.time = lambda: float(sys.argv[2])
with tenancy.bind(directory.find(sys.argv[1]).ref):
    print(sum(limits.take(limits.TOKEN, "app") == 0 for _ in range(400)))
"""


@pytest.mark.spec("V1", "ERRS-06")
def test_two_processes_share_a_limit(mercy):
    arguments = [sys.executable, "-c", TAKE, mercy.slug, str(time.time())]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "authfi.settings"}
    both = [
        subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    taken = [int(process.communicate(timeout=60)[0]) for process in both]
    assert sum(taken) == settings.LIMITS[limits.TOKEN]


def test_a_leased_one_is_nearly_free(bound):
    limits.take(limits.GATEWAY, "app")
    best = min(_timed(100) for _ in range(2))
    assert best / 100 < 50e-6, "a local decrement, whatever machine this runs on"


def _timed(times):
    began = time.perf_counter()
    for _ in range(times):
        limits.take_leased(limits.GATEWAY, "app")
    return time.perf_counter() - began
