"""An app in its own name: a secret, management scopes, and nothing clinical (CAUT, O1)."""

import base64

import pytest

from authfi.lib import tenancy
from smart import tokens
from smart.server.register import register_application
from tests.server.conftest import REDIRECT, Flow, refused, trail


def basic(client_id, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


@pytest.fixture
def admin_api(mercy):
    """An app with a secret; the secret."""
    with tenancy.bind(mercy):
        return register_application(
            client_id="admin-api",
            name="Admin API",
            client_type="confidential",
            scopes="authfi/users authfi/audit.read",
            grant_types=["client_credentials"],
        )[1]


@pytest.mark.spec("CAUT-04", "O1", "REGI-11")
def test_a_secret_opens_the_management_api(flow, mercy, admin_api):
    form = {"grant_type": "client_credentials", "scope": "authfi/users"}
    response = flow.post(form, basic("admin-api", admin_api))
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    assert (body["scope"], body["expires_in"]) == ("authfi/users", 300)
    found = tokens.authenticate(
        body["access_token"], tenant=mercy, audience="http://localhost:8000/api/v1"
    )
    assert (found.subject, found.client_id, found.grant_id) == ("admin-api", "admin-api", None)
    [(_, _, details)] = trail(mercy, "token.issue")
    assert details["actor"] == {"type": "client", "id": "admin-api", "roles": [], "aal": 0}


@pytest.mark.spec("O10")
def test_management_tokens_stay_off_the_fhir_base(flow, mercy, admin_api, pat_flow):
    form = {"grant_type": "client_credentials", "scope": "authfi/users authfi/apps"}
    body = flow.post(form, basic("admin-api", admin_api)).json()
    assert body["scope"] == "authfi/users"
    assert trail(mercy, "scope.reduced")[-1][2]["left_out"] == {"authfi/apps": "not_allowed"}
    with pytest.raises(tokens.InvalidTokenError, match="another server"):
        tokens.authenticate(body["access_token"], tenant=mercy, audience=f"{flow.issuer}/fhir")
    clinical = pat_flow.exchange(pat_flow.code()).json()["access_token"]
    with pytest.raises(tokens.InvalidTokenError, match="another server"):
        tokens.authenticate(clinical, tenant=mercy, audience="http://localhost:8000/api/v1")


@pytest.mark.spec("BKND-03", "SCOP-11", "O1", "CAUT-08")
@pytest.mark.parametrize(
    "scope",
    [None, "system/*.rs", "patient/Patient.rs", "openid", "authfi/apps", "system/X.dus", " "],
)
def test_other_scopes_are_not_for_secrets(flow, admin_api, scope):
    form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
    refused(flow.post(form, basic("admin-api", admin_api)), "invalid_scope")


@pytest.mark.spec("CAUT-05", "CAUT-09", "ERRS-03", "REGI-12", "O12")
@pytest.mark.parametrize(
    ("form", "headers", "error", "status"),
    [
        ({}, basic("admin-api", "wrong"), "invalid_client", 401),
        ({}, basic("nobody", "x"), "invalid_client", 401),
        ({}, basic("growth-chart", ""), "invalid_client", 401),
        ({}, basic("admin-api", ""), "invalid_client", 401),
        ({}, {"Authorization": "Basic ***"}, "invalid_client", 401),
        ({}, {"Authorization": "Basic"}, "invalid_client", 401),
        ({}, {"Authorization": "Basic w6nDqQ=="}, "invalid_client", 401),
        ({}, {"Authorization": "Basic \x80"}, "invalid_client", 401),
        ({"client_id": "admin-api"}, {}, "invalid_client", 401),
        ({"client_secret": "x"}, basic("admin-api", "x"), "invalid_request", 400),
        ({"client_assertion": "x"}, basic("admin-api", "x"), "invalid_request", 400),
    ],
)
def test_client_authentication_fails(flow, admin_api, form, headers, error, status):
    sent = {"grant_type": "client_credentials", "scope": "authfi/users", **form}
    response = flow.post(sent, headers)
    refused(response, error, status)
    is_basic = "Authorization" in headers and error == "invalid_client"
    assert response.get("WWW-Authenticate", "").startswith("Basic") is is_basic


@pytest.mark.spec("CAUT-04", "TOKN-03")
def test_bearer_is_no_client_authentication(flow):
    response = flow.post({"grant_type": "client_credentials"}, {"Authorization": "Bearer x"})
    refused(response, "invalid_client", 401)


@pytest.mark.spec("TOKN-03", "CAUT-06", "CAUT-04")
def test_a_client_id_beside_basic_must_agree(flow, admin_api):
    sent = {"grant_type": "client_credentials", "scope": "authfi/users", "client_id": "admin-api"}
    encoded = admin_api.replace("-", "%2D").replace("_", "%5F")
    assert flow.post(sent, basic("admin%2Dapi", encoded)).status_code == 200
    refused(flow.post({**sent, "client_id": "x"}, basic("admin-api", admin_api)), "invalid_request")


@pytest.mark.spec("TOKN-24", "REGI-12")
def test_a_secret_opens_no_code(flow, admin_api):
    sent = {"grant_type": "authorization_code", "code": "x", "redirect_uri": REDIRECT}
    refused(flow.post(sent, basic("admin-api", admin_api)), "unauthorized_client")


@pytest.mark.spec("CAUT-04", "D2")
def test_a_secret_is_good_in_its_own_tenant_only(flow, lakeside, admin_api):
    form = {"grant_type": "client_credentials", "scope": "authfi/users"}
    refused(Flow(lakeside).post(form, basic("admin-api", admin_api)), "invalid_client", 401)
