"""Sessions: found by digest, rotated, ended by the server, each tenant's own (N12, N14, D2, K9)."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.contrib.sessions.backends.base import UpdateError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from authfi.accounts import people, sessions, signals
from authfi.accounts.models import Session
from authfi.lib import tenancy
from tenants import policies
from tests.cast import ADMIN, a_person, give_code, give_password, sign_in

MINUTE, HOUR = 60, 3600


def name_of(tenant):
    return f"authfi_{tenant.slug}"


def cookie(client, tenant):
    return client.cookies[name_of(tenant)].value


def browser_with(tenant, value):
    other = Client()
    other.cookies[name_of(tenant)] = value
    return other


@pytest.fixture
def clock():
    with time_machine.travel(timezone.now(), tick=False) as traveller:
        yield traveller


@pytest.mark.spec("N14")
def test_a_session_planted_before_the_sign_in_is_worth_nothing_after_it(
    client, dr_ada, is_signed_in
):
    client.get(f"/t/{dr_ada.tenant.slug}/login")
    planted = cookie(client, dr_ada.tenant)
    give_password(client, dr_ada)
    between = cookie(client, dr_ada.tenant)
    give_code(client, dr_ada)
    final = cookie(client, dr_ada.tenant)
    assert len({planted, between, final}) == 3
    assert is_signed_in(client, dr_ada.tenant)
    assert not is_signed_in(browser_with(dr_ada.tenant, planted), dr_ada.tenant)
    assert not is_signed_in(browser_with(dr_ada.tenant, between), dr_ada.tenant)


@pytest.mark.spec("N14")
def test_a_planted_value_is_never_adopted(client, pat):
    planted = "ab" * 32
    attacked = browser_with(pat.tenant, planted)
    sign_in(attacked, pat)
    assert cookie(attacked, pat.tenant) != planted
    with tenancy.bind(pat.tenant):
        assert not sessions.SessionStore().exists(planted)


@pytest.mark.spec("N14", "T1")
def test_a_cookie_of_one_tenant_is_worth_nothing_in_another(client, pat, lakeside, is_signed_in):
    sign_in(client, pat)
    stolen = browser_with(lakeside, cookie(client, pat.tenant))
    assert not is_signed_in(stolen, lakeside)
    assert is_signed_in(client, pat.tenant)


@pytest.mark.spec("N14")
def test_sign_ins_of_two_tenants_live_side_by_side(client, pat, lakeside, is_signed_in):
    other = a_person(lakeside, "doctor")
    sign_in(client, pat)
    sign_in(client, other)
    assert is_signed_in(client, pat.tenant)
    assert is_signed_in(client, lakeside)
    client.post(f"/t/{lakeside.slug}/logout")
    assert is_signed_in(client, pat.tenant)
    assert not is_signed_in(client, lakeside)


@pytest.mark.spec("N14")
def test_only_a_digest_of_the_cookie_is_stored(client, pat):
    sign_in(client, pat)
    value = cookie(client, pat.tenant)
    assert re.fullmatch(r"[0-9a-f]{64}", value)
    with tenancy.bind(pat.tenant):
        row = Session.objects.get()
        assert row.key_digest == sessions.digest(value) != value
        assert row.user == pat.user


@pytest.mark.spec("N14")
@pytest.mark.parametrize("value", ["", "x", "' OR 1=1", "AB" * 32, "ab" * 33, "ab" * 32])
def test_a_cookie_that_is_none_of_ours_is_dropped(pat, value, is_signed_in):
    odd = browser_with(pat.tenant, value)
    assert not is_signed_in(odd, pat.tenant)
    assert odd.cookies[name_of(pat.tenant)].value == ""


@pytest.mark.spec("K9")
def test_the_cookie_is_closed_to_scripts_and_other_sites(client, pat):
    sign_in(client, pat)
    morsel = client.cookies[name_of(pat.tenant)]
    assert morsel["httponly"]
    assert morsel["samesite"] == "Lax"
    assert morsel["path"] == "/"
    assert (morsel["max-age"], morsel["expires"]) == ("", ""), "ends with the browser"


@pytest.mark.spec("K9")
def test_in_production_the_cookie_is_bound_to_host_and_tls(settings, client, pat):
    settings.PRODUCTION = settings.SESSION_COOKIE_SECURE = True
    client.get(f"/t/{pat.tenant.slug}/login", secure=True)
    morsel = client.cookies[f"__Host-authfi_{pat.tenant.slug}"]
    assert morsel["secure"]
    assert morsel["httponly"]
    assert morsel["path"] == "/"
    assert not morsel["domain"]


@pytest.mark.spec("D2")
def test_outside_a_tenant_there_is_a_session_but_never_a_cookie(client):
    response = client.get("/nowhere")
    assert response.status_code == 404
    assert response.wsgi_request.session.is_empty()
    assert not response.wsgi_request.user.is_authenticated
    assert not client.cookies


def test_a_page_without_a_form_stores_no_session(client, mercy):
    assert client.get(f"/t/{mercy.slug}/").status_code == 302
    assert not client.cookies
    with tenancy.bind(mercy):
        assert not Session.objects.exists()


@pytest.mark.spec("N12")
@pytest.mark.parametrize(
    ("role", "absolute", "idle"),
    [("patient", 12 * HOUR, 30 * MINUTE), ("doctor", 12 * HOUR, 15 * MINUTE),
     ("nurse", 12 * HOUR, 15 * MINUTE), ("admin", 8 * HOUR, 15 * MINUTE),
     ("privacy-officer", 8 * HOUR, 15 * MINUTE)],
)  # fmt: skip
def test_sessions_end_when_nothing_happens_and_at_last_anyway(
    client, mercy, clock, is_signed_in, role, absolute, idle
):
    person = a_person(mercy, role)
    sign_in(client, person)
    clock.shift(idle - 1)
    assert is_signed_in(client, mercy)
    clock.shift(idle + 1)
    assert not is_signed_in(client, mercy)

    sign_in(client, person)
    step = idle - 60
    for _ in range(absolute // step):
        clock.shift(step)
        assert is_signed_in(client, mercy)
    clock.shift(absolute % step + 1)
    assert not is_signed_in(client, mercy)


@pytest.mark.spec("N12")
def test_of_several_roles_the_strictest_limits_hold(client, mercy, clock, is_signed_in):
    person = a_person(mercy, "patient", "doctor", "admin")
    sign_in(client, person)
    with tenancy.bind(mercy):
        row = Session.objects.get()
    assert row.ends_at - timezone.now() == timedelta(hours=8)
    assert row.expires_at - timezone.now() == timedelta(minutes=15)


@pytest.mark.spec("N12")
def test_the_tenant_may_set_shorter_limits(client, pat, clock, is_signed_in):
    with tenancy.bind(pat.tenant):
        policies.change(kind="sign-in", changes={"patient_idle_seconds": 120}, actor=ADMIN)
    sign_in(client, pat)
    clock.shift(121)
    assert not is_signed_in(client, pat.tenant)


@pytest.mark.spec("N14")
def test_signing_out_ends_it_for_whoever_has_the_cookie(client, pat, is_signed_in):
    sign_in(client, pat)
    kept = cookie(client, pat.tenant)
    ended = []

    def hear(user, session_ids, **_):
        ended.append((user.pk, session_ids))

    with tenancy.bind(pat.tenant):
        session_id = Session.objects.get().pk
    signals.sessions_ended.connect(hear)
    try:
        client.post(f"/t/{pat.tenant.slug}/logout")
    finally:
        signals.sessions_ended.disconnect(hear)
    assert ended == [(pat.user.pk, [session_id])]
    assert client.cookies[name_of(pat.tenant)].value == ""
    assert not is_signed_in(browser_with(pat.tenant, kept), pat.tenant)


@pytest.mark.spec("N14")
def test_a_new_factor_ends_every_session(client, dr_ada, is_signed_in):
    sign_in(client, dr_ada)
    with tenancy.bind(dr_ada.tenant):
        people.enrol_totp(dr_ada.user, "ab" * 20)
    assert not is_signed_in(client, dr_ada.tenant)


@pytest.mark.spec("N14")
def test_somebody_else_signing_in_ends_the_former_session(client, pat, is_signed_in):
    sign_in(client, pat)
    former = cookie(client, pat.tenant)
    sign_in(client, a_person(pat.tenant, "nurse"))
    assert is_signed_in(client, pat.tenant)
    assert not is_signed_in(browser_with(pat.tenant, former), pat.tenant)
    with tenancy.bind(pat.tenant):
        assert not Session.objects.filter(user=pat.user).exists()


def test_a_form_sent_twice_signs_in_twice_and_fails_never(client, pat, is_signed_in):
    client.get(f"/t/{pat.tenant.slug}/login")
    twice = browser_with(pat.tenant, cookie(client, pat.tenant))
    with tenancy.bind(pat.tenant):
        store = sessions.SessionStore(cookie(client, pat.tenant))
        store.get("loaded")
    sign_in(client, pat)
    with tenancy.bind(pat.tenant):
        store.begin(pat.user, kind="patient", facts={"aal": 1, "amr": ["pwd"], "auth_time": 1})
    assert is_signed_in(client, pat.tenant)
    assert is_signed_in(browser_with(pat.tenant, store.session_key), pat.tenant)
    assert not is_signed_in(twice, pat.tenant)


@pytest.mark.spec("N14")
def test_a_request_that_was_under_way_does_not_bring_a_session_back(client, pat):
    sign_in(client, pat)
    with tenancy.bind(pat.tenant):
        store = sessions.SessionStore(cookie(client, pat.tenant))
        store["something"] = "changed"
        sessions.end(pat.user)
        with pytest.raises(UpdateError):
            store.save()
        assert not Session.objects.exists()


def test_ending_may_keep_one_and_touches_nobody_elses(client, pat):
    other = a_person(pat.tenant, "nurse")
    for person in (pat, pat, other):
        sign_in(Client(), person)
    with tenancy.bind(pat.tenant):
        kept = Session.objects.filter(user=pat.user)[0]
        assert len(sessions.end(pat.user, keep=kept.pk)) == 1
        assert {row.user for row in Session.objects.all()} == {pat.user, other.user}
        assert sessions.end(pat.user, only=[]) == []


def test_activity_is_noted_now_and_then_not_on_every_request(client, pat, clock):
    sign_in(client, pat)
    home = f"/t/{pat.tenant.slug}/logout"
    client.get(home)

    def writes():
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(home)
        return [query["sql"] for query in queries if query["sql"].startswith("UPDATE")]

    assert writes() == []
    clock.shift(sessions.TOUCH_SECONDS)
    assert len(writes()) == 1
    assert writes() == []
