"""Whom a clinician picked is judged again at each refresh; whom an EHR launched is not (D16)."""

import asyncio
import secrets
from urllib.parse import urlencode

import pytest

from authfi.lib import outbound, tenancy
from authfi.lib.egress import Kind
from smart import patient_list, tokens, upstream_search
from smart.models import Application, Grant, LaunchContext
from smart.upstream import UpstreamError
from tests.access.conftest import forget, hospital, sandbox, set_rules
from tests.cast import ADMIN, let_patients_sign_in_with_a_password
from tests.gateway.asgi import call
from tests.server.conftest import answer_of, refused, trail
from tests.server.picking import SCOPE, a_flow, granted, picker_of

__all__ = ["hospital", "sandbox"]

LASTING = f"{SCOPE} offline_access"


class Nurse:
    """A nurse with a practitioner of her own, whose care team has one patient for now."""

    def __init__(self, tenant, sandbox, *roles, **changed):
        self.tenant, self.sandbox = tenant, sandbox
        self.mark = secrets.token_hex(4)
        self.flow = a_flow(tenant, *(roles or ("nurse",)), fhir_user=self.who, **changed)
        with tenancy.bind(tenant):
            Application.objects.update(
                grant_types="authorization_code refresh_token",
                scopes=f"{LASTING} launch/encounter user/*.rs fhirUser launch",
            )

    @property
    def who(self):
        return f"Practitioner/nurse-{self.mark}"

    @property
    def patient(self):
        return f"picked-{self.mark}"

    def team(self, status="active"):
        """Put her care team into the FHIR server."""
        team = {
            "resourceType": "CareTeam",
            "id": f"team-{self.mark}",
            "status": status,
            "subject": {"reference": f"Patient/{self.patient}"},
            "participant": [{"member": {"reference": self.who}}],
        }
        self.sandbox.call("PUT", f"/CareTeam/{team['id']}", team)
        forget()

    def visit(self, status):
        visit = {
            "resourceType": "Encounter",
            "id": f"visit-{self.mark}",
            "status": status,
            "class": {"code": "AMB"},
            "subject": {"reference": f"Patient/{self.patient}"},
            "participant": [{"individual": {"reference": self.who}}],
        }
        self.sandbox.call("PUT", f"/Encounter/{visit['id']}", visit)
        forget()

    def picks(self):
        """The token response of an app that stays connected to the picked patient."""
        patient = {"resourceType": "Patient", "id": self.patient, "name": [{"family": "Picked"}]}
        self.sandbox.call("PUT", f"/Patient/{self.patient}", patient)
        path = picker_of(self.flow, LASTING)
        self.flow.choose(path, patient=self.patient)
        body = granted(self.flow, path)
        assert (body["patient"], body["scope"]) == (self.patient, LASTING)
        return body

    def refresh(self, raw):
        form = {"grant_type": "refresh_token", "refresh_token": raw, "client_id": "growth-chart"}
        return self.flow.post(form)

    def grant(self):
        with tenancy.bind(self.tenant):
            return Grant.objects.get()

    def lost(self, body):
        """She gets nothing more: no token, and the one she has is dead; the trail says why."""
        text = refused(self.refresh(body["refresh_token"]), "invalid_grant")
        assert "no longer open the record" in text
        assert self.patient not in text
        assert self.grant().ended_reason == "patient_out_of_reach"
        [(_, outcome, details)] = trail(self.tenant, "token.revoke")
        assert (outcome, details["reason"], details["patient"]) == (
            "success",
            "patient_out_of_reach",
            self.patient,
        )
        assert details["on_behalf_of"] == str(self.flow.person.user.pk)
        assert trail(self.tenant, "token.deny")[-1][1] == "denied"
        base = f"{self.flow.issuer}/fhir"
        with pytest.raises(tokens.InvalidTokenError, match="ended"):
            tokens.authenticate(body["access_token"], tenant=self.tenant, audience=base)
        refused(self.refresh(body["refresh_token"]), "invalid_grant")


@pytest.fixture
def nurse(hospital, sandbox):
    made = Nurse(hospital, sandbox)
    made.team()
    yield made
    for path in (f"CareTeam/team-{made.mark}", f"Encounter/visit-{made.mark}"):
        sandbox.call("DELETE", f"/{path}")
    sandbox.call("DELETE", f"/Patient/{made.patient}")


@pytest.mark.spec("D16", "REFR-19", "D3")
def test_who_leaves_the_care_team_loses_the_patient_at_the_next_refresh(nurse):
    body = nurse.picks()
    again = nurse.refresh(body["refresh_token"])
    assert again.status_code == 200, again.content
    assert again.json()["patient"] == nurse.patient
    nurse.team("inactive")
    nurse.lost(again.json())


@pytest.mark.spec("D16", "REFR-19")
def test_with_the_rule_encounter_the_end_of_the_visit_ends_it(nurse):
    set_rules(nurse.tenant, "encounter")
    nurse.visit("in-progress")
    body = nurse.picks()
    body = nurse.refresh(body["refresh_token"]).json()
    nurse.visit("finished")
    nurse.lost(body)


@pytest.mark.spec("D16", "REFR-19")
def test_with_the_rule_list_being_taken_off_ends_it(nurse):
    set_rules(nurse.tenant, "list")
    user = nurse.flow.person.user
    with tenancy.bind(nurse.tenant):
        patient_list.add(user=user, patient=nurse.patient, actor=ADMIN)
    body = nurse.picks()
    body = nurse.refresh(body["refresh_token"]).json()
    with tenancy.bind(nurse.tenant):
        patient_list.remove(user=user, patient=nurse.patient, actor=ADMIN)
    forget()
    nurse.lost(body)


@pytest.mark.spec("D16", "REFR-19")
def test_a_tighter_rule_ends_what_all_opened(nurse):
    set_rules(nurse.tenant, "all")
    body = nurse.picks()
    nurse.team("inactive")
    again = nurse.refresh(body["refresh_token"])
    assert again.status_code == 200, "by the rule all no tie is needed"
    set_rules(nurse.tenant, "care-team")
    nurse.lost(again.json())


@pytest.mark.spec("D16", "V7")
def test_a_server_that_cannot_tell_gives_nothing_and_ends_nothing(nurse, monkeypatch):
    async def down(*_, **__):
        raise UpstreamError(Kind.TIMEOUT, "The FHIR server did not answer.")

    body = nurse.picks()
    forget()
    with monkeypatch.context() as patched:
        patched.setattr(upstream_search, "page", down)
        refused(nurse.refresh(body["refresh_token"]), "temporarily_unavailable", 503)
    assert nurse.grant().ended_at is None
    assert trail(nurse.tenant, "token.deny")[-1][1] == "denied"
    again = nurse.refresh(body["refresh_token"])
    assert again.status_code == 200, "the token was not used up"


@pytest.mark.spec("D16", "D15", "REFR-19")
def test_the_lane_asks_without_a_database_thread(nurse):
    body = nurse.picks()
    forget()
    path = f"/t/{nurse.tenant.slug}/oauth/token"

    async def refresh(raw):
        form = {"grant_type": "refresh_token", "refresh_token": raw, "client_id": "growth-chart"}
        headers = [
            (b"host", b"testserver"),
            (b"content-type", b"application/x-www-form-urlencoded"),
        ]
        try:
            return await call("POST", path.encode(), b"", headers, urlencode(form).encode())
        finally:
            await outbound.close()

    reply = asyncio.run(refresh(body["refresh_token"]))
    assert reply.status == 200, reply.body
    assert reply.json["patient"] == nurse.patient
    nurse.team("inactive")
    reply = asyncio.run(refresh(reply.json["refresh_token"]))
    assert (reply.status, reply.json["error"]) == (400, "invalid_grant")


@pytest.mark.spec("D16", "EHRL-10")
def test_an_ehr_vouches_as_long_as_the_grant_lives(nurse):
    """Even after the launch's own row was swept."""
    with tenancy.bind(nurse.tenant):
        app = Application.objects.get()
    handle = nurse.flow.launch(nurse.flow.person, app, patient=nurse.patient, encounter=None)
    scope = "launch openid patient/*.rs offline_access"
    answer = answer_of(nurse.flow.decide(nurse.flow.begin(scope=scope, launch=handle)))
    body = nurse.flow.exchange(answer["code"]).json()
    nurse.team("inactive")
    with tenancy.bind(nurse.tenant):
        LaunchContext.objects.all().delete()
    again = nurse.refresh(body["refresh_token"])
    assert again.status_code == 200, again.content
    assert again.json()["patient"] == nurse.patient


@pytest.mark.spec("D15", "D16")
def test_a_patient_is_asked_nothing_about_their_own_record(hospital, monkeypatch):
    let_patients_sign_in_with_a_password(hospital)
    flow = a_flow(hospital, "patient", fhir_user="Patient/789", mfa=False)
    with tenancy.bind(hospital):
        Application.objects.update(grant_types="authorization_code refresh_token", scopes=LASTING)
    body = flow.exchange(flow.code(scope=LASTING)).json()
    monkeypatch.setattr("smart.server.picked_patient.access.person_of_user", None)
    form = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    assert flow.post({**form, "client_id": "growth-chart"}).status_code == 200
