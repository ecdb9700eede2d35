"""What may be written, decided on values alone."""

from typing import Any

import pytest

from smart.policy.compartment import TABLE
from smart.policy.facts import Deny
from smart.policy.references import bases_of
from smart.policy.request import FhirInteraction, FhirRequest
from smart.policy.write_rules import (
    REFUSED,
    WRITABLE,
    WriteAccess,
    decide_write,
    refuse_image,
    subject_of,
)
from smart.scopes.syntax import parse_scopes

BASE, UPSTREAM = "https://auth.example/t/mercy/fhir", "https://ehr.internal/fhir"
BASES = bases_of(BASE, UPSTREAM)
FULL = parse_scopes("patient/*.cruds")
A = {"reference": "Patient/A"}
B = {"reference": "Patient/B"}

CREATE, UPDATE, DELETE = (
    FhirInteraction.CREATE,
    FhirInteraction.UPDATE,
    FhirInteraction.DELETE,
)


def decided(interaction, kind="Observation", number=None, scope="patient/*.cruds", patient="A"):
    if interaction is not CREATE:
        number = number or "o1"
    request = FhirRequest(interaction, kind, number)
    return decide_write(request, parse_scopes(scope), patient, BASE, UPSTREAM)


def an_observation(**members: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": "o1", "subject": A, **members}


def judged(resource, before=None, scopes=FULL):
    found = refuse_image(resource, subject_of(resource, BASES), scopes, BASES, before)
    return found.rule if found else None


@pytest.mark.spec("SCOP-03", "G43", "SCOP-14")
@pytest.mark.parametrize(
    ("interaction", "scope", "patient", "rule"),
    [
        (CREATE, "patient/Observation.c", "A", None),
        (UPDATE, "patient/Observation.u", "A", None),
        (DELETE, "patient/Observation.d", "A", None),
        (CREATE, "patient/Observation.write", "A", None),
        (CREATE, "user/Observation.c", None, None),
        (CREATE, "patient/Observation.ruds", "A", "scope.covers"),
        (UPDATE, "patient/Observation.cds", "A", "scope.covers"),
        (DELETE, "patient/Observation.read", "A", "scope.covers"),
        (CREATE, "patient/Condition.c", "A", "scope.covers"),
        (CREATE, "system/Observation.c", "A", "scope.covers"),
        (CREATE, "", "A", "scope.covers"),
        (CREATE, "patient/Observation.c", None, "context.patient"),
    ],
)
def test_a_letter_on_a_type_at_a_level(interaction, scope, patient, rule):
    found = decided(interaction, scope=scope, patient=patient)
    if rule is None:
        assert isinstance(found, WriteAccess)
    else:
        assert isinstance(found, Deny)
        assert (found.rule, found.status) == (rule, 403)


@pytest.mark.spec("G45", "G32")
def test_only_what_belongs_to_a_patient_is_written():
    assert set(TABLE) - REFUSED == WRITABLE
    for kind in (*REFUSED, "AuditEvent", "Subscription", "SearchParameter", "Practitioner"):
        for interaction in (CREATE, UPDATE, DELETE):
            for scope in ("patient/*.cruds", "user/*.cruds"):
                found = decided(interaction, kind, scope=scope)
                assert isinstance(found, Deny)
                assert found.rule == "write.type"


@pytest.mark.spec("G1", "G25")
def test_the_patient_himself_is_changed_but_not_made():
    assert isinstance(decided(UPDATE, "Patient", "A"), WriteAccess)
    for found, rule in (
        (decided(UPDATE, "Patient", "B"), "compartment.patient"),
        (decided(CREATE, "Patient"), "write.type"),
        (decided(DELETE, "Patient", "A"), "write.type"),
    ):
        assert isinstance(found, Deny)
        assert found.rule == rule
    assert isinstance(decided(UPDATE, "Patient", "B", scope="user/Patient.u"), WriteAccess)


@pytest.mark.spec("G47")
def test_each_level_reaches_its_own_records():
    access = decided(CREATE, scope="patient/Observation.c user/Observation.cu")
    assert isinstance(access, WriteAccess)
    assert [one.text for one in access.scopes("A", is_open=False)] == ["patient/Observation.c"]
    assert len(access.scopes("A", is_open=True)) == 2
    assert access.scopes("B", is_open=False) == ()
    assert [one.text for one in access.scopes("B", is_open=True)] == ["user/Observation.cu"]


@pytest.mark.spec("G25", "G26", "G13", "RSVR-17")
@pytest.mark.parametrize(
    ("resource", "rule"),
    [
        (an_observation(), None),
        (an_observation(subject={"reference": "Patient/A", "type": "Patient"}), None),
        (an_observation(performer=[{"reference": "Practitioner/1"}]), None),
        (an_observation(performer=[{"type": "Practitioner", "identifier": {"value": "1"}}]), None),
        (an_observation(identifier=[{"value": "1"}]), None),
        (an_observation(performer=[A]), None),
        (an_observation(subject=B), None),
        (an_observation(subject={"reference": f"{UPSTREAM}/Patient/A"}), "write.reference"),
        (an_observation(subject={"reference": f"{BASE}/Patient/A"}), "write.reference"),
        (an_observation(performer=[B]), "write.reference"),
        (an_observation(performer=[{"reference": "#x"}]), "write.reference"),
        (an_observation(performer=[{"reference": ""}]), "write.reference"),
        (an_observation(performer=[{"reference": "Practitioner"}]), "write.reference"),
        (an_observation(performer=[{"reference": "../Practitioner/1"}]), "write.reference"),
        (an_observation(subject=[A, B]), "write.subject"),
        (an_observation(subject=None), "write.subject"),
        (an_observation(contained="x"), "write.subject"),
        (an_observation(contained=[{"resourceType": "Provenance"}]), "write.type"),
        (an_observation(contained=None), None),
        (an_observation(meta="x"), None),
    ],
)
def test_the_resource_as_it_would_be(resource, rule):
    assert judged(resource) == rule
    assert judged(resource, scopes=()) == "write.subject"


@pytest.mark.spec("G26", "G45")
def test_the_resource_as_it_would_be_and_as_it_was():
    label = {"system": "s", "code": "R"}
    labelled = an_observation(meta={"security": [label]})
    assert judged(an_observation(), an_observation(subject=B)) == "write.subject"
    assert judged(an_observation(), labelled) == "write.labels"
    assert judged(an_observation(meta={"security": {"0": label}}), labelled) == "write.labels"
    assert judged(an_observation(meta={"security": [label, {"code": "x"}]}), labelled) is None
    person = {"resourceType": "Patient", "id": "A"}
    assert judged({**person, "link": [{"other": A}]}, person) == "write.link"
    assert judged(person, {**person, "link": [{"other": A}]}) == "write.link"


@pytest.mark.spec("G42", "GRAN-04")
def test_constraints_hold_for_what_is_written():
    scopes = parse_scopes("patient/Observation.c?status=final patient/Observation.c?status=amended")
    for status, rule in (("final", None), ("amended", None), ("draft", "scope.constraint")):
        assert judged(an_observation(status=status), scopes=scopes) == rule
