"""Clients that we did not write, against the running demo: npm and PyPI packages as they are."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from fhirclient import client as smart_client

from tests.clients import node

REDIRECT = "https://app.example/cb"


@pytest.mark.spec(
    *("OIDC-01", "OIDC-04", "IDTK-02", "IDTK-15", "CAUT-04", "TOKN-15", "REFR-01", "REFR-07"),
    *("INTR-01", "INTR-02", "INTR-09", "REVO-01", "REVO-03", "AUTZ-09"),
)
def test_openid_client_uses_every_endpoint(demo, patient, register):
    scope = "openid fhirUser launch/patient offline_access patient/*.rs"
    app = register(
        client_name="OpenID Client",
        redirect_uris=[REDIRECT],
        post_logout_redirect_uris=[REDIRECT],
        scope=scope,
        grant_types=["authorization_code", "refresh_token"],
    )
    facts = {
        "issuer": demo.hospital,
        "base": f"{demo.hospital}/fhir",
        "clientId": app["client_id"],
        "secret": app["client_secret"],
        "redirectUri": REDIRECT,
        "scope": scope,
    }
    with node.start("openid.mjs", json.dumps(facts)) as script:
        script.write(patient.go(script.read()["url"], REDIRECT))
        said = script.read()
    assert said["claims"]["fhirUser"] == f"{demo.hospital}/fhir/Patient/789"
    assert said["userInfo"] == {name: said["claims"][name] for name in ("sub", "fhirUser")}
    assert (said["patient"], said["isRotated"]) == ("789", True)
    assert said["scope"].split() == scope.split()
    assert said["active"]["active"] is True
    assert said["active"]["patient"] == "789"
    assert said["after"] == {"active": False}
    assert said["again"] == {"error": "invalid_grant"}
    assert said["gone"] == 401
    assert patient.go(said["out"], REDIRECT).startswith(f"{REDIRECT}?state=bye")


@pytest.mark.spec("EHRL-01", "EHRL-02", "EHRL-04", "CTXT-01", "CTXT-02", "REFR-08", "G34")
def test_fhirclient_in_node_is_launched_from_the_ehr(demo, doctor, register):
    scope = "openid fhirUser launch online_access patient/*.rs"
    secret = None
    facts = {"clientId": "node-app", "secret": secret, "scope": scope}
    with node.start("smart.mjs", json.dumps(facts)) as script:
        origin = f"http://127.0.0.1:{script.read()['port']}"
        register(
            client_id="node-app",
            client_name="Node App",
            token_endpoint_auth_method="none",
            redirect_uris=[f"{origin}/app"],
            launch_uris=[f"{origin}/launch"],
            scope=scope,
            grant_types=["authorization_code", "refresh_token"],
        )
        came_to = doctor.go(opened(demo, "node-app"), f"{origin}/app")
        answer = doctor.session.get(came_to, timeout=30)
    said = answer.json()
    assert answer.status_code == 200, said
    assert (said["patient"], said["again"]) == ("789", "789")
    assert said["user"] == "Practitioner/123"
    assert said["isRefreshed"] is True
    assert said["scope"].split() == scope.split()
    assert len(set(said["observations"])) > 7, "more than one page was read"


def opened(demo, client_id):
    """The launch URL as an EHR opens it."""
    return demo.run(
        *("manage.py", "launch", "general-hospital", "--app", client_id),
        *("--user", "dr.smith@hospital.com", "--patient", "789", "--encounter", "789-visit-1"),
    ).strip()


@pytest.mark.spec("AUTZ-11", "DISC-25", "CAUT-04", "REFR-01", "O2")
def test_fhirclient_from_pypi_is_a_smart_1_app_without_pkce(demo, doctor, register):
    app = register(
        client_name="Python App",
        redirect_uris=[REDIRECT],
        launch_uris=["https://app.example/launch"],
        scope="openid fhirUser launch offline_access patient/*.read",
        grant_types=["authorization_code", "refresh_token"],
        without_pkce=True,
    )
    launch = parse_qs(urlsplit(opened(demo, app["client_id"])).query)
    smart = smart_client.FHIRClient(
        settings={
            "app_id": app["client_id"],
            "app_secret": app["client_secret"],
            "api_base": launch["iss"][0],
            "launch_token": launch["launch"][0],
            "redirect_uri": REDIRECT,
            "scope": "openid fhirUser launch offline_access patient/*.read",
        }
    )
    assert "code_challenge" not in smart.authorize_url
    smart.handle_callback(doctor.go(smart.authorize_url, REDIRECT))
    assert smart.patient.id == "789"
    former = smart.server.auth.access_token
    assert smart.reauthorize()
    assert smart.server.auth.access_token != former
    assert smart.server.request_json("Patient/789")["id"] == "789"
