"""Who is let in at all: tokens, tenants, origins, and the one open document."""

import asyncio
import base64
import json
import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone
from joserfc import jws

from authfi.crypto import signing
from authfi.lib import outbound, tenancy, ttl
from smart import activation, tokens
from smart.grants import end_grants
from smart.models import Application, Grant, HealthcareModule
from tenants import directory
from tenants.http import fhir_base, issuer, management_audience
from tenants.models import Tenant
from tests.fhir_server import JANE, Answer
from tests.gateway.asgi import call
from tests.gateway.conftest import ADMIN, ALL

ROUTES = [
    "",
    "/",
    "/Patient/789",
    "/Patient/790",
    "/Observation?code=x",
    "/Observation?frobnicate=1",
    "/Starship/1",
    "/Patient/..%2f790",
    "/_history",
    "/Patient/789/$everything",
    "/$export",
    "/.well-known",
    "/metadata/x",
    "/metadata/..%2fPatient/789",
]


def refused(reply, issue="login"):
    """A 401 for a token that opens nothing (RSVR-02)."""
    reply.outcome(401, issue)
    assert 'error="invalid_token"' in reply.headers["www-authenticate"]


@pytest.mark.spec("RSVR-05", "RSVR-15", "ERRS-04")
@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"])
def test_without_a_token_everything_is_401(hospital, path, method):
    """No token, no event: there is nobody to tell of, and anyone could fill the trail."""
    reply = hospital.ask(path, method=method)
    assert reply.status == 401
    if method != "HEAD":
        reply.outcome(401, "login")
    base = f"http://localhost:8000/t/{hospital.tenant.slug}/fhir"
    metadata = (
        f"http://localhost:8000/.well-known/oauth-protected-resource/t/{hospital.tenant.slug}/fhir"
    )
    assert reply.headers["www-authenticate"] == (
        f'Bearer realm="{base}", resource_metadata="{metadata}"'
    )
    assert hospital.events(reply) == []


def claims_for(base, **changed):
    now = int(timezone.now().timestamp())
    claims = {
        "iss": issuer(base.tenant),
        "sub": str(base.user.pk),
        "aud": fhir_base(base.tenant),
        "client_id": base.app.client_id,
        "scope": ALL,
        "jti": "1",
        "iat": now,
        "exp": now + 300,
        "patient": "789",
    }
    return {name: value for name, value in {**claims, **changed}.items() if value is not None}


def signed(base, alg="ES256", typ="at+jwt", **changed):
    """A token under the tenant's own key."""
    with tenancy.bind(base.tenant):
        return signing.sign(alg, claims_for(base, **changed), typ)


def signed_as_text(base, **changed):
    """One with numbers that our own signing does not make."""
    with tenancy.bind(base.tenant):
        key = signing.keys().active["ES256"]
    header = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
    return jws.serialize_compact(header, json.dumps(claims_for(base, **changed)), key)


def unsigned(header, base):
    parts = [json.dumps(header), json.dumps(claims_for(base))]
    encoded = [base64.urlsafe_b64encode(one.encode()).rstrip(b"=").decode() for one in parts]
    return ".".join([*encoded, ""])


def spoiled(token):
    head, body, signature = token.split(".")
    return f"{head}.{body}.{signature[:-6]}AAAAAA"


WRONG_TOKENS = {
    "garbage": lambda base: "garbage",
    "dots": lambda base: "..",
    "empty parts": lambda base: "a.b.c",
    "oversized": lambda base: "a" * 9000,
    "bad signature": lambda base: spoiled(base.token()),
    "two tokens": lambda base: f"{base.token()} {base.token()}",
    "alg none": lambda base: unsigned({"alg": "none", "typ": "at+jwt"}, base),
    "no header object": lambda base: unsigned([], base),
    "list as alg": lambda base: unsigned({"alg": [], "typ": "at+jwt", "kid": "x"}, base),
    "object as kid": lambda base: unsigned({"alg": "ES256", "typ": "at+jwt", "kid": {}}, base),
    "ID token": lambda base: signed(base, "RS256", "JWT"),
    "access token without a type": lambda base: signed(base, typ="JWT"),
    "management API": lambda base: signed(base, aud=management_audience()),
    "no audience": lambda base: signed(base, aud=None),
    "list of audiences": lambda base: signed(base, aud=[fhir_base(base.tenant)]),
    "audience with a slash": lambda base: signed(base, aud=fhir_base(base.tenant) + "/"),
    "other issuer": lambda base: signed(base, iss="https://evil.example"),
    "text as expiry": lambda base: signed(base, exp="9999999999"),
    "huge expiry": lambda base: signed_as_text(base, exp=10**30),
    "a day long": lambda base: signed(base, exp=int(timezone.now().timestamp()) + 86_400),
    "from the future": lambda base: signed(base, iat=int(timezone.now().timestamp()) + 120),
    "grant that is none": lambda base: signed(base, grant="1"),
    "unknown grant": lambda base: signed(base, grant="00000000-0000-4000-8000-000000000000"),
    "unknown app": lambda base: signed(base, client_id="stranger"),
    "malformed scope": lambda base: signed(base, scope="patient/Observation.dus"),
    "grant of another app": lambda base: base.token(client_id="stranger"),
}


@pytest.mark.spec("RSVR-02", "RSVR-04", "O18", "O10")
@pytest.mark.parametrize("kind", WRONG_TOKENS)
def test_tokens_that_open_nothing_are_401_and_told(hospital, kind):
    reply = hospital.ask("/Patient/789", WRONG_TOKENS[kind](hospital))
    refused(reply)
    seen = hospital.event(reply)
    assert (seen.code, seen.outcome, seen.rule) == ("token.deny", "denied", "token.valid")
    assert (seen.details["patient"], seen.details["actor"]["type"]) == ("", "anonymous")
    assert seen.details["reason"]


@pytest.mark.spec("RSVR-02")
def test_an_expired_token_is_told_so(hospital):
    refused(hospital.ask("/Patient/789", hospital.token(seconds=-1)), "expired")


@pytest.mark.spec("RSVR-02")
def test_a_token_expires_while_it_is_remembered(hospital, monkeypatch):
    token = hospital.token(seconds=60)
    assert hospital.ask("/Patient/789", token).status == 200
    later = timezone.now() + timedelta(seconds=61)
    monkeypatch.setattr(timezone, "now", lambda: later)
    refused(hospital.ask("/Patient/789", token), "expired")


@pytest.mark.spec("RSVR-01")
@pytest.mark.parametrize("value", ["Basic YTpi", "Bearer", "Bearer ", "Token x", "Bearerx"])
def test_other_credentials_are_401(hospital, value):
    """An error code is for bearers only (RFC 6750 3.1)."""
    reply = hospital.ask("/Patient/789", headers={"Authorization": value})
    reply.outcome(401, "login")
    is_bearer = value.split()[0] == "Bearer"
    assert ("error=" in reply.headers["www-authenticate"]) == is_bearer


@pytest.mark.spec("RSVR-04", "G49", "T4")
def test_a_token_of_one_tenant_opens_nothing_at_another(hospital, clinic):
    assert hospital.ask("/Patient/789", hospital.token()).status == 200
    for asked, token in ((clinic, hospital.token()), (hospital, clinic.token())):
        reply = asked.ask("/Patient/789", token)
        refused(reply)
        assert asked.event(reply).code == "token.deny"


@pytest.mark.spec("G41")
def test_two_authorization_headers_are_400(hospital):
    token = hospital.token()
    line = (b"authorization", b"Bearer " + token.encode())
    reply = hospital.ask("/Patient/789", headers=[line, line, *[(b"x", b"y")] * 100])
    reply.outcome(400, "invalid")
    assert 'error="invalid_request"' in reply.headers["www-authenticate"]
    misplaced(hospital.event(reply), token)


@pytest.mark.spec("G41", "O20", "RSVR-01")
def test_a_token_in_the_query_is_400(hospital):
    token = hospital.token()
    for sent in (None, token):
        for path in ("/Patient/789", "/metadata", "/Starship"):
            reply = hospital.ask(f"{path}?x=%zz&access_token={token}", sent)
            reply.outcome(400, "invalid")
            assert 'error="invalid_request"' in reply.headers["www-authenticate"]
            assert token.encode() not in reply.everything
            misplaced(hospital.event(reply), token)


def misplaced(seen, token):
    """The trail tells of a token that may have leaked, and nothing of the token."""
    assert (seen.code, seen.outcome, seen.rule) == ("token.deny", "denied", "token.transport")
    assert (seen.details["actor"]["type"], seen.details["status"]) == ("anonymous", 400)
    assert not any(part in str(seen) for part in token.split("."))


@pytest.mark.spec("G41", "G40", "EHR-31", "T8")
def test_nothing_of_the_callers_headers_goes_upstream(clinic, upstream):
    upstream.asked.clear()
    token = clinic.token(patient="456")
    sent = {
        "Cookie": "sessionid=1",
        "X-Forwarded-Host": "evil.example",
        "X-Authorization-Subject": "Patient/790",
        "Epic-User-ID": "root",
        "Connection": "X-Tenant",
        "If-None-Match": '"1"',
        "Accept": "application/json",
    }
    assert clinic.ask("/Patient/456", token, headers=sent).status == 200
    (asked,) = upstream.asked
    assert asked.headers["authorization"] == "Bearer upstream-bearer-of-the-tests"
    assert set(asked.headers) == {
        *("host", "accept", "accept-encoding", "user-agent", "prefer"),
        *("x-request-id", "authorization", "cache-control"),
    }
    assert asked.headers["accept"] == "application/fhir+json"


# Grants, apps, people and tenants that end -----------------------------------------------------


@pytest.mark.spec("RSVR-02", "C7", "G51")
def test_a_grant_ended_in_this_process_is_refused_at_once(hospital):
    token, grant = hospital.grant()
    assert hospital.ask("/Patient/789", token).status == 200
    with tenancy.bind(hospital.tenant):
        assert end_grants(reason="test", actor=ADMIN, id=grant.pk) == 1
    reply = hospital.ask("/Patient/789", token)
    refused(reply)
    assert hospital.event(reply).details["reason"] == "the access was ended"


@pytest.mark.spec("RSVR-02", "C7", "G51")
@pytest.mark.parametrize("ended", ["grant", "app", "person"])
def test_what_another_process_ended_is_refused_within_a_second(clinic, monkeypatch, ended):
    clock = [time.monotonic()]
    for module in (tokens, ttl):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    token, grant = clinic.grant(patient="456")
    assert clinic.ask("/Patient/456", token).status == 200
    with tenancy.bind(clinic.tenant):
        if ended == "grant":
            Grant.objects.filter(pk=grant.pk).update(ended_at=timezone.now())
        elif ended == "app":
            suspended = Application.State.SUSPENDED
            Application.objects.filter(pk=clinic.app.pk).update(state=suspended)
        else:
            type(clinic.user).objects.filter(pk=clinic.user.pk).update(is_active=False)
    clock[0] += 0.74
    assert clinic.ask("/Patient/456", token).status == 200
    clock[0] += 0.27
    refused(clinic.ask("/Patient/456", token))


@pytest.mark.spec("G51", "V8")
def test_a_grant_that_ends_while_the_upstream_is_slow_gets_nothing(clinic, upstream):
    asked, go_on = threading.Event(), threading.Event()

    def slow(_):
        asked.set()
        assert go_on.wait(20)
        return Answer(JANE)

    upstream.routes["Patient/456"] = slow
    token, grant = clinic.grant(patient="456")

    def end():
        with tenancy.bind(clinic.tenant):
            end_grants(reason="test", actor=ADMIN, id=grant.pk)

    async def ask():
        asking = asyncio.create_task(clinic.asking("/Patient/456", token))
        await asyncio.to_thread(asked.wait, 20)
        await asyncio.to_thread(end)
        go_on.set()
        return await asking

    reply = clinic.run(ask())
    refused(reply)
    assert b"Doe" not in reply.everything
    seen = clinic.event(reply)
    assert (seen.code, seen.outcome, seen.rule) == ("fhir.read.deny", "denied", "token.valid")
    assert (seen.details["patient"], seen.details["reason"]) == ("456", "the access was ended")


@pytest.mark.spec("T4")
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_bases_that_are_not_served_are_the_same_404(hospital, lakeside, runner, method):
    """No such tenant, and one without healthcare, say the same."""
    headers = [(b"authorization", b"Bearer " + hospital.token().encode())]
    for slug in ("no-such-tenant", "-", "a" * 63):
        path = f"/t/{slug}/fhir/Patient/789".encode()
        absent = runner.run(call(method, path, headers=headers))
        absent.outcome(404, "not-found")
    off = runner.run(call("GET", f"/t/{lakeside.slug}/fhir/Patient/789".encode(), headers=headers))
    assert off.outcome(404, "not-found") == absent.outcome(404, "not-found")


@pytest.mark.spec("T4")
def test_a_suspended_tenant_is_a_404_even_for_metadata(clinic):
    token = clinic.token(patient="456")
    assert clinic.ask("/Patient/456", token).status == 200
    Tenant.objects.filter(pk=clinic.tenant.id).update(state=Tenant.State.SUSPENDED)
    directory.forget(clinic.tenant.slug)
    for path in ("/Patient/456", "/metadata"):
        clinic.ask(path, token).outcome(404, "not-found")


def test_healthcare_switched_off_is_a_404(clinic):
    token = clinic.token(patient="456")
    assert clinic.ask("/Patient/456", token).status == 200
    with tenancy.bind(clinic.tenant):
        HealthcareModule.objects.all().delete()
    activation.forget(clinic.tenant.id)
    clinic.ask("/Patient/456", token).outcome(404, "not-found")
    clinic.ask("/metadata").outcome(404, "not-found")


# Discovery -------------------------------------------------------------------------------------


@pytest.mark.spec("DISC-26", "G48", "RSVR-15", "RSVR-21")
def test_metadata_is_what_the_upstream_has_and_the_gateway_lets_through(clinic):
    reply = clinic.ask("/metadata")
    statement = reply.json
    assert (reply.status, statement["resourceType"]) == (200, "CapabilityStatement")
    assert statement["software"]["name"] == "AuthFI"
    assert statement["implementation"]["url"] == fhir_base(clinic.tenant)
    assert b"Fake FHIR" not in reply.body
    (rest,) = statement["rest"]
    assert rest["resource"] == [
        {
            "type": "Patient",
            "interaction": [{"code": "read"}, {"code": "search-type"}],
            "searchParam": [{"name": "name", "type": "string"}],
        }
    ]
    assert clinic.events(reply) == []
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.spec("DISC-26", "RSVR-15")
def test_metadata_answers_head_and_tells_what_it_cannot_do(hospital):
    assert hospital.ask("/metadata", method="HEAD").status == 200
    assert hospital.ask("/metadata?_format=json").status == 200
    assert hospital.ask("/metadata?mode=full").status == 200
    assert hospital.ask("/metadata", "not.a.token").status == 200
    xml = hospital.ask("/metadata", headers={"Accept": "application/fhir+xml"})
    xml.outcome(406, "not-supported")
    hospital.ask("/metadata?mode=terminology").outcome(400, "not-supported")
    hospital.ask("/metadata", method="POST").outcome(405, "not-supported")


@pytest.mark.spec("DISC-01")
def test_smart_configuration_below_the_base_is_the_authorization_servers(hospital, runner):
    async def ask():
        path = f"/t/{hospital.tenant.slug}/fhir/.well-known/smart-configuration"
        return await call("GET", path.encode(), headers=[(b"host", b"localhost:8000")])

    reply = runner.run(ask())
    assert reply.status == 200
    assert reply.json["issuer"] == issuer(hospital.tenant)


def test_the_loops_connections_are_closed_with_it(hospital, runner):
    """What a web process opened it closes when its server stops."""
    assert hospital.ask("/Patient/789", hospital.token()).status == 200
    assert len(outbound._pools) >= 1
    runner.run(outbound.close())
    assert runner.get_loop() not in outbound._pools
