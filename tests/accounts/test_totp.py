"""One-time codes: RFC 6238, each once, also when many come at the same time (N8)."""

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.db import connections

from authfi.accounts import people
from authfi.accounts.mfa import totp
from authfi.lib import tenancy
from tests.cast import a_person, give_code, give_password

pytestmark = pytest.mark.spec("N8")

NOON = datetime(2031, 5, 6, 12, 0, 10, tzinfo=UTC)
SEED = "3132333435363738393031323334353637383930"


@pytest.fixture
def clock():
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def ada(bound, clock):
    user = a_person(bound, "doctor", mfa=False).user
    people.enrol_totp(user, SEED)
    return user


def code(seconds=0):
    return totp.code_at(SEED, NOON + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [(59, "287082"), (1111111109, "081804"), (2000000000, "279037"), (20000000000, "353130")],
)
def test_codes_are_those_of_rfc_6238_appendix_b(moment, expected):
    assert totp.code_at(SEED, datetime.fromtimestamp(moment, UTC)) == expected


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)]
)
def test_one_step_of_drift_is_allowed(ada, seconds, accepted):
    assert totp.verify(ada, code(seconds)) is accepted


def test_a_code_works_once(ada, clock):
    assert totp.verify(ada, code())
    assert not totp.verify(ada, code())
    clock.shift(5)
    assert not totp.verify(ada, code())


def test_an_older_code_than_the_last_one_is_worth_nothing(ada):
    assert totp.verify(ada, code(30))
    assert not totp.verify(ada, code(0))


def test_of_twenty_at_the_same_time_one_wins(ada, bound):
    barrier = threading.Barrier(20)
    devices = [totp.TOTPDevice.objects.get(user=ada) for _ in range(20)]

    def attempt(device):
        barrier.wait()
        try:
            with tenancy.bind(bound):
                return device.verify_token(code())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        assert sorted(pool.map(attempt, devices)) == [False] * 19 + [True]


def test_a_guess_that_was_prepared_meanwhile_is_not_judged(ada):
    readers = [totp.TOTPDevice.objects.get(user=ada) for _ in range(2)]
    wrong = "000000" if code() != "000000" else "111111"
    assert not readers[0].verify_token(wrong)
    assert not readers[1].verify_token(code())
    assert totp.verify(ada, code())
    assert totp.TOTPDevice.objects.get(user=ada).throttling_failure_count == 0


def test_a_code_of_somebody_else_is_wrong(ada, bound):
    other = a_person(bound, "nurse", mfa=False).user
    people.enrol_totp(other, secrets.token_hex(20))
    assert not totp.verify(other, code())


def test_an_unconfirmed_device_is_none(ada):
    totp.TOTPDevice.objects.filter(user=ada).update(confirmed=False)
    assert not totp.is_enrolled(ada)
    assert not totp.verify(ada, code())


@pytest.mark.parametrize("seed", ["00" * 19, "not hex", ""])
def test_a_short_or_broken_seed_is_refused(bound, seed):
    with pytest.raises(ValidationError):
        people.enrol_totp(a_person(bound, "doctor", mfa=False).user, seed)


@pytest.mark.parametrize("typed", ["12345", "1234567", "abcdef", "", "१२३४५६", "123456\0"])
def test_what_is_no_code_is_not_tried(client, dr_ada, typed):
    give_password(client, dr_ada)
    response = client.post(f"/t/{dr_ada.tenant.slug}/mfa", {"code": typed})
    assert response.status_code == 200
    with tenancy.bind(dr_ada.tenant):
        assert totp.TOTPDevice.objects.get(user=dr_ada.user).throttling_failure_count == 0
    spaced = dr_ada.code()
    assert give_code(client, dr_ada, f" {spaced[:3]} {spaced[3:]} ").status_code == 302
