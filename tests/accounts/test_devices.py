"""Mistakes of strangers do not keep a person out where they signed in before (N6, D18)."""

import re
from datetime import timedelta

import pytest
from django.test import Client

from audit.events import Actor
from audit.models import AuditEvent
from authfi.accounts import devices, people, signin
from authfi.accounts.models import AuthenticatorFailures, KnownDevice
from authfi.lib import tenancy
from smart import forced_logout
from tenants import policies, tasks
from tests.cast import (
    ADMIN,
    PASSWORD,
    a_person,
    give_code,
    give_password,
    let_patients_sign_in_with_a_password,
    sign_in,
)

pytestmark = [pytest.mark.spec("N6", "D18"), pytest.mark.usefixtures("clock")]


@pytest.fixture
def trusting(mercy):
    """Mercy does not count failures by network, so that those of accounts are all there is."""
    with tenancy.bind(mercy):
        changes = {"trusted_networks": ["0.0.0.0/0"]}
        policies.change(kind="sign-in", changes=changes, actor=ADMIN)
    return mercy


@pytest.fixture
def ada(trusting):
    return a_person(trusting, "doctor", name="Ada Quimby", email="ada@mercy.example")


def a_ward(tenant):
    """Patients whose password is enough, which keeps some stories short."""
    let_patients_sign_in_with_a_password(tenant)
    return lambda: a_person(tenant, "patient", mfa=False)


@pytest.fixture
def ward(trusting):
    return a_ward(trusting)


@pytest.fixture
def counted_ward(mercy):
    """One whose failures are counted by network as well."""
    return a_ward(mercy)


def is_known(person, client):
    """Can the person sign in here while mistakes made elsewhere delay them?"""
    stranger = Client()
    for _ in range(5):
        give_password(stranger, person, password="wrong")
    is_taken = give_password(client, person).status_code == 302
    with tenancy.bind(person.tenant):
        AuthenticatorFailures.objects.filter(user=person.user).update(failures=0)
    return is_taken


def a_known_browser(person):
    client = Client()
    sign_in(client, person)
    return client


def name_of(tenant):
    return f"authfi_device_{tenant.slug}"


def value_in(client, tenant):
    return client.cookies[name_of(tenant)].value


def a_copy(client, tenant):
    """Another browser that has the cookie as it is now."""
    other = Client()
    other.cookies[name_of(tenant)] = value_in(client, tenant)
    return other


def locks(tenant):
    with tenancy.bind(tenant):
        told = AuditEvent.objects.filter(code="auth.lock").order_by("seq")
        return [(row.details["reason"], row.details["device"]) for row in told]


@pytest.mark.spec("A1")
def test_strangers_who_know_the_address_cannot_delay_a_known_browser(ada):
    known, fresh = a_known_browser(ada), Client()
    for _ in range(8):
        give_password(Client(), ada, password="wrong")
    assert give_password(fresh, ada).status_code == 200, "where nobody knows it, it waits"
    assert sign_in(known, ada).status_code == 302
    assert give_password(fresh, ada).status_code == 200, "what it proved holds for it alone"
    assert locks(ada.tenant) == [("password delayed", "unknown")]


@pytest.mark.spec("A1")
def test_nor_end_its_password_over_days(ada, clock):
    known = a_known_browser(ada)
    for _ in range(50):
        give_password(Client(), ada, password="wrong")
        clock.shift(3600)
    clock.shift(timedelta(days=30))
    assert give_password(Client(), ada).status_code == 200
    assert sign_in(known, ada).status_code == 302
    assert locks(ada.tenant) == [("password delayed", "unknown"), ("password disabled", "unknown")]


def test_nor_its_codes_even_if_they_know_the_password(ada, clock):
    known, stranger = a_known_browser(ada), Client()
    give_password(stranger, ada)
    for _ in range(50):
        give_code(stranger, ada, "000000" if ada.code() != "000000" else "111111")
        clock.shift(3600)
        give_password(stranger, ada)
    refused = give_code(stranger, ada)
    assert "switched off" in refused.content.decode()
    assert sign_in(known, ada).status_code == 302
    with tenancy.bind(ada.tenant):
        people.enrol_totp(ada.user, "ab" * 20)
        left = AuthenticatorFailures.objects.exclude(disabled_at=None)
        assert not left.exists(), "a new app starts anew"


def test_a_known_browsers_own_mistakes_count_there_and_only_there(ada, clock):
    ward_pc, phone = a_known_browser(ada), a_known_browser(ada)
    for _ in range(50):
        give_password(ward_pc, ada, password="wrong")
        clock.shift(3600)
    clock.shift(timedelta(days=30))
    assert give_password(ward_pc, ada).status_code == 200
    assert give_password(phone, ada).status_code == 302
    assert give_password(Client(), ada).status_code == 302
    assert locks(ada.tenant) == [("password delayed", "known"), ("password disabled", "known")]


def test_a_known_browser_waits_after_five_and_starts_anew_after_a_right_one(ada, clock):
    known = a_known_browser(ada)
    for _ in range(5):
        give_password(known, ada, password="wrong")
    assert give_password(known, ada).status_code == 200
    clock.shift(30)
    assert sign_in(known, ada).status_code == 302
    with tenancy.bind(ada.tenant):
        counted = AuthenticatorFailures.objects.exclude(device=None).filter(
            authenticator="password"
        )
        assert [row.failures for row in counted] == [0]


def test_the_present_password_is_asked_of_a_known_browser_by_itself(ada):
    known = a_known_browser(ada)
    for _ in range(5):
        give_password(Client(), ada, password="wrong")
    new = "other kettles sing at ten"
    form = {"present": PASSWORD, "password": new, "again": new}
    page = known.post(f"/t/{ada.tenant.slug}/password", form)
    assert "not your present password" not in page.content.decode()
    assert give_password(Client(), ada, password=new).status_code == 302


def test_a_password_alone_makes_no_browser_known_where_a_code_is_to_come(ada):
    half = Client()
    give_password(half, ada)
    assert name_of(ada.tenant) not in half.cookies
    assert not is_known(ada, half)


@pytest.mark.spec("K9")
def test_the_cookie_says_nothing_and_is_closed_to_scripts_and_other_sites(ada):
    known = a_known_browser(ada)
    morsel = known.cookies[name_of(ada.tenant)]
    assert re.fullmatch(r"[0-9a-f]{64}", morsel.value)
    assert morsel["httponly"]
    assert (morsel["samesite"], morsel["path"], morsel["domain"]) == ("Lax", "/", "")
    assert morsel["max-age"] == timedelta(days=90).total_seconds()
    with tenancy.bind(ada.tenant):
        stored = KnownDevice.objects.get(user=ada.user)
        assert stored.key_digest == devices.digest(morsel.value) != morsel.value


@pytest.mark.spec("K9")
def test_in_production_it_is_bound_to_host_and_tls(settings, ward):
    pat, client = ward(), Client()
    settings.PRODUCTION = settings.SESSION_COOKIE_SECURE = True
    form = {"email": pat.email, "password": pat.password}
    client.post(f"/t/{pat.tenant.slug}/login", form, secure=True)
    morsel = client.cookies[f"__Host-authfi_device_{pat.tenant.slug}"]
    assert morsel["secure"]
    assert (morsel["path"], morsel["domain"]) == ("/", "")
    for _ in range(6):
        Client().post(f"/t/{pat.tenant.slug}/login", form | {"password": "no"}, secure=True)
    again = client.post(f"/t/{pat.tenant.slug}/login", form, secure=True)
    assert again.status_code == 302


def test_each_sign_in_changes_it_and_a_copy_of_the_former_is_worth_nothing(ward):
    pat = ward()
    known = a_known_browser(pat)
    copied = a_copy(known, pat.tenant)
    sign_in(known, pat)
    assert value_in(known, pat.tenant) != copied.cookies[name_of(pat.tenant)].value
    assert not is_known(pat, copied)
    assert is_known(pat, known)
    with tenancy.bind(pat.tenant):
        assert KnownDevice.objects.filter(user=pat.user).count() == 1


def test_people_who_share_a_browser_are_known_there_each_by_themselves(ward):
    pat, sam, eve = ward(), ward(), ward()
    shared = a_known_browser(pat)
    sign_in(shared, sam)
    assert is_known(pat, shared)
    assert is_known(sam, shared)
    assert not is_known(eve, shared)


def test_a_browser_is_known_to_one_organisation_only(ward, lakeside):
    pat = ward()
    let_patients_sign_in_with_a_password(lakeside)
    other = a_person(lakeside, "patient", mfa=False, email=pat.email)
    known = a_known_browser(pat)
    known.cookies[name_of(lakeside)] = value_in(known, pat.tenant)
    assert not is_known(other, known)
    assert is_known(pat, known)


@pytest.mark.parametrize("value", ["", "x", "' OR 1=1", "AB" * 32, "ab" * 33, "ab" * 32, "\u00e9"])
def test_a_value_that_is_none_of_ours_is_no_value(ward, value):
    pat, odd = ward(), Client()
    odd.cookies[name_of(pat.tenant)] = value
    assert not is_known(pat, odd)


@pytest.mark.spec("N14")
def test_a_new_password_leaves_the_browser_known_where_it_was_chosen_and_no_other(ward):
    pat = ward()
    here, elsewhere = a_known_browser(pat), a_known_browser(pat)
    copied, new = a_copy(here, pat.tenant), "other kettles sing at ten"
    form = {"present": PASSWORD, "password": new, "again": new}
    here.post(f"/t/{pat.tenant.slug}/password", form)
    object.__setattr__(pat, "password", new)
    assert not is_known(pat, elsewhere)
    assert not is_known(pat, copied)
    assert is_known(pat, here)


def force_out(pat):
    forced_logout.log_out(user=pat.user, actor=Actor.system("tests"))


def change_password(pat):
    people.change_password(user=pat.user, password=PASSWORD, actor=ADMIN)


def enrol(pat):
    people.enrol_totp(pat.user, "ab" * 20)


@pytest.mark.spec("N14", "H10")
@pytest.mark.parametrize("end", [force_out, change_password, enrol])
def test_what_ends_every_session_ends_every_known_device(ward, end):
    pat = ward()
    known = a_known_browser(pat)
    with tenancy.bind(pat.tenant):
        end(pat)
        assert not KnownDevice.objects.filter(user=pat.user).exists()
    assert not is_known(pat, known)


def test_signing_out_does_not(ward):
    pat = ward()
    known = a_known_browser(pat)
    known.post(f"/t/{pat.tenant.slug}/logout")
    assert is_known(pat, known)


def test_a_browser_not_used_for_90_days_is_unknown_and_swept(ward, clock):
    pat = ward()
    known = a_known_browser(pat)
    clock.shift(timedelta(days=89))
    assert is_known(pat, known), "which is a sign-in: from here on it is 90 days again"
    clock.shift(timedelta(days=89))
    assert is_known(pat, known)
    clock.shift(timedelta(days=90, hours=2))
    assert not is_known(pat, known)
    with tenancy.bind(pat.tenant):
        tasks._sweep(pat.tenant)  # this tenant only: for all others it is not 2031
        assert not KnownDevice.objects.filter(user=pat.user).exists()


def test_of_many_browsers_the_one_not_used_for_longest_falls(ward, clock, monkeypatch):
    monkeypatch.setattr(devices, "MOST", 3)
    pat, browsers = ward(), []
    for _ in range(4):
        browsers.append(a_known_browser(pat))
        clock.shift(60)
    assert [is_known(pat, one) for one in browsers[1:]] == [True] * 3
    assert not is_known(pat, browsers[0])


@pytest.mark.spec("V1")
def test_strangers_in_the_same_network_do_not_keep_a_known_browser_out(counted_ward):
    pat, others = counted_ward(), [counted_ward() for _ in range(11)]
    known = a_known_browser(pat)
    statuses = [give_password(Client(), one, password="wrong").status_code for one in others]
    assert statuses[-1] == 429
    assert give_password(Client(), pat).status_code == 429
    assert give_password(known, pat).status_code == 302


@pytest.mark.spec("V1", "V2")
def test_a_known_browser_is_one_of_its_network_at_other_peoples_accounts(counted_ward, trail):
    pat, others = counted_ward(), [counted_ward() for _ in range(9)]
    known = a_known_browser(pat)
    emails = [*(one.email for one in others), "nobody@mercy.example", "no-one@mercy.example"]
    statuses = [
        give_password(known, pat, email=email, password="wrong").status_code for email in emails
    ]
    assert statuses == [200] * 10 + [429]
    assert give_password(known, others[0]).status_code == 429
    assert give_password(Client(), others[0]).status_code == 429
    [(_, _, details)] = trail(pat.tenant, "audit.anomaly")
    assert details["key"] == "127.0.0.1"
    assert give_password(known, pat).status_code == 302, "its own person's account"


@pytest.mark.spec("V1")
def test_an_account_of_ones_own_buys_no_tries_at_those_of_others(counted_ward):
    mallory, others = counted_ward(), [counted_ward() for _ in range(10)]
    browsers, statuses = [a_known_browser(mallory) for _ in range(3)], []
    for known in browsers:
        statuses += [give_password(known, one, password="wrong").status_code for one in others]
    assert statuses == [200] * 10 + [429] * 20


@pytest.mark.spec("V1")
def test_a_known_browser_fails_as_seldom_in_a_minute_as_a_network(counted_ward, trail):
    pat = counted_ward()
    known = a_known_browser(pat)
    with tenancy.bind(pat.tenant):
        device = KnownDevice.objects.get(user=pat.user)
    statuses = [give_password(known, pat, password="wrong").status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    assert give_password(Client(), pat).status_code == 302, "the network is not to blame"
    [(_, _, details)] = trail(pat.tenant, "audit.anomaly")
    assert details["key"] == f"device {device.pk}"


def test_a_device_that_ends_during_an_attempt_is_as_unknown(ward, monkeypatch):
    pat = ward()
    a_known_browser(pat)
    with tenancy.bind(pat.tenant):
        ended = KnownDevice.objects.get(user=pat.user)
        KnownDevice.objects.all().delete()
        monkeypatch.setattr(devices, "find", lambda user_id, browser: ended)
        assert signin.is_password_of(pat.user, "wrong") is False
        assert signin.is_password_of(pat.user, pat.password)
        [row] = AuthenticatorFailures.objects.filter(user=pat.user, authenticator="password")
        assert row.device is None


def test_two_tabs_that_sign_in_at_once_both_succeed(ward):
    pat = ward()
    first = a_known_browser(pat)
    second = a_copy(first, pat.tenant)
    assert sign_in(first, pat).status_code == sign_in(second, pat).status_code == 302
    assert is_known(pat, first)
    assert is_known(pat, second)
