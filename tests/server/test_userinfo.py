"""UserInfo tells what the ID token told (OpenID Connect Core 5.3; IDTK-12)."""

import pytest

from audit.events import Actor
from authfi.lib import tenancy
from smart.grants import end_grants
from tests.server.conftest import ORIGIN, claims_of, trail


def ask(flow, token=None, method="get", **headers):
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return getattr(flow.client, method)(f"{flow.path}/oauth/userinfo", headers=headers)


@pytest.mark.spec("IDTK-12", "CACH-02")
@pytest.mark.parametrize("method", ["get", "post"])
def test_it_agrees_with_the_id_token(pat_flow, method):
    answer = pat_flow.exchange(pat_flow.code()).json()
    told = claims_of(answer["id_token"])
    response = ask(pat_flow, answer["access_token"], method)
    assert response.json() == {"sub": told["sub"], "fhirUser": told["fhirUser"]}
    assert response["Cache-Control"] == "no-store"


@pytest.mark.spec("IDTK-12", "IDTK-13")
def test_fhir_user_only_where_it_was_granted(pat_flow):
    token = pat_flow.exchange(pat_flow.code(scope="openid", aud=None)).json()["access_token"]
    assert set(ask(pat_flow, token).json()) == {"sub"}


@pytest.mark.spec("IDTK-12", "ERRS-04")
def test_other_tokens_open_nothing(pat_flow, mercy):
    response = ask(pat_flow)
    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
    response = ask(pat_flow, "x.y.z")
    assert response.status_code == 401
    assert 'error="invalid_token"' in response["WWW-Authenticate"]
    assert trail(mercy, "token.deny")[-1][1] == "denied"
    scope = "launch/patient patient/*.rs"
    token = pat_flow.exchange(pat_flow.code(scope=scope)).json()["access_token"]
    response = ask(pat_flow, token)
    assert response.status_code == 403
    assert 'error="insufficient_scope"' in response["WWW-Authenticate"]
    assert response.content == b""


@pytest.mark.spec("G51", "O10")
def test_an_ended_grant_tells_nothing(pat_flow, mercy):
    token = pat_flow.exchange(pat_flow.code()).json()["access_token"]
    with tenancy.bind(mercy):
        assert end_grants(reason="test", actor=Actor.system("tests")) == 1
    assert ask(pat_flow, token).status_code == 401


@pytest.mark.spec("CORS-06")
def test_registered_origins_may_read_it(pat_flow):
    token = pat_flow.exchange(pat_flow.code()).json()["access_token"]
    response = ask(pat_flow, token, Origin=ORIGIN)
    assert response["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Origin" not in ask(pat_flow, token, Origin="https://x.example")
    assert ask(pat_flow, None, "options", Origin=ORIGIN).status_code == 204
    assert ask(pat_flow, None, "put").status_code == 405
