"""Introspection in the slim lane from memory: the same answers, and not for long (INTR-12, D15)."""

import asyncio
import json
import time
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from audit import loop_writer
from audit.events import Actor
from audit.record import AuditUnavailableError
from authfi.lib import database
from smart import grants, tokens
from smart.models import Application, Grant
from smart.scopes.syntax import INTROSPECTION_SCOPE
from smart.server import client_auth
from smart.server import introspect as endpoint
from tenants import limits
from tests.gateway.asgi import call
from tests.server.confidential import a_confidential_app, basic
from tests.server.conftest import SCOPES, trail

pytestmark = pytest.mark.spec("INTR-12", "D15")

INACTIVE = {"active": False}
SCOPE = "launch/patient openid fhirUser patient/*.rs offline_access"


@pytest.fixture(autouse=True)
def _nothing_remembered():
    endpoint._told.clear()
    endpoint._proven.clear()


@pytest.fixture
def headers(mercy, app):
    """Of an app that may ask about every token."""
    _, secret = a_confidential_app(mercy, "reader", scopes=f"{SCOPES} {INTROSPECTION_SCOPE}")
    return headers_of(basic("reader", secret)["Authorization"])


@pytest.fixture
def token(pat_flow):
    return pat_flow.exchange(pat_flow.code(scope=SCOPE)).json()["access_token"]


@pytest.fixture
def hops(monkeypatch):
    """How often a thread was asked for."""
    seen, run = [], database.run

    async def counted(tenant, work, *args, **kwargs):
        seen.append(work)
        return await run(tenant, work, *args, **kwargs)

    monkeypatch.setattr(database, "run", counted)
    return seen


def headers_of(authorization, **more):
    sent = {
        "host": "testserver",
        "content-type": "application/x-www-form-urlencoded",
        "authorization": authorization,
        **more,
    }
    return [(name.encode(), value.encode()) for name, value in sent.items()]


async def ask(flow, headers, **form):
    path = f"{flow.path}/oauth/introspect".encode()
    return await call("POST", path, b"", headers, urlencode(form).encode())


async def told(flow, headers, token):
    reply = await ask(flow, headers, token=token)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


async def of_trail(tenant):
    """Outcome and details of each."""
    rows = await database.run(tenant, trail, tenant, "token.introspect")
    return [(outcome, details) for _, outcome, details in rows]


async def test_the_second_answer_is_the_first_without_a_thread(
    pat_flow, headers, token, hops, mercy
):
    first = await ask(pat_flow, headers, token=token)
    hops.clear()
    again = await ask(pat_flow, headers, token=token, token_type_hint="access_token")
    assert hops == []
    assert json.loads(first.body)["active"] is True
    own = {"x-request-id"}
    assert (again.status, again.body) == (first.status, first.body)
    assert {name: value for name, value in again.headers.items() if name not in own} == {
        name: value for name, value in first.headers.items() if name not in own
    }


@pytest.mark.spec("A1", "V8")
async def test_both_answers_are_in_the_trail_before_they_leave(pat_flow, headers, token, mercy):
    for count in (1, 2):
        await told(pat_flow, headers, token)
        events = await of_trail(mercy)
        assert len(events) == count
    first, second = (details for _, details in events)
    assert first["jti"] == second["jti"]
    assert (second["active"], second["token_of"]) == (True, "growth-chart")


@pytest.mark.spec("V8")
async def test_no_trail_no_answer(pat_flow, headers, token, monkeypatch):
    await told(pat_flow, headers, token)

    async def fail(_):
        raise AuditUnavailableError("down")

    monkeypatch.setattr(loop_writer, "awrite", fail)
    reply = await ask(pat_flow, headers, token=token)
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert json.loads(reply.body)["error"] == "temporarily_unavailable"


@pytest.mark.spec("INTR-12", "O18")
async def test_what_this_process_ended_is_inactive_at_once(pat_flow, headers, token, mercy):
    await told(pat_flow, headers, token)

    def end():
        grants.end_grants(reason="withdrawn", actor=Actor.system("test"))

    await database.run(mercy, end)
    assert await told(pat_flow, headers, token) == INACTIVE


@pytest.mark.parametrize("changed", ["grant", "app"])
async def test_what_another_process_changed_counts_after_a_second(
    pat_flow, headers, token, mercy, monkeypatch, changed
):
    await told(pat_flow, headers, token)

    def change():
        if changed == "grant":
            Grant.objects.update(ended_at=timezone.now())
        else:
            Application.objects.filter(client_id="reader").update(secret_digest="0" * 64)

    await database.run(mercy, change)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + tokens.LIVE_SECONDS)
    reply = await ask(pat_flow, headers, token=token)
    if changed == "grant":
        assert json.loads(reply.body) == INACTIVE
    else:
        assert (reply.status, json.loads(reply.body)["error"]) == (401, "invalid_client")


async def test_an_expired_token_is_inactive_at_once(pat_flow, headers, token, monkeypatch):
    expires = (await told(pat_flow, headers, token))["exp"]
    after = datetime.fromtimestamp(expires, UTC)
    monkeypatch.setattr(timezone, "now", lambda: after)
    assert await told(pat_flow, headers, token) == INACTIVE


@pytest.mark.spec("CAUT-03", "O12")
async def test_a_wrong_secret_is_not_helped_by_the_right_one(pat_flow, headers, token):
    await told(pat_flow, headers, token)
    wrong = headers_of(basic("reader", "wrong")["Authorization"])
    reply = await ask(pat_flow, wrong, token=token)
    assert (reply.status, json.loads(reply.body)["error"]) == (401, "invalid_client")


@pytest.mark.spec("INTR-09", "D2")
async def test_memory_of_one_tenant_serves_no_other(pat_flow, headers, token, lakeside):
    await told(pat_flow, headers, token)
    path = f"/t/{lakeside.slug}/oauth/introspect".encode()
    reply = await call("POST", path, b"", headers, urlencode({"token": token}).encode())
    assert (reply.status, json.loads(reply.body)["error"]) == (401, "invalid_client")


async def test_an_app_without_the_scope_is_told_nothing_of_others(pat_flow, headers, token, mercy):
    def register():
        return a_confidential_app(mercy, "curious", scopes=SCOPES)[1]

    curious = headers_of(basic("curious", await database.run(mercy, register))["Authorization"])
    await told(pat_flow, headers, token)
    for _ in range(2):
        assert await told(pat_flow, curious, token) == INACTIVE
    assert [outcome for outcome, _ in await of_trail(mercy)] == ["success", "denied", "denied"]


@pytest.mark.parametrize(
    ("form", "error"),
    [({"client_id": "other"}, "invalid_request"), ({"client_secret": "x"}, "invalid_request")],
)
async def test_two_ways_of_authenticating_are_refused_as_ever(
    pat_flow, headers, token, form, error
):
    await told(pat_flow, headers, token)
    reply = await ask(pat_flow, headers, token=token, **form)
    assert (reply.status, json.loads(reply.body)["error"]) == (400, error)


@pytest.mark.spec("INTR-12", "CAUT-01")
async def test_a_secret_that_another_process_changed_is_refused_within_a_second(
    pat_flow, headers, token, mercy, monkeypatch
):
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    await told(pat_flow, headers, token)
    endpoint._proven.clear()  # the app is still known from that moment
    now += 0.7
    await told(pat_flow, headers, token)

    await database.run(mercy, lambda: Application.objects.update(secret_digest="changed"))
    now += 0.31
    assert (await ask(pat_flow, headers, token=token)).status == 401


@pytest.mark.spec("V1", "ERRS-06")
async def test_calls_from_memory_are_limited(pat_flow, headers, token, settings):
    settings.LIMITS = {**settings.LIMITS, limits.INTROSPECTION: 3}
    limits.forget()
    statuses = [(await ask(pat_flow, headers, token=token)).status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


async def test_many_at_once(pat_flow, headers, token, mercy):
    await told(pat_flow, headers, token)
    found = await asyncio.gather(*(told(pat_flow, headers, token) for _ in range(20)))
    assert all(one["active"] for one in found)
    assert len(await of_trail(mercy)) == 21


async def test_one_of_a_crowd_asks_the_database_before_the_second_is_over(
    pat_flow, headers, token, hops, monkeypatch
):
    client_auth._known.clear()
    await told(pat_flow, headers, token)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + tokens.LIVE_SECONDS * 0.9)
    hops.clear()
    found = await asyncio.gather(*(told(pat_flow, headers, token) for _ in range(8)))
    assert all(one["active"] for one in found)
    assert len(hops) <= 2  # for the caller and for the token
    hops.clear()
    assert (await told(pat_flow, headers, token))["active"]
    assert hops == []
