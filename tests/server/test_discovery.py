"""Public documents: what they say is true, the same for all, and each tenant's own (DISC, OIDC)."""

from urllib.parse import urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from authfi.lib import tenancy
from smart.models import Application
from smart.scopes.syntax import MANAGEMENT_SCOPES
from smart.server import discovery
from tenants.models import Tenant
from tests.conftest import fresh_tenant
from tests.server.conftest import Flow, an_app, answer_of, connect

SMART = "/.well-known/smart-configuration"
LASTING = ("offline_access", "online_access")
DOCUMENTS = [
    SMART,
    f"/fhir{SMART}",
    "/.well-known/openid-configuration",
    "/.well-known/jwks.json",
]


def document(flow, path=f"/fhir{SMART}", **headers):
    response = flow.client.get(f"{flow.path}{path}", headers=headers)
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == "application/json"
    return response.json()


@pytest.mark.spec("DISC-01", "DISC-02", "CORS-01", "CORS-06", "CACH-03", "OIDC-10")
@pytest.mark.parametrize("path", DOCUMENTS)
def test_open_to_all_and_alike(flow, path):
    answers = [
        flow.client.get(f"{flow.path}{path}", headers=headers)
        for headers in (
            {},
            {"Accept": "text/html"},
            {"Accept": "application/fhir+json", "Origin": "https://x.example"},
            {"Authorization": "Bearer nonsense", "Cookie": "a=b"},
        )
    ]
    assert {answer.content for answer in answers} == {answers[0].content}
    for answer in answers:
        assert answer.status_code == 200
        assert answer["Content-Type"] == "application/json"
        assert answer["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer
        assert answer["Cache-Control"] == "public, max-age=300"
        assert not answer.cookies


@pytest.mark.spec(
    *("DISC-04", "DISC-05", "DISC-06", "DISC-07", "DISC-08", "DISC-09", "DISC-10", "DISC-14"),
    *("SCOP-09", "DISC-16", "DISC-17", "DISC-18", "DISC-20", "DISC-23", "DISC-24"),
)
def test_smart_configuration_says_what_works(flow):
    found = document(flow)
    assert found == document(flow, SMART)
    assert found["issuer"] == flow.issuer
    assert found["grant_types_supported"] == ["authorization_code"]
    assert found["response_types_supported"] == ["code"]
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert set(found["capabilities"]) == {
        *("launch-ehr", "launch-standalone", "authorize-post", "client-public"),
        *("client-confidential-symmetric", "sso-openid-connect"),
        *("permission-offline", "permission-online"),
        *("context-banner", "context-style", "context-ehr-patient", "context-ehr-encounter"),
        *("context-standalone-patient", "context-standalone-encounter"),
        *("permission-patient", "permission-user", "permission-v1", "permission-v2"),
    }
    assert set(found) == {
        "management_endpoint",
        *("issuer", "jwks_uri", "authorization_endpoint", "token_endpoint", "capabilities"),
        *("grant_types_supported", "response_types_supported", "scopes_supported"),
        *("code_challenge_methods_supported", "token_endpoint_auth_methods_supported"),
        *("introspection_endpoint", "revocation_endpoint"),
    }
    assert found["token_endpoint_auth_methods_supported"] == ["client_secret_basic"]


@pytest.mark.spec("DISC-03")
@pytest.mark.parametrize("path", [f"/fhir{SMART}", "/.well-known/openid-configuration"])
def test_urls_are_absolute(flow, path):
    found = document(flow, path)
    urls = [v for n, v in found.items() if n.endswith(("_endpoint", "_uri")) or n == "issuer"]
    assert len(urls) >= 4
    assert all(urlsplit(url).scheme == "http" and urlsplit(url).hostname for url in urls)


@pytest.mark.spec("DISC-13", "SCOP-22")
def test_every_scope_told_can_be_granted(pat_flow, ada_flow, dr_ada, app, mercy):
    told = document(ada_flow)["scopes_supported"]
    assert not set(told) & MANAGEMENT_SCOPES
    assert told == [
        *("openid", "fhirUser", "launch", "launch/patient", "launch/encounter"),
        *("offline_access", "online_access", "patient/*.cruds", "user/*.cruds"),
        *("patient/*.read", "user/*.read"),
    ]
    with tenancy.bind(mercy):
        Application.objects.update(scopes=f"{app.scopes} user/*.cruds online_access")
    for lasting, other in (LASTING, LASTING[::-1]):
        asked = [scope for scope in told if scope != other]
        handle = ada_flow.launch(dr_ada, app)
        answer = answer_of(ada_flow.decide(ada_flow.begin(scope=" ".join(asked), launch=handle)))
        body = ada_flow.exchange(answer["code"]).json()
        assert body["scope"].split() == asked
        assert lasting in asked
        assert body["refresh_token"]


@pytest.mark.spec("DISC-13", "DISC-28")
def test_scopes_told_are_the_tenants_own(lakeside):
    connect(lakeside, scopes="patient/Observation.rs patient/Patient.cruds")
    assert document(Flow(lakeside))["scopes_supported"] == [
        *("openid", "fhirUser", "launch", "launch/patient", "launch/encounter"),
        *("offline_access", "online_access", "patient/Observation.rs", "patient/Patient.cruds"),
    ]


@pytest.mark.spec("DISC-01")
def test_without_a_fhir_server_there_is_no_smart_document(lakeside):
    flow = Flow(lakeside)
    for path in (SMART, f"/fhir{SMART}"):
        response = flow.client.get(f"{flow.path}{path}")
        assert response.status_code == 404
        assert response["Content-Type"] == "application/json"
        assert response["Access-Control-Allow-Origin"] == "*"
    assert discovery.smart_configuration(lakeside) is None
    assert document(flow, "/.well-known/openid-configuration")["issuer"] == flow.issuer
    protected = f"/.well-known/oauth-protected-resource{flow.path}/fhir"
    assert flow.client.get(protected).status_code == 404


@pytest.mark.spec("OIDC-01", "OIDC-02", "OIDC-03", "OIDC-04", "OIDC-09", "O17")
def test_the_three_documents_agree(flow):
    smart = document(flow)
    openid = document(flow, "/.well-known/openid-configuration")
    oauth = flow.client.get(f"/.well-known/oauth-authorization-server{flow.path}").json()
    assert openid["grant_types_supported"] == [
        *("authorization_code", "refresh_token", "client_credentials")
    ]
    for name in (
        *("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"),
        *("introspection_endpoint", "revocation_endpoint"),
    ):
        assert smart[name] == openid[name] == oauth[name]
    assert oauth.items() <= openid.items()
    assert openid["userinfo_endpoint"] == f"{flow.issuer}/oauth/userinfo"
    assert openid["end_session_endpoint"] == f"{flow.issuer}/oauth/logout"
    assert openid["code_challenge_methods_supported"] == ["S256"]
    assert openid["id_token_signing_alg_values_supported"] == ["RS256"]
    assert openid["subject_types_supported"] == ["public"]
    assert openid["authorization_response_iss_parameter_supported"] is True
    assert openid["token_endpoint_auth_methods_supported"] == ["none", "client_secret_basic"]
    assert "registration_endpoint" not in openid


@pytest.mark.spec("OIDC-05", "OIDC-06", "OIDC-07", "OIDC-08", "IDTK-02")
def test_id_tokens_verify_with_the_published_keys(pat_flow):
    body = pat_flow.exchange(pat_flow.code()).json()
    published = document(pat_flow, "/.well-known/jwks.json")
    assert set(published) == {"keys"}
    kids = [key["kid"] for key in published["keys"]]
    assert len(set(kids)) == len(kids)
    rsa = [key for key in published["keys"] if key["kty"] == "RSA"]
    assert rsa
    assert all({"n", "e", "kid"} <= set(key) for key in rsa)
    assert not [key for key in published["keys"] if set(key) & {"d", "p", "q", "k"}]
    decoded = jwt.decode(body["id_token"], KeySet.import_key_set(published), algorithms=["RS256"])
    assert decoded.header["alg"] == "RS256"
    assert decoded.claims["iss"] == document(pat_flow)["issuer"]


@pytest.mark.spec("RSVR-02")
def test_the_fhir_base_names_its_server(flow):
    response = flow.client.get(f"/.well-known/oauth-protected-resource{flow.path}/fhir")
    assert response.json() == {
        "resource": f"{flow.issuer}/fhir",
        "authorization_servers": [flow.issuer],
        "bearer_methods_supported": ["header"],
        "scopes_supported": document(flow)["scopes_supported"],
    }


@pytest.mark.spec("DISC-28", "D2")
def test_no_document_of_a_tenant_that_is_not_there(client):
    suspended = fresh_tenant("closed")
    Tenant.objects.filter(pk=suspended.id).update(state=Tenant.State.SUSPENDED)
    for slug in ("nobody", suspended.slug):
        response = client.get(f"/.well-known/oauth-authorization-server/t/{slug}")
        assert response.status_code == 404
        assert response["Content-Type"] == "application/json"


@pytest.mark.spec("CORS-03", "CORS-06")
@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_answer_preflights_and_refuse_writes(flow, path):
    response = flow.client.options(f"{flow.path}{path}", headers={"Origin": "https://x.example"})
    assert response.status_code == 204
    assert response["Access-Control-Allow-Origin"] == "*"
    assert flow.client.post(f"{flow.path}{path}").status_code == 405


@pytest.mark.spec("DISC-28")
def test_each_tenant_has_its_own(flow, lakeside):
    connect(lakeside)
    an_app(lakeside)
    own, other = document(flow), document(Flow(lakeside))
    assert own["issuer"] != other["issuer"]
    assert own["jwks_uri"] != other["jwks_uri"]
    with tenancy.bind(lakeside):
        assert discovery.smart_configuration(lakeside) == other
