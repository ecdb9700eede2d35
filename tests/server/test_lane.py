"""The slim lane: the same answers as Django's handler gives, and Django for all the rest (D15)."""

import json
import threading
from ipaddress import ip_network
from urllib.parse import urlencode

import pytest
from django.db.backends.utils import CursorWrapper

from authfi.lib import database, tenancy
from smart import activation
from smart.models import HealthcareModule
from smart.server import endpoint, lane
from tenants import directory
from tenants.models import Tenant
from tests.gateway.asgi import call
from tests.server.conftest import ORIGIN, REDIRECT

pytestmark = pytest.mark.spec("D15")

DOCUMENTS = [
    "/t/{slug}/.well-known/smart-configuration",
    "/t/{slug}/fhir/.well-known/smart-configuration",
    "/t/{slug}/.well-known/openid-configuration",
    "/t/{slug}/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server/t/{slug}",
    "/.well-known/oauth-protected-resource/t/{slug}/fhir",
]
HOST = (b"host", b"testserver")
FORM = (b"content-type", b"application/x-www-form-urlencoded")


@pytest.fixture
def carried(monkeypatch):
    """The paths that the lane answered itself."""
    seen = []
    serve = lane._serve

    async def counted(view, tenant, headers, scope, *rest):
        seen.append(scope["path"])
        await serve(view, tenant, headers, scope, *rest)

    monkeypatch.setattr(lane, "_serve", counted)
    return seen


@pytest.fixture
def statements(monkeypatch):
    """Every statement of every thread but the audit writer's, through Django's cursors."""
    seen = []
    execute = CursorWrapper.execute

    def counted(self, sql, params=None):
        if threading.current_thread().name != "audit-writer":
            seen.append(str(sql))
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", counted)
    return seen


def same(reply, response):
    """Status, headers and body of both lanes.

    A request's id is its own. Django's lane looks at the session before every view, and names a
    type where there is no body.
    """
    theirs = {name.lower(): value for name, value in response.items()}
    vary = [part for part in theirs.pop("vary", "").split(", ") if part not in ("", "Cookie")]
    theirs |= {"vary": ", ".join(vary)} if vary else {}
    own = {"x-request-id", "content-length"} | ({"content-type"} if reply.status == 204 else set())
    ours = {name: value for name, value in reply.headers.items() if name not in own}
    assert ours == {name: value for name, value in theirs.items() if name not in own}
    assert (reply.status, reply.body) == (response.status_code, response.content)
    assert len(reply.headers["x-request-id"]) == len(theirs["x-request-id"])


@pytest.mark.spec("DISC-02", "CACH-03", "K8")
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "DELETE"])
@pytest.mark.parametrize("path", DOCUMENTS)
async def test_documents_are_those_of_django(flow, carried, path, method):
    path = path.format(slug=flow.tenant.slug)
    headers = [HOST, (b"origin", b"https://x.example")]
    reply = await call(method, path.encode(), b"", headers)
    response = await database.run(
        None, flow.client.generic, method, path, headers={"Origin": "https://x.example"}
    )
    same(reply, response)
    assert carried == [path]


@pytest.mark.spec("CACH-03")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", DOCUMENTS)
async def test_a_document_that_is_known_already_is_not_sent_again(flow, carried, path, method):
    path = path.format(slug=flow.tenant.slug)
    tag = (await call(method, path.encode(), b"", [HOST])).headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        sent = [HOST, (b"if-none-match", known.encode())]
        reply = await call(method, path.encode(), b"", sent)
        response = await database.run(
            None, flow.client.generic, method, path, headers={"If-None-Match": known}
        )
        same(reply, response)
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in reply.headers
    sent = [HOST, (b"if-none-match", b'"other"')]
    assert (await call(method, path.encode(), b"", sent)).status == 200


def _forms(code):
    good = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
    good |= {"client_id": "growth-chart", "code_verifier": "w" * 50}
    return [
        ("POST", urlencode(good), [FORM]),
        ("POST", urlencode(good), [FORM, (b"origin", ORIGIN.encode())]),
        ("POST", "a=1&a=2", [FORM]),
        ("POST", "{}", [(b"content-type", b"application/json")]),
        ("POST", "a=" + "b" * 70_000, [FORM]),
        ("POST", urlencode(good), [FORM, (b"authorization", b"Basic x")]),
        ("GET", "", []),
        ("OPTIONS", "", [(b"origin", ORIGIN.encode())]),
    ]


@pytest.mark.spec("TOKN-01", "CORS-04", "CACH-01")
@pytest.mark.parametrize("number", range(8))
async def test_refusals_of_the_token_endpoint_are_those_of_django(flow, carried, number):
    path = f"/t/{flow.tenant.slug}/oauth/token"
    method, body, headers = _forms("no-such-code")[number]
    reply = await call(method, path.encode(), b"", [HOST, *headers], body.encode())
    sent = {name.decode(): value.decode() for name, value in headers}
    content_type = sent.pop("content-type", "application/octet-stream")
    response = await database.run(
        None,
        flow.client.generic,
        method,
        path,
        body,
        content_type,
        headers=sent,
    )
    same(reply, response)
    assert carried == [path]


@pytest.mark.spec("V3")
async def test_too_many_or_too_long_headers(flow):
    path = f"/t/{flow.tenant.slug}/oauth/token".encode()
    for headers in ([(b"x-%d" % n, b"") for n in range(100)], [(b"x", b"y" * 16_384)]):
        reply = await call("POST", path, b"", [HOST, FORM, *headers], b"a=b")
        assert (reply.status, reply.json["error"]) == (431, "invalid_request")


async def test_what_fails_says_nothing_of_it(flow, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a secret")

    monkeypatch.setattr(endpoint, "serve", fail)
    path = f"/t/{flow.tenant.slug}/oauth/token".encode()
    reply = await call("POST", path, b"", [HOST, FORM], b"a=b")
    assert (reply.status, reply.json["error"]) == (500, "server_error")
    assert b"secret" not in reply.everything
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.spec("K8")
async def test_strange_hosts_and_plain_http_are_left_to_django(flow, carried, settings):
    path = f"/t/{flow.tenant.slug}/.well-known/jwks.json".encode()
    assert (await call("GET", path, b"", [(b"host", b"evil.example")])).status == 400
    assert (await call("GET", path, b"", [HOST, HOST])).status == 400
    settings.SECURE_SSL_REDIRECT = True  # read by Django's middleware when it is made
    forwarded = [HOST, (b"x-forwarded-proto", b"https")]
    await call("GET", path, b"", forwarded)
    assert carried == []
    settings.TRUSTED_PROXIES = [ip_network("192.0.2.7/32")]
    assert (await call("GET", path, b"", forwarded)).status == 200
    assert carried == [path.decode()]


@pytest.mark.spec("T1")
async def test_tenants_that_are_not_there_are_left_to_django(flow, carried):
    slug = flow.tenant.slug
    assert (await call("GET", b"/t/nobody/.well-known/jwks.json", b"", [HOST])).status == 404

    def suspend():
        Tenant.objects.filter(slug=slug).update(state=Tenant.State.SUSPENDED)
        directory.forget(slug)

    await database.run(None, suspend)
    for path in DOCUMENTS[:4]:
        assert (await call("GET", path.format(slug=slug).encode(), b"", [HOST])).status != 200
    assert carried == []


@pytest.mark.spec("CACH-03")
@pytest.mark.parametrize("path", DOCUMENTS)
async def test_a_document_in_memory_costs_no_statement(flow, statements, path):
    path = path.format(slug=flow.tenant.slug).encode()
    first = await call("GET", path, b"", [HOST])
    statements.clear()
    again = await call("GET", path, b"", [HOST])
    assert (again.status, again.body) == (200, first.body)
    assert statements == []


@pytest.mark.spec("DISC-18")
async def test_a_change_made_here_is_in_the_next_answer(flow):
    tenant = flow.tenant
    path = f"/t/{tenant.slug}/fhir/.well-known/smart-configuration".encode()
    before = await call("GET", path, b"", [HOST])

    def narrow():
        module = HealthcareModule.objects.get()
        module.scopes = "patient/Patient.r"
        module.save()
        activation.forget(tenancy.current().id)

    await database.run(tenant, narrow)
    known = (b"if-none-match", before.headers["etag"].encode())
    after = json.loads((await call("GET", path, b"", [HOST, known])).body)
    assert after["scopes_supported"] != before.json["scopes_supported"]
    assert "patient/Patient.r" in after["scopes_supported"]
