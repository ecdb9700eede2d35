"""Failures in a row make one wait, and end what was guessed at (N6, V1, V2, D18)."""

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditEvent
from authfi.accounts import devices, passwords, people, signin, throttling
from authfi.accounts.mfa import totp
from authfi.accounts.models import AuthenticatorFailures, KnownDevice
from authfi.lib import tenancy
from tenants import limits, policies
from tests.accounts.conftest import NOON
from tests.cast import (
    ADMIN,
    PASSWORD,
    a_person,
    give_code,
    give_password,
    let_patients_sign_in_with_a_password,
    sign_in,
)

pytestmark = [pytest.mark.spec("N6"), pytest.mark.usefixtures("clock")]


@pytest.fixture
def ada(bound):
    return a_person(bound, "doctor")


def try_password(email, password, browser=""):
    """What the sign-in page does with them."""
    return signin.is_password_of(signin.whose(email), password, browser)


def try_wrong(person):
    return try_password(person.email, "certainly not this one")


def try_right(person):
    return try_password(person.email, person.password)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 0), (4, 0), (5, 30), (6, 60), (7, 120), (11, 1920), (12, 3600), (49, 3600)],
)
def test_the_delay_doubles_up_to_an_hour(failures, seconds):
    assert throttling.delay_after(failures) == timedelta(seconds=seconds)


def test_four_mistakes_cost_nothing(ada):
    for _ in range(4):
        assert not try_wrong(ada)
    assert try_right(ada)
    for _ in range(4):
        assert not try_wrong(ada)
    assert try_right(ada)


def test_after_the_fifth_even_the_right_one_waits(ada, clock):
    for _ in range(5):
        try_wrong(ada)
    assert not try_right(ada)
    clock.shift(29)
    assert not try_right(ada)
    clock.shift(1)
    assert try_right(ada)
    assert throttling.wait_seconds(ada.user, throttling.PASSWORD) == 0


def test_what_comes_too_early_is_not_counted(ada, clock):
    for _ in range(30):
        try_wrong(ada)
    assert AuthenticatorFailures.objects.get(authenticator="password").failures == 5
    clock.shift(30)
    assert try_right(ada)


def fail_fifty_times(person, clock, attempt):
    """Over days, whenever it is allowed."""
    for _ in range(50):
        attempt(person)
        clock.shift(3600)


@pytest.mark.spec("N6", "A1")
def test_fifty_over_days_disable_the_password_but_nothing_else(ada, clock):
    fail_fifty_times(ada, clock, try_wrong)
    clock.shift(timedelta(days=30))
    assert not try_right(ada)
    assert throttling.wait_seconds(ada.user, throttling.PASSWORD) is None
    assert signin.is_code_of(ada.user, ada.code())
    told = [row.details for row in AuditEvent.objects.filter(code="auth.lock").order_by("seq")]
    assert [(one["reason"], one["failures"]) for one in told] == [
        ("password delayed", 5),
        ("password disabled", 50),
    ]


def test_a_new_password_starts_anew(ada, clock):
    fail_fifty_times(ada, clock, try_wrong)
    people.change_password(user=ada.user, password="other kettles sing at ten", actor=ADMIN)
    assert try_password(ada.email, "other kettles sing at ten")


@pytest.mark.spec("N6", "N8")
def test_fifty_wrong_codes_disable_the_authenticator_app(ada, clock):
    def wrong(person):
        signin.is_code_of(person.user, "000000" if person.code() != "000000" else "111111")

    fail_fifty_times(ada, clock, wrong)
    assert not signin.is_code_of(ada.user, ada.code())
    assert try_right(ada), "the password has failed nothing"
    assert throttling.wait_seconds(ada.user, throttling.TOTP) is None
    old, new = ada.code(), secrets.token_hex(20)
    people.enrol_totp(ada.user, new)
    assert not signin.is_code_of(ada.user, old), "what was guessed at does not come back"
    assert signin.is_code_of(ada.user, totp.code_at(new, timezone.now()))


def test_a_right_password_does_not_reset_the_codes(ada):
    for _ in range(3):
        signin.is_code_of(ada.user, "000000")
        assert try_right(ada)
    assert AuthenticatorFailures.objects.get(authenticator="totp").failures == 3


def test_of_many_at_the_same_time_none_is_judged_beyond_the_fifth(ada, bound):
    opened, barrier = [], threading.Barrier(12)

    def guess(_):
        barrier.wait()
        try:
            with tenancy.bind(bound), throttling.attempt(ada.user, "password") as made:
                opened.append(made.is_open)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(guess, range(12)))
    assert sum(opened) <= 5
    assert AuthenticatorFailures.objects.get(authenticator="password").failures == sum(opened)


def test_an_attempt_that_could_not_be_judged_does_not_count(ada, monkeypatch):
    def busy(user, password):
        raise passwords.BusyError

    monkeypatch.setattr(passwords, "verify", busy)
    for _ in range(8):
        with pytest.raises(passwords.BusyError):
            try_right(ada)
    assert AuthenticatorFailures.objects.get(authenticator="password").failures == 0


def page_of(person, client=None, **changed):
    response = give_password(client or Client(), person, **changed)
    html = response.content.decode()
    start = html.index("csrfmiddlewaretoken")
    return response.status_code, html[:start], html[start + 110 :]


@pytest.mark.spec("V2", "N6")
def test_who_waits_and_who_is_unknown_read_the_same(mercy, clock):
    policies_of(mercy, trusted_networks=["127.0.0.0/8"])
    ada = a_person(mercy, "doctor", email="ada@mercy.example")
    for _ in range(6):
        page_of(ada, password="wrong")
    waiting = page_of(ada)
    unknown = page_of(ada, email="eve@mercy.example")
    assert waiting[0] == unknown[0] == 200
    assert waiting[1] == unknown[1]
    assert waiting[2].replace("ada@", "eve@") == unknown[2]


@pytest.mark.spec("V2")
def test_unknown_and_known_cost_as_many_statements(bound):
    ada = a_person(bound, "doctor")
    try_password(ada.email, "wrong the first time")

    def statements(email):
        with CaptureQueriesContext(connection) as captured:
            try_password(email, "certainly not this one")
        return [query["sql"].split()[0] for query in captured]

    assert statements(ada.email) == statements("nobody@example.org")


def statements_of(email, browser=""):
    with CaptureQueriesContext(connection) as captured:
        try_password(email, "certainly not this one", browser)
    return [query["sql"].split()[0] for query in captured]


@pytest.mark.spec("V2")
def test_neither_waiting_nor_a_foreign_browser_nor_a_first_attempt_is_told_by_statements(bound):
    ada = a_person(bound, "doctor")
    invited = people.create_person(email="eve@mercy.example", name="Eve", roles=["nurse"])
    nobodys = statements_of("nobody@example.org")
    assert statements_of(invited.email) == nobodys, "the first, of somebody without a password"
    seen = [statements_of(ada.email) for _ in range(7)]
    assert seen == [nobodys] * 7, "the fifth makes it wait, the others wait"
    with_cookie = statements_of("nobody@example.org", "ab" * 32)
    assert statements_of(ada.email, "ab" * 32) == with_cookie
    AuthenticatorFailures.objects.filter(user=ada.user).update(disabled_at=timezone.now())
    assert statements_of(ada.email) == nobodys, "disabled"


def fail_at(client, person, clock, times):
    """Over days, whenever it is allowed."""
    for _ in range(times):
        assert give_password(client, person, password="wrong").status_code == 200
        clock.shift(3600)


@pytest.mark.spec("N6", "D18")
def test_a_hundred_at_all_places_together_disable_the_password_everywhere(mercy, trail, clock):
    policies_of(mercy, trusted_networks=["127.0.0.0/8"], patient_mfa=False)
    pat = a_person(mercy, "patient", mfa=False)
    ward_pc, phone, tablet, stranger = Client(), Client(), Client(), Client()
    for known in (ward_pc, phone, tablet):
        sign_in(known, pat)
    fail_at(stranger, pat, clock, 60)
    fail_at(ward_pc, pat, clock, 45)
    fail_at(phone, pat, clock, 4)
    assert give_password(tablet, pat).status_code == 302, "strangers 50, two browsers 49"
    fail_at(phone, pat, clock, 1)
    for browser in (stranger, ward_pc, phone, tablet):
        assert give_password(browser, pat).status_code == 200
        fail_at(browser, pat, clock, 1)
    failed = [details["reason"] for code, _, details in trail(mercy) if code == "auth.login.fail"]
    assert failed.count("wrong secret") == 100
    [told] = [one for _, _, one in trail(mercy, "auth.lock") if "everywhere" in one["reason"]]
    assert (told["reason"], told["failures"], told["device"]) == (
        "password disabled everywhere",
        100,
        "all",
    )
    with tenancy.bind(mercy):
        assert throttling.wait_seconds(pat.user, throttling.PASSWORD, "ab" * 32) is None
        people.change_password(user=pat.user, password="other kettles sing at ten", actor=ADMIN)
    assert give_password(Client(), pat, password="other kettles sing at ten").status_code == 302


def known_browsers_of(person, number):
    """What each is known by."""
    values = [secrets.token_hex(32) for _ in range(number)]
    for value in values:
        KnownDevice.objects.create(
            user=person.user,
            key_digest=devices.digest(value),
            expires_at=timezone.now() + devices.LIFE,
        )
    return values


@pytest.mark.spec("N6", "D18")
def test_a_hundred_stay_a_hundred_at_many_places_at_the_same_time(ada, bound):
    values, opened, barrier = known_browsers_of(ada, 12), [], threading.Barrier(12)
    spent = AuthenticatorFailures.objects.filter(user=ada.user, authenticator="password")
    spent.update(failures=95, last_failed_at=NOON - timedelta(days=1))

    def guess(value):
        barrier.wait()
        try:
            with tenancy.bind(bound), throttling.attempt(ada.user, "password", value) as made:
                opened.append(made.is_open)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(guess, values))
    assert sum(opened) <= 5
    assert throttling.is_disabled(ada.user, throttling.PASSWORD)
    KnownDevice.objects.all().delete()
    [new] = known_browsers_of(ada, 1)
    assert throttling.wait_seconds(ada.user, throttling.PASSWORD, new) is None
    assert not try_password(ada.email, ada.password, new), "though its failures went with them"


@pytest.fixture
def hashings(monkeypatch):
    """Each hash that a password is compared with."""
    seen = []
    verify = passwords.PepperedArgon2.verify

    def counting(self, password, encoded):
        seen.append(encoded)
        return verify(self, password, encoded)

    monkeypatch.setattr(passwords.PepperedArgon2, "verify", counting)
    return seen


@pytest.mark.spec("V2")
def test_whoever_it_is_one_hash_as_costly_is_compared(ada, hashings):
    invited = people.create_person(email="eve@mercy.example", name="Eve", roles=["nurse"])
    gone = a_person(ada.tenant, "nurse")
    people.deactivate(gone.user)
    waiting = a_person(ada.tenant, "nurse")
    for _ in range(5):
        try_wrong(waiting)
    disabled = a_person(ada.tenant, "nurse")
    AuthenticatorFailures.objects.filter(user=disabled.user).update(disabled_at=timezone.now())
    costs = set()
    for email in (
        "nobody@example.org",
        "",
        ada.email,
        invited.email,
        gone.email,
        waiting.email,
        disabled.email,
    ):
        hashings.clear()
        assert not try_password(email, "certainly not this one")
        [encoded] = hashings
        costs.add(str(passwords.PepperedArgon2().decode(encoded)["params"]))
    assert len(costs) == 1


def policies_of(tenant, **changes):
    with tenancy.bind(tenant):
        policies.change(kind="sign-in", changes=changes, actor=ADMIN)


@pytest.mark.spec("V1", "D18")
def test_a_network_that_fails_too_often_is_slowed_down_and_told_once(mercy, trail, clock):
    people_ = [a_person(mercy, "nurse") for _ in range(12)]
    statuses = [give_password(Client(), one, password="wrong").status_code for one in people_]
    assert statuses == [200] * 10 + [429] * 2
    answer = give_password(Client(), people_[0])
    assert (answer.status_code, answer["Retry-After"]) == (429, "60")
    assert "Wait a minute" in answer.content.decode()
    assert [code for code, _, _ in trail(mercy)].count("auth.login.fail") == 10
    [(_, _, details)] = trail(mercy, "audit.anomaly")
    assert details["reason"] == f"throttled: {limits.SIGN_IN_FAILURES}"
    assert Client().get(f"/t/{mercy.slug}/login").status_code == 200
    clock.shift(60)
    assert give_password(Client(), people_[0]).status_code == 302


@pytest.mark.spec("D18")
def test_a_shift_change_behind_one_address_is_not_slowed_down(mercy):
    let_patients_sign_in_with_a_password(mercy)
    ward = [a_person(mercy, "patient", mfa=False) for _ in range(15)]
    assert {give_password(Client(), one).status_code for one in ward} == {302}


@pytest.mark.spec("D18")
def test_trusted_networks_are_exempt(mercy):
    policies_of(mercy, trusted_networks=["127.0.0.1/32"])
    ward = [a_person(mercy, "nurse") for _ in range(12)]
    statuses = {give_password(Client(), one, password="wrong").status_code for one in ward}
    assert statuses == {200}


def test_the_page_of_the_code_says_how_long_to_wait(mercy):
    policies_of(mercy, trusted_networks=["127.0.0.0/8"])
    ada, client = a_person(mercy, "doctor"), Client()
    give_password(client, ada)
    pages = [give_code(client, ada, "000000").content.decode() for _ in range(6)]
    assert "Wait 30 seconds" in pages[-1]
    assert "Wait for the next one" in pages[0]


def test_a_wrong_present_password_counts_as_well(mercy, client, dr_ada):
    sign_in(client, dr_ada)
    form = {"present": "wrong", "password": PASSWORD + " x", "again": PASSWORD + " x"}
    client.post(f"/t/{mercy.slug}/password", form)
    with tenancy.bind(mercy):
        here = AuthenticatorFailures.objects.exclude(device=None).get(authenticator="password")
        assert here.failures == 1
