"""Who is granted `user/` scopes, and what for (STND-06, SCOP-15, D16)."""

import pytest

from tests.access.conftest import hospital, sandbox
from tests.cast import let_patients_sign_in_with_a_password
from tests.server.conftest import answer_of, trail
from tests.server.picking import a_flow, nurse

__all__ = ["hospital", "nurse", "sandbox"]


@pytest.mark.spec("STND-06", "SCOP-15")
def test_user_scopes_alone_ask_for_nobody(nurse):
    body = nurse.exchange(nurse.code(scope="openid user/*.rs")).json()
    assert body["scope"] == "openid user/*.rs"
    assert "patient" not in body


@pytest.mark.spec("SCOP-15", "GRNT-03", "H15", "D5")
def test_who_may_open_nothing_gets_no_user_scopes(hospital):
    flow = a_flow(hospital, "admin", fhir_user=None)
    body = flow.exchange(flow.code(scope="openid user/*.rs")).json()
    assert body["scope"] == "openid"
    [(_, _, details)] = trail(hospital, "scope.reduced")
    assert details["left_out"] == {"user/*.rs": "role"}


@pytest.mark.spec("SCOP-15", "STND-02", "GRNT-09")
def test_patients_have_their_own_record_and_no_picker(hospital):
    let_patients_sign_in_with_a_password(hospital)
    flow = a_flow(hospital, "patient", fhir_user="Patient/789", mfa=False)
    body = flow.exchange(flow.code(scope="launch/patient openid user/*.rs")).json()
    assert (body["patient"], body["scope"]) == ("789", "launch/patient openid user/*.rs")
    going_on = flow.begin()
    assert flow.client.get(f"{going_on}/patient")["Location"] == going_on
    assert flow.client.post(f"{going_on}/patient", {"patient": "790"})["Location"] == going_on
    assert answer_of(flow.decide(going_on))["code"]
