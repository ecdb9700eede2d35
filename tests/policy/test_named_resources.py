"""What a resource to be written refers to, and whether it may: on values alone."""

import pytest

from smart.policy.named_resources import may_be_named, newly_named
from smart.policy.references import bases_of
from smart.scopes.syntax import Level, parse_scopes

BASES = bases_of("https://auth.example/t/mercy/fhir", "https://ehr.internal/fhir")
A, B = {"reference": "Patient/A"}, {"reference": "Patient/B"}
VISIT = {"resourceType": "Encounter", "id": "e1", "status": "finished", "subject": A}


def named(before=None, **members):
    resource = {"resourceType": "Observation", "id": "o1", "subject": A, **members}
    return newly_named(resource, before, BASES)


@pytest.mark.spec("G13", "G25")
@pytest.mark.parametrize(
    ("members", "keys"),
    [
        ({}, set()),
        ({"encounter": {"reference": "Encounter/e1"}}, {("Encounter", "e1")}),
        ({"basedOn": [{"reference": "ServiceRequest/s1"}]}, {("ServiceRequest", "s1")}),
        (
            {"hasMember": [{"reference": "Observation/o2"}, {"reference": "Observation/o3"}]},
            {("Observation", "o2"), ("Observation", "o3")},
        ),
        ({"derivedFrom": [{"reference": "Observation/o1"}]}, set()),
        ({"performer": [{"reference": "Practitioner/p1"}, A]}, set()),
        (
            {"extension": [{"url": "x", "valueReference": {"reference": "Condition/c1"}}]},
            {("Condition", "c1")},
        ),
        (
            {
                "contained": [
                    {
                        "resourceType": "Specimen",
                        "id": "s",
                        "request": [{"reference": "ServiceRequest/s1"}],
                    }
                ],
                "specimen": {"reference": "#s"},
            },
            {("ServiceRequest", "s1")},
        ),
        ({"encounter": {"identifier": {"value": "V1"}, "type": "Encounter"}}, set()),
    ],
)
def test_what_of_records_is_named(members, keys):
    assert named(**members) == keys


@pytest.mark.spec("G26", "G13")
def test_what_stood_there_as_a_reference_is_not_new():
    before = {"encounter": {"reference": "Encounter/e1"}, "note": [{"text": "Encounter/e2"}]}
    assert named(before, encounter={"reference": "Encounter/e1"}) == set()
    assert named(before, encounter={"reference": "Encounter/e2"}) == {("Encounter", "e2")}


@pytest.mark.spec("G13", "G47", "GRAN-04")
@pytest.mark.parametrize(
    ("target", "scope", "levels", "may"),
    [
        (VISIT, "patient/Encounter.r", {Level.PATIENT}, True),
        (VISIT, "patient/Encounter.s", {Level.PATIENT}, True),
        (VISIT, "patient/*.rs", {Level.PATIENT}, True),
        (VISIT, "user/*.rs", {Level.USER}, True),
        (VISIT, "user/*.rs", {Level.PATIENT}, False),
        (VISIT, "patient/*.rs", {Level.USER}, False),
        (VISIT, "patient/*.rs", set(), False),
        (VISIT, "patient/*.cud", {Level.PATIENT}, False),
        (VISIT, "patient/Observation.rs", {Level.PATIENT}, False),
        (VISIT, "patient/Encounter.rs?status=planned", {Level.PATIENT}, False),
        (VISIT, "patient/Encounter.rs?status=finished", {Level.PATIENT}, True),
        ({**VISIT, "subject": B}, "patient/*.rs user/*.rs", set(Level), False),
        ({**VISIT, "subject": None}, "patient/*.rs user/*.rs", set(Level), False),
        ({**VISIT, "contained": "x"}, "patient/*.rs user/*.rs", set(Level), False),
        (None, "patient/*.rs user/*.rs", set(Level), False),
    ],
)
def test_what_may_be_named_is_readable_and_of_the_same_record(target, scope, levels, may):
    assert may_be_named(target, "A", parse_scopes(scope), levels, BASES) is may
