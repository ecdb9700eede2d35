"""The catalogue of codes (A1)."""

import pytest

from audit.events import Actor, Code, Event, Outcome, describe


@pytest.mark.parametrize("code", list(Code))
def test_every_code_is_described_in_words(code):
    assert describe(code) not in ("", code)


def test_an_unknown_code_describes_itself():
    assert describe("later.code") == "later.code"


def test_actors_say_what_they_are():
    assert Actor.anonymous() == Actor(type="anonymous")
    assert Actor.client("growth-chart") == Actor(type="client", id="growth-chart")
    assert Actor.system("tenants").type == "system"


@pytest.mark.spec("A3")
@pytest.mark.parametrize("patient", ["789", "Patient/789"])
def test_a_patient_has_one_name_in_the_trail(patient):
    event = Event(
        code=Code.FHIR_READ_ALLOW,
        outcome=Outcome.SUCCESS,
        actor=Actor.system("tests"),
        patient=patient,
    )
    assert event.patient == "789"
