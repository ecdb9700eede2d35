"""How strong a sign-in an app would like: `acr_values` (N13, AUTZ-18; OIDC Core 3.1.2.1)."""

import secrets
from dataclasses import replace

import pytest

from authfi.accounts import people
from authfi.lib import tenancy
from tests.cast import give_code
from tests.consent.conftest import sign_in as password_only
from tests.server.conftest import answer_of, claims_of


@pytest.fixture
def careful(flow, mercy, pat):
    """Pat has an authenticator app, and a session that a password began."""
    seed = secrets.token_hex(20)
    with tenancy.bind(mercy):
        people.enrol_totp(pat.user, seed)
        flow.client = password_only(mercy, pat.user).client
    return replace(pat, seed=seed)


def acr_of(flow, going_on):
    """The `acr` of the ID token and of the access token at the way's end."""
    body = flow.exchange(answer_of(flow.decide(going_on))["code"]).json()
    found = {claims_of(body[name])["acr"] for name in ("id_token", "access_token")}
    assert len(found) == 1
    return found.pop()


@pytest.mark.spec("N13", "AUTZ-18", "IDTK-01")
@pytest.mark.parametrize("values", ["aal2", "aal2 aal1", "phr aal2"])
def test_a_level_not_reached_is_asked_for_before_consent(flow, careful, values):
    going_on = flow.begin(acr_values=values)
    page = flow.client.get(going_on)
    assert page.status_code == 302
    assert f"{flow.path}/mfa?" in page["Location"]
    passed = give_code(flow.client, careful, next_url=going_on)
    assert passed["Location"] == going_on
    assert acr_of(flow, going_on) == "aal2"


@pytest.mark.spec("N13", "AUTZ-18")
@pytest.mark.parametrize("values", [None, "", "aal1", "aal1 aal2", "phr", "aal2" * 600])
def test_what_is_reached_or_not_known_asks_for_nothing(flow, careful, values):
    going_on = flow.begin(acr_values=values)
    assert "/consent/" in flow.client.get(going_on)["Location"]
    assert acr_of(flow, going_on) == "aal1"


@pytest.mark.spec("N13")
def test_who_signed_in_with_two_factors_goes_on(ada_flow):
    going_on = ada_flow.begin(scope="openid", aud=None, acr_values="aal2")
    assert "/consent/" in ada_flow.client.get(going_on)["Location"]
    assert acr_of(ada_flow, going_on) == "aal2"


@pytest.mark.spec("N13", "AUTZ-18")
def test_a_wish_is_no_demand(pat_flow):
    """Without a second factor the person goes on, and the app is told how far that reached."""
    assert acr_of(pat_flow, pat_flow.begin(acr_values="aal2")) == "aal1"


@pytest.mark.spec("N13")
def test_silently_there_is_no_stronger_sign_in(flow, careful):
    response = flow.client.get(flow.begin(acr_values="aal2", prompt="none"))
    assert answer_of(response)["error"] == "login_required"


@pytest.mark.spec("N13", "DISC-01")
def test_the_metadata_lists_what_sign_ins_here_reach(flow, mercy):
    path = f"{flow.path}/.well-known/openid-configuration"
    assert flow.client.get(path).json()["acr_values_supported"] == ["aal2"]


@pytest.mark.spec("N13", "DISC-01", "H7")
def test_the_metadata_where_patients_need_no_second_factor(flow, mercy, pat):
    path = f"{flow.path}/.well-known/openid-configuration"
    assert flow.client.get(path).json()["acr_values_supported"] == ["aal1", "aal2"]
