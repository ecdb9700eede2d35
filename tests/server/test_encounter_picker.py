"""The picker of visits: those of the chosen patient, or none (STND-04, EHRL-06)."""

import re

import pytest

from authfi.lib import tenancy
from smart.models import Application
from tests.access.conftest import hospital, sandbox
from tests.cast import let_patients_sign_in_with_a_password
from tests.server.conftest import answer_of, trail
from tests.server.picking import VISIT_SCOPE, a_flow, granted, kept, nurse, picker_of, refused

__all__ = ["hospital", "nurse", "sandbox"]


@pytest.mark.spec("STND-04")
def test_a_visit_is_chosen_after_the_patient(nurse):
    path = picker_of(nurse, VISIT_SCOPE)
    nurse.choose(path, patient="456")
    going_on = path.rpartition("/")[0]
    visits = nurse.client.get(going_on)["Location"]
    assert visits == f"{going_on}/encounter"
    page = nurse.client.get(visits)
    ids = re.findall(r'name="encounter" value="([^"]+)"', page.content.decode())
    assert ids[0] == "enc-456-1"
    assert all(one.startswith("enc-456-") for one in ids)
    dates = [line.began for line in page.context["visits"]]
    assert dates == sorted(dates, reverse=True)
    assert b"Margaret Ellis" in page.content
    [(_, _, details)] = trail(nurse.tenant, "fhir.search")
    assert (details["patient"], details["object"]) == ("456", "Encounter")
    nurse.choose(visits, encounter="enc-456-1")
    body = granted(nurse, path)
    assert (body["patient"], body["encounter"]) == ("456", "enc-456-1")
    assert "launch/encounter" in body["scope"].split()


@pytest.mark.spec("STND-04")
def test_a_visit_can_be_left_out(nurse):
    path = picker_of(nurse, VISIT_SCOPE)
    nurse.choose(path, patient="456")
    nurse.choose(path.replace("/patient", "/encounter"), encounter="")
    body = granted(nurse, path)
    assert "encounter" not in body
    assert "launch/encounter" not in body["scope"].split()


@pytest.mark.spec("STND-04", "STND-05")
@pytest.mark.parametrize("encounter", ["enc-789-1", "enc-1001-1", "nope", "..", "Encounter/x"])
def test_a_visit_of_somebody_else_is_refused(nurse, encounter):
    path = picker_of(nurse, VISIT_SCOPE)
    nurse.choose(path, patient="456")
    visits = path.replace("/patient", "/encounter")
    assert refused(nurse, visits, encounter=encounter)["rule"] == "encounter.subject"
    assert kept(nurse, path).encounter is None


@pytest.mark.spec("STND-04")
def test_patients_choose_among_their_own_visits(hospital):
    let_patients_sign_in_with_a_password(hospital)
    flow = a_flow(hospital, "patient", fhir_user="Patient/789", mfa=False)
    going_on = flow.begin(scope=VISIT_SCOPE)
    visits = flow.client.get(going_on)["Location"]
    assert visits == f"{going_on}/encounter"
    page = flow.client.get(visits)
    assert b"enc-789-1" in page.content
    assert b"Choose another patient" not in page.content
    assert refused(flow, visits, encounter="enc-790-1")["patient"] == "789"
    flow.choose(visits, encounter="enc-789-2")
    body = granted(flow, visits)
    assert (body["patient"], body["encounter"]) == ("789", "enc-789-2")


@pytest.mark.spec("STND-04")
def test_no_visit_before_a_patient(nurse):
    path = picker_of(nurse, VISIT_SCOPE)
    visits = path.replace("/patient", "/encounter")
    for response in (
        nurse.client.get(visits),
        nurse.client.post(visits, {"encounter": "enc-456-1"}),
    ):
        assert response["Location"] == path.rpartition("/")[0]
    assert kept(nurse, path).encounter is None


@pytest.mark.spec("EHRL-06", "D16")
def test_an_ehr_launch_asks_nothing_and_vouches_for_its_patient(nurse, hospital):
    with tenancy.bind(hospital):
        app = Application.objects.get()
    handle = nurse.launch(nurse.person, app, patient="1001", encounter=None)
    asked = nurse.begin(scope=f"launch {VISIT_SCOPE}", launch=handle)
    for step in ("patient", "encounter"):
        assert nurse.client.get(f"{asked}/{step}")["Location"] == asked
    answer = answer_of(nurse.decide(asked))
    body = nurse.exchange(answer["code"]).json()
    assert body["patient"] == "1001"
    assert "encounter" not in body
