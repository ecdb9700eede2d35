"""`logout_user`: everything a person has open ends now (contract; D3, REFR-15)."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import AuditEvent
from authfi.accounts.models import Session
from authfi.lib import tenancy
from smart import tokens
from smart.models import Grant
from tenants.http import fhir_base
from tests.cast import a_person, sign_in
from tests.ops.conftest import refusal, run
from tests.server.conftest import an_app


@pytest.fixture
def dr_ada(mercy):
    return a_person(mercy, "doctor", email="ada@mercy.example")


@pytest.fixture
def bob(mercy):
    return a_person(mercy, "nurse", email="bob@mercy.example")


def a_token(tenant, person, lasts, minutes=60):
    """A grant of that kind, and an access token that hangs on it."""
    with tenancy.bind(tenant):
        grant = Grant.objects.create(
            application=an_app(tenant, client_id=f"app-{lasts}-{minutes}-{person.user.pk}"),
            user=person.user,
            scopes="openid",
            context={},
            lasts=lasts,
            expires_at=timezone.now() + timedelta(minutes=minutes),
        )
        raw, _ = tokens.issue(
            client_id=grant.application.client_id,
            subject=str(person.user.pk),
            scope="openid",
            audience=fhir_base(tenant),
            seconds=600,
            grant_id=grant.pk,
        )
    return raw


def is_live(tenant, raw):
    try:
        tokens.authenticate(raw, tenant=tenant, audience=fhir_base(tenant))
    except tokens.InvalidTokenError:
        return False
    return True


@pytest.mark.spec("D3", "A1", "REFR-15")
def test_sessions_and_grants_end_and_are_counted(mercy, dr_ada, bob):
    browsers = [Client(), Client(), Client()]
    for browser, person in zip(browsers, (dr_ada, dr_ada, bob), strict=True):
        sign_in(browser, person)
    lasting = [a_token(mercy, dr_ada, lasts) for lasts in ("", "online", "offline")]
    others = a_token(mercy, bob, "offline")
    a_token(mercy, dr_ada, "", minutes=-1)
    assert all(is_live(mercy, raw) for raw in (*lasting, others))
    printed = run("logout_user", "ADA@mercy.example", "--tenant", mercy.slug, "--operator", "Olga")
    assert printed == "Ended: 2 sessions, 3 grants with all their tokens.\n"
    assert not any(is_live(mercy, raw) for raw in lasting)
    assert is_live(mercy, others)
    statuses = [browser.get(f"/t/{mercy.slug}/").status_code for browser in browsers]
    assert statuses == [302, 302, 200]
    with tenancy.bind(mercy):
        assert not Session.objects.filter(user=dr_ada.user).exists()
        event = AuditEvent.objects.get(code="admin.session")
        assert event.details["actor"]["id"] == "logout_user by Olga"
        assert (event.details["sessions"], event.details["grants"]) == (2, 3)
        assert AuditEvent.objects.filter(code="token.revoke").count() == 3


def test_running_it_twice_ends_nothing_more_and_the_person_may_come_back(mercy, dr_ada):
    sign_in(Client(), dr_ada)
    run("logout_user", dr_ada.email, "--tenant", mercy.slug)
    printed = run("logout_user", dr_ada.email, "--tenant", mercy.slug)
    assert printed.startswith("Ended: 0 sessions, 0 grants")
    sign_in(Client(), dr_ada)


def test_a_running_server_follows(mercy, dr_ada, typed):
    raw = a_token(mercy, dr_ada, "offline")
    assert is_live(mercy, raw)
    assert typed("logout_user", dr_ada.email, "--tenant", mercy.slug).returncode == 0
    began = timezone.now()
    while is_live(mercy, raw):
        assert timezone.now() - began < timedelta(seconds=5)


def test_whoever_is_not_there_is_named(mercy, lakeside, dr_ada):
    said = refusal("logout_user", dr_ada.email, "--tenant", lakeside.slug)
    assert said == f"There is no person ada@mercy.example in {lakeside.slug}."
    assert "no tenant" in refusal("logout_user", dr_ada.email, "--tenant", "no-such")
