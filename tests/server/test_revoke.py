"""Revocation: own tokens, at once, and nothing learned of others (REVO-01 to REVO-03, O14)."""

import asyncio
import time
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.record import AuditUnavailableError
from authfi.lib import tenancy
from smart import tokens
from smart.models import Grant, RevokedToken
from smart.server import client_auth
from smart.server.endpoint import OAuthRequest
from smart.server.register import register_application
from smart.server.revoke import revoke as endpoint
from tenants import tasks
from tenants.http import management_audience
from tests.server.confidential import CLIENT_ID, a_confidential_app, basic, exchange, refresh
from tests.server.conftest import ORIGIN, Flow, an_app, claims_of, connect, refused, trail

SCOPE = "launch/patient openid fhirUser patient/*.rs offline_access"


@pytest.fixture
def body(pat_flow):
    """The growth chart's token response."""
    return pat_flow.exchange(pat_flow.code(scope=SCOPE)).json()


def revoke(flow, token, headers=None, **form):
    sent = {"token": token, "client_id": flow.client_id, **form}
    return flow.client.post(
        f"{flow.path}/oauth/revoke",
        urlencode({name: value for name, value in sent.items() if value is not None}),
        content_type="application/x-www-form-urlencoded",
        headers=headers or {},
    )


def is_live(flow, tenant, raw):
    """Does the access token open the FHIR base, by the database and by the gateway's memory?"""
    audience = f"{flow.issuer}/fhir"
    answers = set()
    for check in (
        lambda: tokens.authenticate(raw, tenant=tenant, audience=audience),
        lambda: asyncio.run(tokens.aauthenticate(raw, tenant=tenant, audience=audience)),
    ):
        try:
            answers.add(bool(check()))
        except tokens.InvalidTokenError:
            answers.add(False)
    [answer] = answers
    return answer


def is_refreshed(flow, raw):
    form = {"grant_type": "refresh_token", "refresh_token": raw, "client_id": flow.client_id}
    return flow.post(form).status_code == 200


@pytest.mark.spec("REVO-01", "REVO-02", "REVO-03", "O14", "CACH-01", "D3")
def test_a_refresh_token_takes_its_access_tokens_along_at_once(pat_flow, mercy, body):
    assert is_live(pat_flow, mercy, body["access_token"])
    response = revoke(pat_flow, body["refresh_token"])
    assert response.status_code == 200
    assert (response["Cache-Control"], response["Pragma"]) == ("no-store", "no-cache")
    assert not is_live(pat_flow, mercy, body["access_token"])
    assert not is_refreshed(pat_flow, body["refresh_token"])
    with tenancy.bind(mercy):
        assert Grant.objects.get().ended_reason == "revoked_by_app"
    [(_, outcome, details)] = trail(mercy, "token.revoke")
    assert (outcome, details["reason"], details["patient"]) == ("success", "revoked_by_app", "789")
    assert details["actor"] == {"type": "client", "id": "growth-chart", "roles": [], "aal": 0}


@pytest.mark.spec("REVO-03", "O14")
def test_a_refresh_token_that_was_used_ends_its_family_too(pat_flow, mercy, body):
    form = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    newer = pat_flow.post({**form, "client_id": "growth-chart"}).json()
    assert revoke(pat_flow, body["refresh_token"]).status_code == 200
    assert not is_live(pat_flow, mercy, newer["access_token"])
    assert not is_refreshed(pat_flow, newer["refresh_token"])


@pytest.mark.spec("REVO-03", "O14", "D3", "A1")
def test_an_access_token_goes_alone(pat_flow, mercy, body):
    form = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    newer = pat_flow.post({**form, "client_id": "growth-chart"}).json()
    assert is_live(pat_flow, mercy, body["access_token"])
    assert is_live(pat_flow, mercy, newer["access_token"])
    assert revoke(pat_flow, body["access_token"]).status_code == 200
    assert not is_live(pat_flow, mercy, body["access_token"])
    assert is_live(pat_flow, mercy, newer["access_token"]), "of the same grant"
    assert is_refreshed(pat_flow, newer["refresh_token"])
    [(_, outcome, details)] = trail(mercy, "token.revoke")
    assert (outcome, details["jti"]) == ("success", claims_of(body["access_token"])["jti"])


@pytest.mark.spec("O14", "D3", "INTR-12")
def test_what_another_process_revoked_is_dead_within_a_second(pat_flow, mercy, body, monkeypatch):
    raw, claims = body["access_token"], claims_of(body["access_token"])
    form = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    other = pat_flow.post({**form, "client_id": "growth-chart"}).json()["access_token"]
    assert is_live(pat_flow, mercy, raw)
    with tenancy.bind(mercy):
        expires_at = timezone.now() + timedelta(hours=1)
        RevokedToken.objects.create(jti=claims["jti"], expires_at=expires_at)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + tokens.LIVE_SECONDS)
    assert is_live(pat_flow, mercy, other), "a token of the same grant that is asked for often"
    assert not is_live(pat_flow, mercy, raw)


@pytest.mark.spec("REVO-01", "O14")
def test_200_whatever_it_is(pat_flow, mercy, lakeside, body):
    connect(lakeside)
    an_app(lakeside)
    revoke(pat_flow, body["refresh_token"])
    for token in (
        body["refresh_token"],
        body["access_token"],
        body["access_token"],
        body["id_token"],
        "unknown",
        "a.b.c",
        ".\0é",
        "x" * 20_000,
    ):
        for hint in (None, "access_token", "refresh_token", "nonsense"):
            response = revoke(pat_flow, token, token_type_hint=hint)
            assert (response.status_code, response.content) == (200, b"{}")


@pytest.mark.spec("REVO-02", "O14", "O15")
def test_another_apps_tokens_stay(pat_flow, mercy, lakeside, body):
    an_app(mercy, "other-app")
    connect(lakeside)
    an_app(lakeside)
    for flow in (Flow(mercy, client_id="other-app"), Flow(lakeside)):
        for token in (body["access_token"], body["refresh_token"]):
            response = revoke(flow, token)
            assert (response.status_code, response.content) == (200, b"{}")
    assert is_live(pat_flow, mercy, body["access_token"])
    assert is_refreshed(pat_flow, body["refresh_token"])
    events = trail(mercy, "token.revoke")
    assert [(outcome, details["rule"]) for _, outcome, details in events] == [
        ("denied", "own_tokens")
    ] * 2
    assert not trail(lakeside, "token.revoke")


@pytest.mark.spec("REVO-02", "CAUT-05", "CAUT-09", "O12", "O14")
def test_the_app_must_be_proven(pat_flow, mercy, body):
    _, secret = a_confidential_app(mercy)
    flow = Flow(mercy, client=pat_flow.client, client_id=CLIENT_ID)
    right = basic(CLIENT_ID, secret)
    own = exchange(flow, flow.code(scope=SCOPE), right).json()
    for headers, form, error, status in (
        ({}, {}, "invalid_client", 401),
        ({}, {"client_id": None}, "invalid_client", 401),
        ({}, {"client_id": "unknown"}, "invalid_client", 401),
        (basic(CLIENT_ID, "x" * 43), {}, "invalid_client", 401),
        ({}, {"client_secret": secret}, "invalid_client", 401),
        (right, {"client_secret": secret}, "invalid_request", 400),
        (right, {"client_id": "growth-chart"}, "invalid_request", 400),
        ({"Authorization": f"Bearer {own['access_token']}"}, {}, "invalid_client", 401),
    ):
        response = revoke(flow, own["refresh_token"], headers, **form)
        refused(response, error, status)
        _, outcome, details = trail(mercy, "token.revoke")[-1]
        assert (outcome, details["rule"]) == ("denied", error)
    assert is_live(flow, mercy, own["access_token"])
    assert revoke(flow, own["refresh_token"], right, client_id=None).status_code == 200
    refused(refresh(flow, own["refresh_token"], right), "invalid_grant")


@pytest.mark.spec("REVO-03", "D3")
def test_a_token_in_an_apps_own_name(mercy, app):
    with tenancy.bind(mercy):
        _, secret = register_application(
            client_id="admin-api",
            name="Admin API",
            client_type="confidential",
            scopes="authfi/users",
            grant_types=["client_credentials"],
        )
    assert secret
    flow, headers = Flow(mercy, client_id="admin-api"), basic("admin-api", secret)
    form = {"grant_type": "client_credentials", "scope": "authfi/users"}
    first, second = (flow.post(form, headers).json()["access_token"] for _ in range(2))
    audience = management_audience()
    assert tokens.authenticate(first, tenant=mercy, audience=audience)
    assert revoke(flow, first, headers).status_code == 200
    with pytest.raises(tokens.InvalidTokenError, match="revoked"):
        tokens.authenticate(first, tenant=mercy, audience=audience)
    assert tokens.authenticate(second, tenant=mercy, audience=audience)


@pytest.mark.spec("REVO-01", "O12")
def test_requests_that_are_none(pat_flow, mercy):
    refused(revoke(pat_flow, None), "invalid_request")
    refused(revoke(pat_flow, ""), "invalid_request")
    url = f"{pat_flow.path}/oauth/revoke"
    assert pat_flow.client.get(url).status_code == 405
    twice = "token=a&token=b&client_id=growth-chart"
    response = pat_flow.client.post(url, twice, content_type="application/x-www-form-urlencoded")
    refused(response, "invalid_request")
    assert {outcome for _, outcome, _ in trail(mercy, "token.revoke")} == {"denied"}


@pytest.mark.spec("CORS-06", "CORS-03", "CORS-05")
def test_registered_origins_may_revoke(pat_flow, body):
    good = revoke(pat_flow, body["access_token"], {"Origin": ORIGIN})
    assert good["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Credentials" not in good
    other = revoke(pat_flow, body["access_token"], {"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other
    error = revoke(pat_flow, None, {"Origin": ORIGIN})
    assert error["Access-Control-Allow-Origin"] == ORIGIN
    preflight = pat_flow.client.options(f"{pat_flow.path}/oauth/revoke", headers={"Origin": ORIGIN})
    assert (preflight.status_code, preflight["Access-Control-Allow-Origin"]) == (204, ORIGIN)


@pytest.mark.spec("V8")
def test_no_trail_no_revocation_is_told(pat_flow, mercy, body, monkeypatch):
    def fail(*_):
        raise AuditUnavailableError("down")

    with monkeypatch.context() as patched:
        patched.setattr("smart.tokens.record.record", fail)
        refused(revoke(pat_flow, body["access_token"]), "temporarily_unavailable", 503)
    assert is_live(pat_flow, mercy, body["access_token"])


@pytest.mark.spec("D15")
def test_statements(pat_flow, mercy, body, monkeypatch):
    monkeypatch.setattr(client_auth._known, "seconds", 60.0)
    form = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    newer = pat_flow.post({**form, "client_id": "growth-chart"}).json()
    for token, expected in ((newer["access_token"], 3), (newer["refresh_token"], 5)):
        request = OAuthRequest(tenant=mercy, form={"token": token, "client_id": "growth-chart"})
        with tenancy.bind(mercy), CaptureQueriesContext(connection) as queries:
            assert endpoint(request).status == 200
        own = [q["sql"] for q in queries.captured_queries if "audit_" not in q["sql"]]
        # BEGIN, the token's id, COMMIT; or the token, BEGIN, the grant twice, COMMIT.
        assert len(own) == expected, own


@pytest.mark.spec("D4")
def test_ids_of_expired_tokens_are_swept(pat_flow, mercy, body):
    revoke(pat_flow, body["access_token"])
    with tenancy.bind(mercy):
        old = timezone.now() - timedelta(hours=2)
        RevokedToken.objects.create(jti="old", expires_at=old)
    tasks.sweep_expired()
    with tenancy.bind(mercy):
        assert [row.jti for row in RevokedToken.objects.all()] == [
            claims_of(body["access_token"])["jti"]
        ]
