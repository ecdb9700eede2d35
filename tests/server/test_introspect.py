"""Introspection: who may ask, what is told, and what is told to nobody (INTR, O15)."""

import json
import secrets
import time
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.record import AuditUnavailableError
from authfi.accounts import sessions
from authfi.lib import tenancy
from smart import tokens
from smart.models import Application, Grant, RefreshToken
from smart.scopes.syntax import INTROSPECTION_SCOPE, MANAGEMENT_SCOPES
from smart.server import client_auth
from smart.server import introspect as endpoint
from smart.server.endpoint import OAuthRequest
from smart.server.introspect import introspect
from smart.server.register import register_application
from tenants.http import management_audience
from tests.server.confidential import CLIENT_ID, a_confidential_app, basic, exchange, refresh
from tests.server.conftest import (
    ORIGIN,
    SCOPES,
    Flow,
    an_app,
    claims_of,
    connect,
    refused,
    trail,
)

SCOPE = "launch/patient openid fhirUser patient/*.rs offline_access"
INACTIVE = {"active": False}


@pytest.fixture
def reader(mercy, app):
    """An app that may ask about every token: its Basic header."""
    _, secret = a_confidential_app(mercy, "reader", scopes=f"{SCOPES} {INTROSPECTION_SCOPE}")
    return basic("reader", secret)


@pytest.fixture
def body(pat_flow):
    """The growth chart's token response."""
    return pat_flow.exchange(pat_flow.code(scope=SCOPE)).json()


def ask(flow, token, headers, **form):
    sent = {"token": token, **form} if token is not None else form
    return flow.client.post(
        f"{flow.path}/oauth/introspect",
        urlencode(sent),
        content_type="application/x-www-form-urlencoded",
        headers=headers,
    )


def told(flow, token, headers, **form):
    response = ask(flow, token, headers, **form)
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == "application/json"
    assert (response["Cache-Control"], response["Pragma"]) == ("no-store", "no-cache")
    return response.json()


def forget():
    """Another process, or a second later: nothing is remembered."""
    endpoint._told.clear()


# What is told


@pytest.mark.spec(
    *("INTR-01", "INTR-02", "INTR-03", "INTR-04", "INTR-05", "INTR-07", "INTR-08", "INTR-12"),
    *("A1",),
)
def test_an_access_token(pat_flow, reader, body, mercy):
    found = told(pat_flow, body["access_token"], reader)
    claims, identity = claims_of(body["access_token"]), claims_of(body["id_token"])
    assert found == {
        "active": True,
        "scope": body["scope"],
        "client_id": "growth-chart",
        "token_type": "Bearer",
        "exp": claims["exp"],
        "iat": claims["iat"],
        "iss": identity["iss"],
        "sub": identity["sub"],
        "aud": f"{pat_flow.issuer}/fhir",
        "jti": claims["jti"],
        "patient": "789",
        "tenant": body["tenant"],
        "fhirUser": identity["fhirUser"],
        "acr": identity["acr"],
        "auth_time": identity["auth_time"],
    }
    assert found["exp"] - found["iat"] == body["expires_in"]
    [(_, outcome, details)] = trail(mercy, "token.introspect")
    assert (outcome, details["active"], details["jti"]) == ("success", True, claims["jti"])
    assert (details["patient"], details["token_of"]) == ("789", "growth-chart")


@pytest.mark.spec("INTR-06")
def test_every_context_member_is_repeated(ada_flow, dr_ada, app, reader):
    members = {
        "need_patient_banner": False,
        "intent": "review-labs",
        "smart_style_url": "https://x.example/style.json",
        "fhirContext": [{"reference": "ImagingStudy/im-9"}],
    }
    handle = ada_flow.launch(dr_ada, app, members=members)
    code = ada_flow.code(scope="launch launch/encounter openid patient/*.rs", launch=handle)
    body = ada_flow.exchange(code).json()
    found = told(ada_flow, body["access_token"], reader)
    own = {"access_token", "refresh_token", "id_token", "expires_in", "token_type", "scope"}
    context = {name: value for name, value in body.items() if name not in own}
    assert context.items() >= {"patient": "456", "encounter": "e1", **members}.items()
    assert {name: found[name] for name in context} == context


@pytest.mark.spec("INTR-07")
def test_without_openid_nothing_is_told_of_the_sign_in(pat_flow, reader):
    body = pat_flow.exchange(pat_flow.code(scope="launch/patient patient/*.rs")).json()
    assert not {"fhirUser", "acr", "auth_time"} & set(told(pat_flow, body["access_token"], reader))


@pytest.mark.spec("INTR-03", "TOKN-22")
def test_scopes_that_stayed_on_the_grant(pat_flow, reader):
    granular = [f"patient/Observation.rs?code=http://loinc.org|{n}" for n in range(90)]
    body = pat_flow.exchange(
        pat_flow.code(scope=" ".join(["openid", "launch/patient", *granular]))
    ).json()
    assert "scope" not in claims_of(body["access_token"])
    assert told(pat_flow, body["access_token"], reader)["scope"] == body["scope"]


@pytest.mark.spec("INTR-03", "REFR-10")
def test_a_narrowed_token(pat_flow, reader, body):
    form = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    narrow = pat_flow.post({**form, "client_id": "growth-chart", "scope": "patient/*.rs"}).json()
    before = told(pat_flow, body["access_token"], reader)
    after = told(pat_flow, narrow["access_token"], reader)
    assert after["scope"] == "patient/*.rs"
    assert set(before) - set(after) == {"fhirUser", "acr", "auth_time"}
    assert (after["aud"], after["sub"]) == (before["aud"], before["sub"])


@pytest.mark.spec("INTR-13", "O15")
def test_a_refresh_token(pat_flow, reader, body, mercy):
    found = told(pat_flow, body["refresh_token"], reader)
    with tenancy.bind(mercy):
        row = RefreshToken.objects.get()
    assert found["exp"] == int(row.expires_at.timestamp())
    assert (found["active"], found["client_id"]) == (True, "growth-chart")
    assert (found["scope"], found["patient"]) == (body["scope"], "789")
    assert not {"aud", "jti", "token_type"} & set(found)


@pytest.mark.spec("INTR-01")
@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "pat"])
def test_a_hint_changes_nothing(pat_flow, reader, body, hint):
    for token in (body["access_token"], body["refresh_token"]):
        assert told(pat_flow, token, reader, token_type_hint=hint, more="x")["active"] is True


# What is not


@pytest.mark.spec("INTR-09", "INTR-13", "O15", "O18")
@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_junk_foreign_and_dead_look_alike(pat_flow, pat, mercy, lakeside, reader, body, kind):
    token = body[kind]
    connect(lakeside)
    an_app(lakeside)
    _, secret = a_confidential_app(lakeside, "reader", scopes=f"openid {INTROSPECTION_SCOPE}")
    _, own_secret = a_confidential_app(mercy)
    answers = [
        ask(Flow(lakeside), token, basic("reader", secret)),
        ask(pat_flow, token, basic(CLIENT_ID, own_secret)),
        ask(pat_flow, "invalid_token_value", reader),
        ask(pat_flow, token[:-1] + ("A" if token[-1] != "A" else "B"), reader),
        ask(pat_flow, body["id_token"], reader),
        ask(pat_flow, ". .\0é", reader),
        ask(pat_flow, "x" * 20_000, reader),
    ]
    assert told(pat_flow, token, reader)["active"] is True
    with tenancy.bind(mercy):
        sessions.end(pat.user)
        Grant.objects.update(ended_at=timezone.now())
    forget()
    answers.append(ask(pat_flow, token, reader))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json() == INACTIVE
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1


@pytest.mark.spec("INTR-09")
def test_expired_tokens(pat_flow, reader, body, mercy, monkeypatch):
    later = timezone.now() + timedelta(seconds=body["expires_in"] + 1)
    assert told(pat_flow, body["access_token"], reader)["active"] is True
    with monkeypatch.context() as patched:
        patched.setattr("smart.server.introspect.timezone.now", lambda: later)
        assert told(pat_flow, body["access_token"], reader) == INACTIVE, "remembered"
        forget()
        assert told(pat_flow, body["access_token"], reader) == INACTIVE
    with tenancy.bind(mercy):
        RefreshToken.objects.update(expires_at=timezone.now())
    assert told(pat_flow, body["refresh_token"], reader) == INACTIVE


@pytest.mark.spec("INTR-09", "INTR-13", "O13")
def test_a_refresh_token_that_was_used(pat_flow, reader, body):
    form = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    newer = pat_flow.post({**form, "client_id": "growth-chart"}).json()
    assert told(pat_flow, body["refresh_token"], reader) == INACTIVE
    assert told(pat_flow, newer["refresh_token"], reader)["active"] is True
    assert told(pat_flow, body["access_token"], reader)["active"] is True


@pytest.mark.spec("INTR-09", "D3")
@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_of_a_suspended_app_or_a_deactivated_person(pat_flow, pat, reader, body, mercy, kind):
    with tenancy.bind(mercy):
        growth_chart = Application.objects.filter(client_id="growth-chart")
        growth_chart.update(state=Application.State.SUSPENDED)
        assert told(pat_flow, body[kind], reader) == INACTIVE
        growth_chart.update(state=Application.State.ACTIVE)
        assert told(pat_flow, body[kind], reader)["active"] is True
        pat.user.is_active = False
        pat.user.save()
    forget()
    assert told(pat_flow, body[kind], reader) == INACTIVE


# Who may ask


@pytest.mark.spec("INTR-10", "O15")
def test_an_app_asks_about_its_own(pat_flow, mercy, body):
    _, secret = a_confidential_app(mercy)
    headers = basic(CLIENT_ID, secret)
    flow = Flow(mercy, client=pat_flow.client, client_id=CLIENT_ID)
    own = exchange(flow, flow.code(scope=SCOPE), headers).json()
    assert told(flow, own["access_token"], headers)["client_id"] == CLIENT_ID
    assert told(flow, own["refresh_token"], headers)["client_id"] == CLIENT_ID
    assert refresh(flow, own["refresh_token"], headers).status_code == 200
    assert told(flow, body["access_token"], headers) == INACTIVE
    _, outcome, details = trail(mercy, "token.introspect")[-1]
    assert (outcome, details["rule"]) == ("denied", "own_tokens")


@pytest.fixture
def service(mercy):
    """A service that acts in its own name; gives a Bearer header for scopes."""
    with tenancy.bind(mercy):
        _, secret = register_application(
            client_id="resource-server",
            name="Resource Server",
            client_type="confidential",
            scopes=f"authfi/users {INTROSPECTION_SCOPE}",
            grant_types=["client_credentials"],
        )

    assert secret

    def bearer(scope):
        form = {"grant_type": "client_credentials", "scope": scope}
        answer = Flow(mercy).post(form, basic("resource-server", secret))
        assert answer.status_code == 200, answer.content
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    return bearer


@pytest.mark.spec("INTR-10", "SCOP-22")
def test_a_bearer_token_with_the_scope(pat_flow, body, service, mercy):
    headers = service(INTROSPECTION_SCOPE)
    assert told(pat_flow, body["access_token"], headers)["client_id"] == "growth-chart"
    own = headers["Authorization"].removeprefix("Bearer ")
    found = told(pat_flow, own, headers)
    assert (found["sub"], found["aud"]) == ("resource-server", management_audience())
    assert INTROSPECTION_SCOPE in MANAGEMENT_SCOPES, "it stays out of SMART's document"
    with tenancy.bind(mercy):
        Application.objects.filter(client_id="resource-server").update(
            state=Application.State.SUSPENDED
        )
    refused(ask(pat_flow, body["access_token"], headers), "invalid_token", 401)


@pytest.mark.spec("INTR-10")
def test_a_bearer_token_without_the_scope(pat_flow, body, service, mercy):
    response = ask(pat_flow, body["access_token"], service("authfi/users"))
    refused(response, "insufficient_scope", 403)
    assert 'error="insufficient_scope"' in response["WWW-Authenticate"]
    _, outcome, details = trail(mercy, "token.introspect")[-1]
    assert (outcome, details["rule"]) == ("denied", "insufficient_scope")


@pytest.mark.spec("INTR-10", "O10", "O15")
def test_other_bearer_tokens(pat_flow, body, lakeside):
    for raw in (body["access_token"], body["id_token"], body["refresh_token"], "x", ""):
        response = ask(pat_flow, body["access_token"], {"Authorization": f"Bearer {raw}"})
        refused(response, "invalid_token", 401)
        assert response["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.spec("O15", "SCOP-22")
def test_no_person_can_grant_the_scope(pat_flow, reader, mercy):
    flow = Flow(mercy, client=pat_flow.client, client_id="reader")
    code = flow.code(scope=f"{SCOPE} {INTROSPECTION_SCOPE}")
    assert INTROSPECTION_SCOPE not in exchange(flow, code, reader).json()["scope"]


@pytest.mark.spec("CAUT-03", "ERRS-05", "INTR-10", "CAUT-05", "O12", "O15", "A1")
@pytest.mark.parametrize(
    ("headers", "form", "error", "status"),
    [
        ({}, {}, "invalid_client", 401),
        ({}, {"client_id": "growth-chart"}, "invalid_client", 401),
        (basic("growth-chart", ""), {}, "invalid_client", 401),
        (basic("reader", "x" * 43), {}, "invalid_client", 401),
        ({"Authorization": "Basic ???"}, {}, "invalid_client", 401),
        ({}, {"client_secret": "x"}, "invalid_client", 401),
    ],
)
def test_nobody_else_asks(pat_flow, reader, body, mercy, headers, form, error, status):
    refused(ask(pat_flow, body["access_token"], headers, **form), error, status)
    [(_, outcome, details)] = trail(mercy, "token.introspect")
    assert (outcome, details["rule"]) == ("denied", error)


@pytest.mark.spec("INTR-11", "O12")
def test_requests_that_are_none(pat_flow, reader, mercy):
    refused(ask(pat_flow, None, reader), "invalid_request")
    refused(ask(pat_flow, "", reader), "invalid_request")
    url = f"{pat_flow.path}/oauth/introspect"
    response = pat_flow.client.get(url, headers=reader)
    assert (response.status_code, response["Allow"]) == (405, "POST, OPTIONS")
    twice = pat_flow.client.post(
        url, "token=a&token=b", content_type="application/x-www-form-urlencoded", headers=reader
    )
    refused(twice, "invalid_request")
    body = json.dumps({"token": "x"})
    json_ = pat_flow.client.post(url, body, content_type="application/json", headers=reader)
    refused(json_, "invalid_request")
    assert {outcome for _, outcome, _ in trail(mercy, "token.introspect")} == {"denied"}


# Cost, failure


@pytest.mark.spec("D15")
def test_statements(pat_flow, reader, body, mercy, monkeypatch):
    monkeypatch.setattr(client_auth._known, "seconds", 60.0)
    told(pat_flow, body["access_token"], reader)  # keys and the app that asks are in memory now
    forget()
    request = OAuthRequest(
        tenant=mercy,
        form={"token": body["access_token"]},
        authorization=reader["Authorization"],
    )
    counts = []
    for _ in range(3):
        with tenancy.bind(mercy), CaptureQueriesContext(connection) as queries:
            assert introspect(request).body["active"] is True
        taken = [query["sql"] for query in queries.captured_queries]
        counts.append(len([sql for sql in taken if "audit_" not in sql]))
    # The grant; then none.
    assert counts == [1, 0, 0]


@pytest.mark.spec("INTR-12", "D3")
def test_what_is_remembered_is_forgotten_in_a_second(pat_flow, reader, body, mercy, monkeypatch):
    told(pat_flow, body["access_token"], reader)
    with tenancy.bind(mercy):  # as another process would
        Grant.objects.update(ended_at=timezone.now())
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + tokens.LIVE_SECONDS)
    assert told(pat_flow, body["access_token"], reader) == INACTIVE


@pytest.mark.spec("V8")
def test_no_trail_no_answer(pat_flow, reader, body, monkeypatch):
    def fail(*_):
        raise AuditUnavailableError("down")

    monkeypatch.setattr("smart.server.introspect.record.record", fail)
    refused(ask(pat_flow, body["access_token"], reader), "temporarily_unavailable", 503)


@pytest.mark.spec("CORS-05", "ERRS-03")
def test_random_tokens_are_inactive(pat_flow, reader):
    for _ in range(5):
        token = secrets.token_urlsafe(32)
        assert ask(pat_flow, token, {**reader, "Origin": ORIGIN}).json() == INACTIVE
