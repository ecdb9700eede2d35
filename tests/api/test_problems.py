"""Who may call the management API, and how it says no."""

import base64
import json
import secrets

import pytest

from audit.events import Code
from audit.models import AuditEvent
from authfi.lib import tenancy
from smart.models import Application
from tenants import directory
from tenants.http import fhir_base
from tenants.models import Tenant


def expect_problem(response, status):
    """RFC 9457: the media type, and members that repeat the status in words."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert response["Cache-Control"] == "no-store"
    body = json.loads(response.content)
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    return body


def denials(tenant, code=Code.ADMIN_HEALTHCARE):
    with tenancy.bind(tenant):
        rows = AuditEvent.objects.filter(code=code, outcome="denied").order_by("seq")
        return [row.details["reason"] for row in rows]


def test_without_a_token(healthcare, mercy):
    response = healthcare.call("GET", mercy, None)
    expect_problem(response, 401)
    assert response["WWW-Authenticate"] == 'Bearer realm="AuthFI management API"'


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_without_a_token_a_tenant_that_is_not_there_looks_the_same(healthcare, mercy, method):
    one = healthcare.call(method, mercy, None)
    other = healthcare.call(method, "nobody-here", None)
    assert (
        (one.status_code, one.content) == (other.status_code, other.content) == (401, one.content)
    )


@pytest.mark.parametrize(
    "header",
    [
        "Basic YTpi",
        "Bearer",
        "Bearer ",
        "Bearer a.b.c",
        "Bearer x",
        "Bearer " + "a" * 9000,
        "DPoP x",
    ],
)
def test_something_that_is_no_token(healthcare, mercy, header):
    response = healthcare.call("GET", mercy, None, headers={"Authorization": header})
    expect_problem(response, 401)
    assert response["WWW-Authenticate"].startswith("Bearer ")


def forged(claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'at+jwt'})}.{part(claims)}."


@pytest.mark.parametrize("iss", [None, 7, "https://elsewhere.example/t/x", "{own}", "{own}/../x"])
def test_a_forged_token(healthcare, mercy, iss, settings):
    if isinstance(iss, str):
        iss = iss.format(own=f"{settings.ORIGIN}/t/{mercy.slug}")
    response = healthcare.call("GET", mercy, forged({"iss": iss, "aud": "x", "exp": 9999999999}))
    expect_problem(response, 401)
    assert 'error="invalid_token"' in response["WWW-Authenticate"]


@pytest.mark.spec("O10")
def test_a_token_for_the_fhir_base_is_refused_and_recorded(healthcare, mercy, token):
    raw = token(mercy, audience=fhir_base(mercy))
    response = healthcare.call("GET", mercy, raw)
    expect_problem(response, 401)
    assert 'error="invalid_token"' in response["WWW-Authenticate"]
    assert denials(mercy, Code.TOKEN_DENY) == ["the token is for another server"]


def test_a_suspended_client(healthcare, mercy, token):
    raw = token(mercy)
    with tenancy.bind(mercy):
        Application.objects.update(state=Application.State.SUSPENDED)
    expect_problem(healthcare.call("GET", mercy, raw), 401)


def test_a_suspended_tenant(healthcare, mercy, token):
    raw = token(mercy)
    Tenant.objects.filter(pk=mercy.id).update(state=Tenant.State.SUSPENDED)
    directory.forget(mercy.slug)
    expect_problem(healthcare.call("GET", mercy, raw), 401)


def test_a_missing_scope(healthcare, mercy, token):
    response = healthcare.call("GET", mercy, token(mercy, "authfi/launch authfi/users"))
    expect_problem(response, 403)
    assert 'error="insufficient_scope", scope="authfi/tenants"' in response["WWW-Authenticate"]
    assert denials(mercy) == ["the token lacks authfi/tenants"]


@pytest.mark.spec("T2")
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_another_tenant_is_answered_as_an_absent_one(healthcare, mercy, lakeside, token, method):
    raw = token(mercy)
    theirs = healthcare.call(method, lakeside, raw, {"preset": "custom"})
    absent = healthcare.call(method, f"no-{secrets.token_hex(4)}", raw, {"preset": "custom"})
    assert expect_problem(theirs, 404) == expect_problem(absent, 404)
    assert len(denials(mercy)) == 2
    assert denials(lakeside) == []


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
def test_a_method_that_is_not_offered(healthcare, mercy, token, method):
    response = healthcare.call(method, mercy, token(mercy), {})
    expect_problem(response, 405)


def test_a_body_of_another_type(healthcare, mercy, token):
    raw = token(mercy)
    form = healthcare.call(
        "PUT", mercy, raw, b"a=b", content_type="application/x-www-form-urlencoded"
    )
    expect_problem(form, 415)


def test_an_answer_of_another_type(healthcare, mercy, token):
    response = healthcare.call("GET", mercy, token(mercy), headers={"Accept": "text/csv"})
    expect_problem(response, 406)


@pytest.mark.spec("G22")
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"null",
        b"[]",
        b'"text"',
        b'{"preset": NaN}',
        b"\xff\xfe",
        b'{"preset": "hapi", "preset": "custom"}',
        b'{"preset": "\\ud800"}',
        b'{"auth": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    ],
)
def test_a_malformed_body(healthcare, mercy, token, body):
    expect_problem(healthcare.call("PUT", mercy, token(mercy), body), 400)


def test_a_huge_body(healthcare, mercy, token):
    expect_problem(healthcare.call("PUT", mercy, token(mercy), b'"' + b"a" * 70_000 + b'"'), 413)


@pytest.mark.parametrize("path", ["", "nothing", "tenants/", "tenants/a/nothing", "tenants/a/b/c"])
def test_an_address_that_is_not_there(client, path):
    expect_problem(client.get(f"/api/v1/{path}"), 404)


@pytest.mark.spec("A1", "T6")
def test_a_body_that_cannot_be_used_is_recorded_where_its_token_is_from(
    healthcare, mercy, platform, token
):
    with tenancy.bind(platform):
        before = len(denials(platform))
    expect_problem(healthcare.call("PUT", mercy, token(platform), {"preset": 1}), 400)
    assert denials(platform)[before:] == ["the body was refused: preset: Not a valid string."]
    assert denials(mercy) == []
    expect_problem(healthcare.call("PUT", mercy, token(mercy), {"preset": "custom", "x": 1}), 400)
    assert denials(mercy) == ["the body was refused: x: Unknown member."]
