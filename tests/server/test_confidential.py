"""Apps with a secret: people launch them, HTTP Basic proves them (CAUT-04 to CAUT-09, O2, O12)."""

import asyncio
from urllib.parse import quote

import pytest
from django.db import connection

from authfi.lib import tenancy
from smart import smart1_apps
from smart.gateway import capability
from smart.models import Application, AuthorizationCode
from tests.gateway.asgi import call
from tests.server.confidential import (
    CLIENT_ID,
    NO_PKCE,
    a_confidential_app,
    basic,
    exchange,
    mark,
    refresh,
)
from tests.server.conftest import answer_of, claims_of, refused, trail

SCOPE = "launch/patient openid fhirUser patient/*.rs offline_access"


@pytest.fixture
def order_entry(mercy, app):
    """A confidential app and its secret."""
    return a_confidential_app(mercy)


@pytest.fixture
def order_flow(pat_flow, order_entry):
    """Pat is signed in and opens the confidential app."""
    pat_flow.client_id = CLIENT_ID
    return pat_flow


@pytest.mark.spec("CAUT-04", "CAUT-06", "TOKN-03", "REFR-02", "REFR-16", "IDTK-01")
@pytest.mark.parametrize("encode", [str, quote])
def test_launch_exchange_refresh(order_flow, order_entry, encode):
    _, secret = order_entry
    headers = basic(encode(CLIENT_ID), encode(secret))
    response = exchange(order_flow, order_flow.code(scope=SCOPE), headers)
    assert response.status_code == 200, response.content
    body = response.json()
    assert (body["scope"], body["patient"]) == (SCOPE, "789")
    assert claims_of(body["id_token"])["aud"] == CLIENT_ID
    again = refresh(order_flow, body["refresh_token"], headers)
    assert again.status_code == 200, again.content
    assert again.json()["refresh_token"] != body["refresh_token"]


@pytest.mark.spec("TOKN-03", "CAUT-04")
def test_its_id_may_be_in_the_form_too(order_flow, order_entry):
    _, secret = order_entry
    code = order_flow.code()
    headers = basic(CLIENT_ID, secret)
    refused(exchange(order_flow, code, headers, client_id="growth-chart"), "invalid_request")
    assert exchange(order_flow, code, headers, client_id=CLIENT_ID).status_code == 200


@pytest.mark.spec("CAUT-05", "CAUT-07", "CAUT-09", "REGI-12", "REFR-02", "O12", "TOKN-07")
def test_it_must_prove_itself(order_flow, order_entry, mercy):
    _, secret = order_entry
    right, wrong = basic(CLIENT_ID, secret), basic(CLIENT_ID, secret[::-1])
    code = order_flow.code(scope=SCOPE)
    for headers, form, error, status in (
        ({}, {"client_id": CLIENT_ID}, "invalid_client", 401),
        ({}, {}, "invalid_client", 401),
        (wrong, {}, "invalid_client", 401),
        (basic("BAD_CLIENT_ID", secret), {}, "invalid_client", 401),
        (basic("growth-chart", secret), {}, "invalid_client", 401),
        ({}, {"client_id": CLIENT_ID, "client_secret": secret}, "invalid_client", 401),
        (right, {"client_secret": secret}, "invalid_request", 400),
        (right, {"client_assertion": "x"}, "invalid_request", 400),
    ):
        response = exchange(order_flow, code, headers, **form)
        refused(response, error, status)
        assert ("WWW-Authenticate" in response) == (status == 401 and bool(headers))
        assert trail(mercy, "token.deny")[-1][1] == "denied"
    body = exchange(order_flow, code, right).json()
    for headers, form in (({}, {"client_id": CLIENT_ID}), (wrong, {})):
        refused(refresh(order_flow, body["refresh_token"], headers, **form), "invalid_client", 401)
    assert refresh(order_flow, body["refresh_token"], right).status_code == 200


@pytest.mark.spec("CAUT-08", "TOKN-24", "O1")
def test_it_gets_nothing_in_its_own_name(order_flow, order_entry):
    _, secret = order_entry
    form = {"grant_type": "client_credentials", "scope": "system/*.rs"}
    refused(order_flow.post(form, basic(CLIENT_ID, secret)), "unauthorized_client")


@pytest.mark.spec("O21", "REGI-11")
def test_its_secret_is_not_in_the_database(mercy, order_entry):
    _, secret = order_entry
    assert len(secret) >= 43
    with tenancy.bind(mercy), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM smart_application")
        assert secret not in str(cursor.fetchall())


# SMART 1 apps without PKCE


@pytest.fixture
def smart1_flow(order_flow, mercy, order_entry):
    """The confidential app, marked as a SMART 1 app."""
    mark(mercy)
    return order_flow


@pytest.mark.spec("AUTZ-11", "O2")
def test_an_app_that_is_not_marked_uses_pkce(order_flow):
    answer = answer_of(order_flow.authorize(**NO_PKCE))
    assert answer["error"] == "invalid_request"


@pytest.mark.spec("AUTZ-11", "O2")
def test_the_mark_means_nothing_for_a_public_app(pat_flow, mercy):
    with tenancy.bind(mercy):
        Application.objects.update(without_pkce=True)
    assert answer_of(pat_flow.authorize(**NO_PKCE))["error"] == "invalid_request"


@pytest.mark.spec("AUTZ-11", "O2")
def test_a_marked_app_launches_without_pkce(smart1_flow, order_entry):
    headers = basic(CLIENT_ID, order_entry[1])
    response = exchange(smart1_flow, smart1_flow.code(**NO_PKCE), headers, code_verifier=None)
    assert response.status_code == 200, response.content


@pytest.mark.spec("O2", "TOKN-05")
def test_no_downgrade_either_way(smart1_flow, order_entry):
    headers = basic(CLIENT_ID, order_entry[1])
    bare, bound = smart1_flow.code(**NO_PKCE), smart1_flow.code()
    refused(exchange(smart1_flow, bare, headers), "invalid_grant")
    refused(exchange(smart1_flow, bound, headers, code_verifier=None), "invalid_grant")
    refused(exchange(smart1_flow, bound, headers, code_verifier="v" * 43), "invalid_grant")
    assert exchange(smart1_flow, bare, headers, code_verifier=None).status_code == 200
    assert exchange(smart1_flow, bound, headers).status_code == 200


@pytest.mark.spec("AUTZ-11", "AUTZ-12", "O2")
@pytest.mark.parametrize(
    "half",
    [{"code_challenge": None}, {"code_challenge_method": None}, {"code_challenge_method": "plain"}],
)
def test_half_a_challenge_is_an_error_for_a_marked_app_too(smart1_flow, half):
    assert answer_of(smart1_flow.authorize(**half))["error"] == "invalid_request"


@pytest.mark.spec("O2")
def test_a_code_without_challenge_dies_with_the_mark(smart1_flow, order_entry, mercy):
    code = smart1_flow.code(**NO_PKCE)
    with tenancy.bind(mercy):
        assert AuthorizationCode.objects.get().code_challenge == ""
        Application.objects.update(without_pkce=False)
    headers = basic(CLIENT_ID, order_entry[1])
    response = exchange(smart1_flow, code, headers, code_verifier=None)
    assert response.status_code == 400
    refused(exchange(smart1_flow, code, headers), "invalid_grant")


def security(tenant):
    """What `/metadata` says of security, asked without memory of an earlier answer."""
    smart1_apps.forget(tenant.id)
    reply = asyncio.run(call("GET", f"/t/{tenant.slug}/fhir/metadata".encode()))
    assert reply.status == 200
    return reply.json["rest"][0]["security"]


@pytest.mark.spec("DISC-25", "O2")
def test_only_smart_1_apps_are_told_their_endpoints_in_the_capability_statement(smart1_flow, mercy):
    told = security(mercy)
    [extension] = told.pop("extension")
    assert extension["url"] == capability.OAUTH_URIS
    smart = smart1_flow.client.get(f"{smart1_flow.path}/.well-known/smart-configuration").json()
    assert {one["url"]: one["valueUri"] for one in extension["extension"]} == {
        "authorize": smart["authorization_endpoint"],
        "token": smart["token_endpoint"],
        "introspect": smart["introspection_endpoint"],
        "revoke": smart["revocation_endpoint"],
    }
    mark(mercy, without_pkce=False)
    assert security(mercy) == told


@pytest.mark.spec("DISC-12", "CAUT-07", "REGI-12")
def test_the_methods_told_work_and_no_others(order_flow, order_entry):
    _, secret = order_entry
    told = order_flow.client.get(f"{order_flow.path}/fhir/.well-known/smart-configuration").json()
    assert told["token_endpoint_auth_methods_supported"] == ["client_secret_basic"]
    code = order_flow.code()
    jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    for form in (
        {"client_id": CLIENT_ID},
        {"client_id": CLIENT_ID, "client_secret": secret},
        {"client_assertion_type": jwt_bearer, "client_assertion": "a.b.c"},
    ):
        refused(exchange(order_flow, code, {}, **form), "invalid_client", 401)
    assert exchange(order_flow, code, basic(CLIENT_ID, secret)).status_code == 200
