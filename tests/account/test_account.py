"""A person sees which apps act for them, ends one, and lets one see less (REVO-04, REVO-05)."""

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit import events, record
from authfi.lib import tenancy
from consent.models import Consent
from smart import grants, tokens
from smart.account import app_access
from smart.models import Grant
from smart.server import token_store
from tests.account.conftest import allowed
from tests.cast import a_person, sign_in
from tests.forms import boxes_of, fields_of
from tests.server.conftest import Flow, an_app, refused, trail


def text_of(response):
    assert response.status_code == 200, response
    body = re.sub(r"<head>.*?</head>|</?bdi>", "", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def is_live(pats):
    with tenancy.bind(pats.flow.tenant):
        audience = f"{pats.flow.issuer}/fhir"
        try:
            tokens.authenticate(
                pats.body["access_token"], tenant=pats.flow.tenant, audience=audience
            )
        except tokens.InvalidTokenError:
            return False
    return True


@pytest.mark.spec("REVO-05")
def test_each_app_is_told_with_what_it_may_do(pats):
    with tenancy.bind(pats.flow.tenant):
        reading = events.Event(
            code=events.Code.FHIR_READ_ALLOW,
            outcome=events.Outcome.SUCCESS,
            actor=events.Actor.person(pats.grant.user_id),
            client_id="growth-chart",
        )
        record.record(reading)
    page = text_of(pats.client.get(pats.path))
    today = f"{timezone.now():%Y}"
    for words in (
        "Growth Chart",
        "View all your health records, now and in the future",
        "Know who you are",
        "Until you stop it, also when you are away",
        "Record of Pat Lindqvist",
        f"Last used {timezone.now().day} ",
        "Stop access",
    ):
        assert words in page
    assert re.search(rf"Since \d+ \w+ {today}, \d\d:\d\d UTC", page)
    assert re.search(r"At most until \d+ \w+ \d{4}", page)


@pytest.mark.spec("DISC-15")
def test_discovery_names_the_page(pats):
    found = pats.client.get(f"{pats.flow.path}/fhir/.well-known/smart-configuration").json()
    assert found["management_endpoint"] == f"{pats.flow.issuer}/account"


@pytest.mark.spec("REVO-05")
def test_an_app_that_was_not_used_says_so(pats):
    assert "Last used Not yet" in text_of(pats.client.get(pats.path))


@pytest.mark.spec("REVO-05")
def test_however_long_the_trail_is_only_its_newest_events_are_read(pats, mercy, pat, monkeypatch):
    ask = events.Event(
        code=events.Code.FHIR_READ_ALLOW,
        outcome=events.Outcome.SUCCESS,
        actor=events.Actor.person(pat.user.pk),
        client_id="growth-chart",
    )
    other = replace(ask, client_id="another-app")
    with tenancy.bind(mercy):
        record.record(ask)
        record.record(other)
    assert f"Last used {timezone.now().day} " in text_of(pats.client.get(pats.path))
    monkeypatch.setattr(app_access, "READ_BACK", 3)
    with tenancy.bind(mercy):
        for _ in range(3):
            record.record(other)
    page = text_of(pats.client.get(pats.path))
    assert "Last used Not lately" in page
    with tenancy.bind(mercy), CaptureQueriesContext(connection) as queries:
        app_access.live_access(pat.user)
    bounded = [one["sql"] for one in queries if "MAX(" in one["sql"]]
    assert len(bounded) == 1
    assert '"audit_event"."at" >= ' in bounded[0]


@pytest.mark.spec("REVO-05")
def test_the_page_without_apps_teaches(mercy, growth_chart, pat):
    browser = Client()
    sign_in(browser, pat)
    page = text_of(browser.get(f"/t/{mercy.slug}/account"))
    assert "No app has access now" in page
    assert "When you let an app use your records, you will see it here." in page


@pytest.mark.spec("REVO-05")
def test_a_stranger_signs_in_first_and_sees_only_their_own(pats, mercy):
    assert "/login?next=" in Client().get(pats.path)["Location"]
    someone = a_person(mercy, "patient", mfa=False, fhir_user="Patient/790")
    browser = Client()
    sign_in(browser, someone)
    assert "Growth Chart" not in text_of(browser.get(pats.path))
    for action in ("end", "change"):
        for method in (browser.get, browser.post):
            assert method(f"{pats.path}/apps/{pats.consent.pk}/{action}").status_code == 404
            assert method(f"{pats.path}/apps/{uuid4()}/{action}").status_code == 404
    assert is_live(pats)


@pytest.mark.spec("REVO-04", "C7", "REFR-19")
def test_ending_tells_the_consequence_and_is_effective_at_once(pats):
    address = f"{pats.path}/apps/{pats.consent.pk}/end"
    page = pats.client.get(address)
    assert "Stop Growth Chart?" in text_of(page)
    assert "It may keep the data it has by now." in text_of(page)
    assert is_live(pats)

    assert pats.client.post(address, fields_of(page))["Location"] == pats.path
    assert not is_live(pats)
    refused(pats.refresh(), "invalid_grant")
    page = text_of(pats.client.get(pats.path))
    assert "No app has access now" in page
    assert "Stopped" in page

    [(_, outcome, details)] = trail(pats.flow.tenant, "consent.revoke")
    assert outcome == "success"
    assert details["actor"]["id"] == str(pats.grant.user_id)
    assert details["consent"] == str(pats.consent.pk)
    [(_, _, ended)] = trail(pats.flow.tenant, "token.revoke")
    assert ended["reason"] == "consent_withdrawn"
    assert ended["actor"]["id"] == str(pats.grant.user_id)


@pytest.mark.spec("O7")
def test_ending_needs_the_forms_secret(pats):
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = pats.client.cookies
    assert strict.post(f"{pats.path}/apps/{pats.consent.pk}/end").status_code == 403
    assert is_live(pats)


@pytest.mark.spec("REVO-04")
def test_ending_ends_every_grant_of_the_app_on_this_record(pats, mercy, pat):
    again = allowed(mercy, pat)
    pats.client.post(f"{pats.path}/apps/{again.consent.pk}/end")
    assert not is_live(pats)
    assert not is_live(again)


@pytest.mark.spec("REVO-04")
def test_another_app_keeps_its_access(pats, mercy, pat):
    an_app(mercy, client_id="other", name="Other App")
    other = allowed(mercy, pat, "launch/patient openid patient/*.rs", client_id="other")
    pats.client.post(f"{pats.path}/apps/{other.consent.pk}/end")
    assert is_live(pats)
    assert not is_live(other)


def test_what_has_ended_is_not_ended_again(pats):
    address = f"{pats.path}/apps/{pats.consent.pk}/end"
    pats.client.post(address)
    assert pats.client.post(address).status_code == 404
    assert len(trail(pats.flow.tenant, "consent.revoke")) == 1


@pytest.mark.spec("REVO-05")
def test_past_decisions_are_listed(mercy, growth_chart, pat):
    flow = Flow(mercy)
    sign_in(flow.client, pat)
    flow.decide(flow.begin(), "deny")
    assert "You said no" in text_of(flow.client.get(f"{flow.path}/account"))


@pytest.mark.spec("REVO-05")
def test_access_that_came_to_its_end_is_past(pats):
    with tenancy.bind(pats.flow.tenant):
        Grant.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    page = text_of(pats.client.get(pats.path))
    assert "No app has access now" in page
    assert "Came to its end" in page


@pytest.mark.spec("C3")
def test_a_remembered_decision_is_listed_and_can_be_forgotten(pats):
    with tenancy.bind(pats.flow.tenant):
        Consent.objects.update(remember=True)
        Grant.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    page = text_of(pats.client.get(pats.path))
    assert "Will not ask again" in page
    address = f"{pats.path}/apps/{pats.consent.pk}/end"
    assert "Let Growth Chart ask you again?" in text_of(pats.client.get(address))
    pats.client.post(address)
    assert "Will not ask again" not in text_of(pats.client.get(pats.path))
    assert pats.consent.state == Consent.State.INACTIVE


@pytest.mark.spec("REVO-05", "C2")
def test_narrowing_takes_effect_at_the_next_refresh(pats):
    address = f"{pats.path}/apps/{pats.consent.pk}/change"
    page = pats.client.get(address)
    assert all(boxes_of(page).values())
    opened = pats.client.post(address, {**fields_of(page), "open": "patient/*.rs"})
    form = fields_of(opened) | {"scope": ["patient/Goal.rs", "offline_access", "user/*.rs"]}
    assert pats.client.post(address, form)["Location"] == pats.path

    body = pats.refresh().json()
    assert body["scope"].split() == [
        "launch/patient",
        "openid",
        "patient/Goal.rs",
        "offline_access",
    ]
    assert pats.grant.scopes == body["scope"]
    assert "patient/*.rs" not in pats.consent.scopes
    [(_, _, details)] = trail(pats.flow.tenant, "consent.narrow")
    assert details["left_out"] == {"fhirUser": "person", "patient/*.rs": "person"}
    assert details["actor"]["id"] == str(pats.grant.user_id)
    assert "View your health goals" in text_of(pats.client.get(pats.path))


@pytest.mark.spec("REVO-05", "C3", "C7")
def test_narrowing_reaches_older_decisions_that_are_remembered(pats):
    with tenancy.bind(pats.flow.tenant):
        now = Consent.objects.get()
        facts = ("application_id", "user_id", "patient", "decision", "state", "scopes", "text_id")
        older = Consent(**{name: getattr(now, name) for name in facts}, remember=True)
        older.decided_at = now.decided_at - timedelta(days=9)
        older.save(force_insert=True)
    address = f"{pats.path}/apps/{pats.consent.pk}/change"
    form = fields_of(pats.client.get(address))
    form["scope"] = [scope for scope in form["scope"] if scope != "offline_access"]
    assert pats.client.post(address, form)["Location"] == pats.path
    with tenancy.bind(pats.flow.tenant):
        kept = [consent.scopes.split() for consent in Consent.objects.all()]
    assert len(kept) == 2
    assert not any("offline_access" in scopes for scopes in kept)


@pytest.mark.spec("REVO-05", "REFR-17")
def test_lasting_access_can_be_taken_away(pats):
    address = f"{pats.path}/apps/{pats.consent.pk}/change"
    form = fields_of(pats.client.get(address))
    form["scope"] = [scope for scope in form["scope"] if scope != "offline_access"]
    pats.client.post(address, form)
    refused(pats.refresh(), "invalid_grant")
    assert is_live(pats)
    assert pats.grant.expires_at <= timezone.now() + timedelta(minutes=15)
    assert "For a short time" in text_of(pats.client.get(pats.path))


@pytest.mark.spec("REVO-05")
def test_narrowing_to_nothing_leads_to_ending(pats):
    address = f"{pats.path}/apps/{pats.consent.pk}"
    response = pats.client.post(f"{address}/change", {"scope": []})
    assert response["Location"] == f"{address}/end"
    assert is_live(pats)
    assert "patient/*.rs" in pats.grant.scopes


@pytest.mark.spec("D17", "REVO-05")
def test_a_long_list_of_what_an_app_may_do_is_folded(pats):
    chosen = ["patient/Goal.rs", "patient/Patient.rs", "patient/Device.rs"]
    assert "<details>" not in fold_of(pats, *chosen)
    kinds = "Account Appointment CarePlan CareTeam Claim Condition Contract Coverage Encounter Flag"
    folded = fold_of(pats, *chosen, *(f"patient/{kind}.rs" for kind in kinds.split()))
    shown, _, rest = folded.partition("<summary>8 more</summary>")
    assert (shown.count("<li>"), rest.count("<li>")) == (6, 8)


def fold_of(pats, *scopes):
    """The part of the page that tells what the app may do, without the person's menu."""
    with tenancy.bind(pats.flow.tenant):
        Grant.objects.update(scopes=" ".join(["openid", *scopes]))
    return pats.client.get(pats.path).content.decode().partition("<article")[2]


@pytest.mark.spec("D17")
def test_a_clinician_reads_in_their_own_words(mercy, growth_chart, dr_ada):
    flow = allowed(mercy, dr_ada, "openid fhirUser").flow
    page = text_of(flow.client.get(f"{flow.path}/account"))
    assert "These apps act in your name." in page
    assert "your health records" not in page


def let_in(pats, number):
    """One more app with a live grant of the same kind."""
    app = an_app(pats.flow.tenant, client_id=f"copy-{number}", name=f"Copy {number}")
    like, now = pats.consent, timezone.now()
    with tenancy.bind(pats.flow.tenant):
        facts = {"application": app, "user": like.user, "patient": "789", "scopes": like.scopes}
        consent = Consent.objects.create(
            **facts, decision="allow", state="active", text=like.text, decided_at=now
        )
        ends_at = now + timedelta(minutes=5)
        Grant.objects.create(**facts, consent=consent, context={}, expires_at=ends_at)


def statements(pats, expected):
    with CaptureQueriesContext(connection) as queries:
        page = pats.client.get(pats.path)
    assert page.content.count(b"<article") == expected
    return len(queries)


def fewest_statements(pats, expected):
    """Of several pages: what is remembered for seconds may have been forgotten before any one."""
    return min(statements(pats, expected) for _ in range(4))


def test_fifty_apps_take_as_many_statements_as_two(pats):
    let_in(pats, 0)
    few = fewest_statements(pats, 2)
    for number in range(1, 49):
        let_in(pats, number)
    assert fewest_statements(pats, 50) == few


@pytest.mark.spec("C7", "REVO-05")
def test_a_token_that_is_out_opens_no_more_than_what_was_left(pats):
    address = f"{pats.path}/apps/{pats.consent.pk}/change"
    opened = pats.client.post(
        address, {**fields_of(pats.client.get(address)), "open": "patient/*.rs"}
    )
    pats.client.post(address, fields_of(opened) | {"scope": ["patient/Goal.rs", "offline_access"]})
    with tenancy.bind(pats.flow.tenant):
        token = tokens.authenticate(
            pats.body["access_token"],
            tenant=pats.flow.tenant,
            audience=f"{pats.flow.issuer}/fhir",
        )
    left = ["launch/patient", "openid", "patient/Goal.rs", "offline_access"]
    assert sorted(scope.text for scope in token.scopes) == sorted(left)


@pytest.mark.spec("REFR-17", "C7")
def test_a_refresh_at_the_moment_when_lasting_access_is_taken_away_gets_nothing(pats):
    with tenancy.bind(pats.flow.tenant):
        found = token_store.find(pats.body["refresh_token"])
        assert found is not None
        Grant.objects.update(lasts=Grant.Lasts.TOKEN)  # by another process
        told = events.Event(
            code=events.Code.TOKEN_REFRESH,
            outcome=events.Outcome.SUCCESS,
            actor=events.Actor.client("growth-chart"),
        )
        _, write = token_store.rotate(found, timezone.now())
        assert not record.record_with(write, told)
        again = token_store.find(pats.body["refresh_token"])
        assert again is not None
        assert not again.is_live(timezone.now())


@pytest.mark.spec("D3", "C7")
def test_what_another_process_ended_is_known_here_from_the_first_refusal(pats):
    grant = pats.grant
    with tenancy.bind(pats.flow.tenant):
        Grant.objects.update(ended_at=timezone.now())
    assert not grants.ended_here(grant.pk)
    assert not is_live(pats)
    assert grants.ended_here(grant.pk)
