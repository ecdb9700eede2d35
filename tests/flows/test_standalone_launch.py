"""A patient opens an app, signs in, consents, and the app gets a token (STND, AUTZ, TOKN, IDTK)."""

import time
import uuid

import pytest
from django.db import OperationalError

from audit import chain
from authfi.lib import tenancy
from smart import tokens
from smart.models import AuthorizationCode, AuthorizationRequest, Grant
from smart.server import authorize_grant
from smart.server.errors import InvalidRequest
from tests.cast import a_person, sign_in
from tests.server.conftest import REDIRECT, answer_of, claims_of, refused, trail


@pytest.mark.spec("STND-01", "STND-02", "AUTZ-01", "AUTZ-07", "AUTZ-14", "O5")
@pytest.mark.spec("TOKN-10", "TOKN-12", "TOKN-13", "TOKN-14", "TOKN-17", "TOKN-19", "CAUT-01")
@pytest.mark.spec("IDTK-11")
def test_from_sign_in_to_token(flow, pat, mercy):
    going_on = flow.begin(nonce="n-1")
    at_login = flow.client.get(going_on)
    assert at_login.status_code == 302
    assert at_login["Location"].startswith(f"{flow.path}/login?next=")
    back = sign_in(flow.client, pat, next_url=going_on)
    assert back["Location"] == going_on

    response = flow.decide(going_on)
    assert response["Location"].startswith(f"{REDIRECT}?")
    assert response["Cache-Control"] == "no-store"
    assert response["Referrer-Policy"] == "no-referrer"
    answer = answer_of(response)
    assert answer["state"] == "s+t/a=t&e é"
    assert answer["iss"] == flow.issuer

    response = flow.exchange(answer["code"])
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == "application/json"
    assert (response["Cache-Control"], response["Pragma"]) == ("no-store", "no-cache")
    body = response.json()
    assert body["scope"].split() == ["launch/patient", "openid", "fhirUser", "patient/*.rs"]
    assert (body["token_type"], body["expires_in"], body["patient"]) == ("Bearer", 900, "789")
    assert body["tenant"] == str(mercy.id)
    assert set(body) == {
        *("access_token", "token_type", "expires_in", "scope", "patient", "tenant", "id_token")
    }

    token = tokens.authenticate(body["access_token"], tenant=mercy, audience=f"{flow.issuer}/fhir")
    assert (token.patient, token.fhir_user) == ("789", "Patient/789")
    assert token.subject == str(pat.user.pk)


@pytest.mark.spec("IDTK-01", "IDTK-03", "IDTK-04", "IDTK-05", "IDTK-06", "IDTK-07", "IDTK-15")
@pytest.mark.spec("AUTZ-18")
def test_id_token_says_who_and_how(pat_flow, pat):
    body = pat_flow.exchange(pat_flow.code(nonce="abc 123", foo="bar")).json()
    claims = claims_of(body["id_token"])
    assert claims["iss"] == pat_flow.issuer
    assert claims["sub"] == str(pat.user.pk)
    assert claims["aud"] == "growth-chart"
    assert claims["nonce"] == "abc 123"
    assert claims["fhirUser"] == f"{pat_flow.issuer}/fhir/Patient/789"
    assert (claims["acr"], claims["amr"]) == ("aal1", ["pwd"])
    assert abs(claims["iat"] - time.time()) < 60
    assert 300 <= claims["exp"] - claims["iat"] <= 3600
    assert claims["auth_time"] <= claims["iat"]


@pytest.mark.spec("AUTZ-15", "GRNT-07")
def test_deny_is_told_to_the_app(pat_flow, mercy):
    going_on = pat_flow.begin()
    answer = answer_of(pat_flow.decide(going_on, "deny"))
    assert answer["error"] == "access_denied"
    assert answer["state"] == "s+t/a=t&e é"
    assert answer["iss"] == pat_flow.issuer
    assert "code" not in answer
    assert pat_flow.client.get(going_on).status_code == 400
    with tenancy.bind(mercy):
        assert not Grant.objects.exists()


@pytest.mark.spec("AUTZ-14", "O4")
def test_an_answered_request_cannot_be_answered_again(pat_flow, mercy):
    going_on = pat_flow.begin()
    code = answer_of(pat_flow.decide(going_on))["code"]
    assert pat_flow.exchange(code).status_code == 200
    again = pat_flow.client.get(going_on)
    assert again.status_code == 400
    assert b"start again" in again.content
    assert trail(mercy, "launch.deny")[-1][2]["reason"] == "the request was answered before"
    with tenancy.bind(mercy):
        assert AuthorizationCode.objects.count() == 1


@pytest.mark.spec("AUTZ-14", "O4")
def test_an_answer_sent_twice_still_reaches_the_app_with_one_code(pat_flow, flow, mercy):
    going_on = pat_flow.begin()
    first = answer_of(pat_flow.decide(going_on))["code"]
    again = answer_of(pat_flow.client.get(going_on))
    assert again["code"] != first
    assert again["state"] == "s+t/a=t&e é"
    refused(pat_flow.exchange(first), "invalid_grant")
    assert pat_flow.exchange(again["code"]).status_code == 200
    with tenancy.bind(mercy):
        assert AuthorizationCode.objects.count() == Grant.objects.count() == 1


@pytest.mark.spec("O7")
def test_a_stranger_gets_no_second_code(pat_flow, flow):
    going_on = pat_flow.begin()
    pat_flow.decide(going_on)
    assert type(flow)(flow.tenant).client.get(going_on).status_code == 400


@pytest.mark.spec("AUTZ-14", "O4")
def test_of_two_answers_at_once_one_counts(pat_flow, mercy):
    pat_flow.begin()
    with tenancy.bind(mercy):
        asked = authorize_grant.Pending.of(AuthorizationRequest.objects.get())
        authorize_grant.deny(asked)
        with pytest.raises(InvalidRequest, match="answered before"):
            authorize_grant.deny(asked)


@pytest.mark.spec("O7")
def test_a_kept_request_is_bound_to_its_browser(flow, pat, mercy):
    other = type(flow)(flow.tenant)
    going_on = flow.begin()
    sign_in(other.client, pat)
    assert other.client.get(going_on).status_code == 400
    assert other.client.get(f"{flow.path}/oauth/authorize/{uuid.uuid4()}").status_code == 400
    assert type(flow)(flow.tenant).client.get(going_on).status_code == 400
    refusals = trail(mercy, "launch.deny")
    assert [details["actor"]["id"] for _, _, details in refusals] == [str(pat.user.pk)] * 2 + [""]
    for _, outcome, details in refusals:
        assert outcome == "denied"
        assert details["reason"] == "the request is not one of this browser's"
    assert refusals[0][2]["request"] == going_on.rpartition("/")[2]


@pytest.mark.spec("STND-02", "STND-03", "D16")
def test_a_clinician_chooses_a_patient_first(ada_flow):
    going_on = ada_flow.begin()
    assert ada_flow.client.get(going_on)["Location"] == f"{going_on}/patient"


@pytest.mark.spec("STND-02", "D16")
def test_who_treats_nobody_has_no_patient_to_choose(flow, mercy):
    sign_in(flow.client, a_person(mercy, "admin"))
    going_on = flow.begin()
    answer = answer_of(flow.client.get(going_on))
    assert answer["error"] == "access_denied"
    assert answer["error_description"] == "the person is neither a patient nor a clinician"
    assert flow.client.get(f"{going_on}/patient")["Location"] == going_on


@pytest.mark.spec("STND-06", "IDTK-13", "O6")
def test_a_clinician_can_sign_in_without_a_patient(ada_flow):
    body = ada_flow.exchange(ada_flow.code(scope="openid fhirUser")).json()
    assert "patient" not in body
    claims = claims_of(body["id_token"])
    assert claims["fhirUser"].endswith("/fhir/Practitioner/123")
    assert (claims["acr"], claims["amr"]) == ("aal2", ["otp", "pwd", "mfa"])


@pytest.mark.spec("IDTK-10", "GRNT-02")
def test_who_is_no_resource_has_no_fhir_user(flow, mercy):
    sign_in(flow.client, a_person(mercy, "admin", fhir_user=None))
    body = flow.exchange(flow.code(scope="openid fhirUser")).json()
    assert body["scope"] == "openid"
    assert "fhirUser" not in claims_of(body["id_token"])
    assert "fhirUser" not in claims_of(body["access_token"])


@pytest.mark.spec("STND-03", "EHRL-07")
def test_patient_scopes_alone_bring_the_patient_into_context(pat_flow):
    body = pat_flow.exchange(pat_flow.code(scope="patient/Patient.rs")).json()
    assert (body["scope"], body["patient"]) == ("patient/Patient.rs", "789")
    assert "id_token" not in body


@pytest.mark.spec("GRNT-02", "GRNT-03", "SCOP-11", "SCOP-25", "IDTK-13", "SCOP-10", "REFR-17")
def test_what_is_left_out_is_told_and_audited(pat_flow, mercy):
    asked = (
        "launch/patient fhirUser online_access patient/*.cruds patient/Observation.read "
        "user/Patient.rs system/Patient.rs patient/Transport.rs launch/encounter"
    )
    body = pat_flow.exchange(pat_flow.code(scope=asked)).json()
    first, everything, *written, last = body["scope"].split()
    assert (first, everything) == ("launch/patient", "patient/*.rs")
    assert last == "patient/Observation.read"
    assert "patient/Observation.cud" in written
    assert not [scope for scope in written if "MedicationRequest" in scope or "*" in scope]
    assert "refresh_token" not in body
    [(_, outcome, details)] = trail(mercy, "scope.reduced")
    assert outcome == "success"
    assert details["left_out"] == {
        "fhirUser": "not_in_context",
        "online_access": "not_allowed",
        "patient/*.cruds": "role",
        "user/Patient.rs": "not_allowed",
        "system/Patient.rs": "not_allowed",
        "patient/Transport.rs": "unknown",
        "launch/encounter": "not_in_context",
    }


@pytest.mark.spec("A1")
def test_every_step_is_in_the_trail(pat_flow, mercy):
    body = pat_flow.exchange(pat_flow.code()).json()
    codes = [code for code, _, _ in trail(mercy)]
    assert codes[-2:] == ["consent.grant", "token.issue"]
    _, _, issued = trail(mercy, "token.issue")[-1]
    assert issued["jti"] == claims_of(body["access_token"])["jti"]
    assert issued["patient"] == "789"
    assert issued["actor"]["id"] == "growth-chart"


@pytest.mark.spec("AUTZ-23")
def test_an_earlier_grant_does_not_skip_the_page(pat_flow):
    pat_flow.code()
    response = pat_flow.client.get(pat_flow.begin())
    assert "/consent/" in response["Location"]


@pytest.mark.spec("V8")
def test_a_trail_that_cannot_be_written_with_its_change_is_a_503_not_a_crash(
    pat_flow, mercy, monkeypatch
):
    code = pat_flow.code()

    def refuse(wanted, rows):
        raise OperationalError("disk full")

    monkeypatch.setattr(chain, "append_with", refuse)
    answer = pat_flow.exchange(code)
    assert answer.status_code == 503
    assert answer.json()["error"] == "temporarily_unavailable"
    monkeypatch.undo()
    assert pat_flow.exchange(code).status_code == 200


#: What certification asks patients' and clinicians' apps for, type by type (GRNT-10).
LISTED = (
    *("Patient", "AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "DiagnosticReport"),
    *("DocumentReference", "Goal", "Immunization", "MedicationRequest", "Observation"),
    *("Procedure", "Provenance", "ServiceRequest", "Coverage", "MedicationDispense", "Specimen"),
    *("Location", "Device", "Encounter", "Organization", "Practitioner"),
)


@pytest.mark.spec("GRNT-01", "GRNT-08", "GRNT-10", "SCOP-08")
@pytest.mark.parametrize("suffix", ["rs", "read"])
def test_every_listed_type_can_be_granted(pat_flow, suffix):
    asked = " ".join(f"patient/{name}.{suffix}" for name in LISTED)
    body = pat_flow.exchange(pat_flow.code(scope=f"launch/patient openid fhirUser {asked}")).json()
    assert body["scope"] == f"launch/patient openid fhirUser {asked}"
