"""Search criteria on a small store: what each form of value finds (FHIR R4 3.1.1)."""

import pytest

from smart.sandbox.outcome import FhirError
from smart.sandbox.search import parse, run

BASE = "http://127.0.0.1:1/fhir"
LOINC = "http://loinc.org"
PEOPLE: list[dict[str, object]] = [
    {"id": "1", "name": [{"family": "Müller", "given": ["Anna", "Maria"]}], "active": True},
    {"id": "2", "name": [{"family": "Mullins", "given": ["Ben"]}], "gender": "male"},
    {
        "id": "3",
        "name": [{"text": "O'Hara, Jr."}],
        "identifier": [{"system": "urn:mrn", "value": "12|3,4"}],
        "telecom": [{"system": "email", "value": "c@example.com"}],
    },
]
READINGS: list[dict[str, object]] = [
    {
        "id": "a",
        "code": {"coding": [{"system": LOINC, "code": "4548-4"}]},
        "status": "final",
        "subject": {"reference": "Patient/1"},
        "meta": {"profile": ["http://profile.example/lab"]},
    },
    {
        "id": "b",
        "code": {"coding": [{"code": "4548-4"}]},
        "status": "final",
        "subject": {"reference": "Patient/2/_history/1"},
    },
    {
        "id": "c",
        "code": {"coding": [{"system": LOINC, "code": "718-7"}, {"system": "urn:x", "code": "hb"}]},
        "status": "amended",
        "subject": {"reference": "Group/1"},
        "component": [{"code": {"coding": [{"system": LOINC, "code": "part"}]}}],
    },
    {
        "id": "d",
        "status": "final",
        "subject": {"identifier": {"system": "urn:mrn", "value": "9"}},
    },
    {"id": "e", "status": "final", "subject": {"reference": "http://other.example/Patient/1"}},
]


@pytest.fixture
def find(store):
    for member in PEOPLE:
        store.update({"resourceType": "Patient", **member}, None)
    for member in READINGS:
        store.update({"resourceType": "Observation", **member}, None)

    def search(resource_type, name, value):
        query = parse(resource_type, [(name, value)], base=BASE, handling="strict")
        rows = run(store, query)
        return "".join(
            id_ for row, id_ in store.select("SELECT row, id FROM current") if row in rows
        )

    return search


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("4548-4", "ab"),
        (f"{LOINC}|4548-4", "a"),
        ("|4548-4", "b"),
        (f"{LOINC}|", "ac"),
        ("urn:x|hb", "c"),
        (f"{LOINC}|hb", ""),
        ("4548-4,718-7", "abc"),
        ("4548", ""),
    ],
)
def test_token_forms(find, value, expected):
    assert find("Observation", "code", value) == expected


@pytest.mark.parametrize(
    ("resource_type", "name", "value", "expected"),
    [
        ("Observation", "status", "final", "abde"),
        ("Observation", "status:not", "final", "c"),
        ("Observation", "code:not", "4548-4", "cde"),
        ("Observation", "code:missing", "true", "de"),
        ("Observation", "code:missing", "false", "abc"),
        ("Observation", "combo-code", "part", "c"),
        ("Observation", "_profile", "http://profile.example/lab", "a"),
        ("Observation", "_id", "a,c,z", "ac"),
        ("Observation", "_lastUpdated", "ge2020", "abcde"),
        ("Observation", "_lastUpdated", "lt2020", ""),
        ("Patient", "active", "true", "1"),
        ("Patient", "gender", "male", "2"),
        ("Patient", "email", "c@example.com", "3"),
        ("Patient", "phone", "c@example.com", ""),
        ("Patient", "identifier", r"urn:mrn|12\|3\,4", "3"),
        ("Patient", "identifier", r"12\|3\,4", "3"),
    ],
)
def test_tokens_of_every_shape(find, resource_type, name, value, expected):
    assert find(resource_type, name, value) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("family", "mull", "12"),
        ("family", "MÜLL", "12"),
        ("family:exact", "Mullins", "2"),
        ("family:exact", "mullins", ""),
        ("family:contains", "ll", "12"),
        ("family:contains", "ullin", "2"),
        ("given", "maria", "1"),
        ("given", "aria", ""),
        ("name", "ben,anna", "12"),
        ("name", r"o'hara\, jr", "3"),
    ],
)
def test_string_forms(find, name, value, expected):
    assert find("Patient", name, value) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("patient", "1", "a"),
        ("patient", "Patient/1", "a"),
        ("subject", "Patient/1", "a"),
        ("subject:Patient", "1", "a"),
        ("subject", f"{BASE}/Patient/1", "a"),
        ("subject", "http://other.example/Patient/1", "e"),
        ("subject", "1", "ac"),
        ("subject", "Group/1", "c"),
        ("patient", "Group/1", ""),
        ("patient", "1,Patient/2", "ab"),
        ("patient", "Patient/2", "b"),
        ("subject:identifier", "urn:mrn|9", "d"),
        ("subject:missing", "true", "d"),
    ],
)
def test_reference_forms(find, name, value, expected):
    assert find("Observation", name, value) == expected


@pytest.mark.parametrize(
    ("resource_type", "name", "value", "expected"),
    [
        ("Observation", "patient.name", "anna", "a"),
        ("Observation", "subject:Patient.family", "mull", "ab"),
        ("Observation", "subject.family:exact", "Mullins", "b"),
        ("Observation", "patient._id", "2", "b"),
        ("Observation", "patient.gender:not", "male", "a"),
        ("Patient", "_has:Observation:patient:code", "4548-4", "12"),
        ("Patient", "_has:Observation:patient:code", f"{LOINC}|4548-4", "1"),
        ("Patient", "_has:Observation:patient:patient.name", "ben", "2"),
        ("Observation", "patient._has:Observation:patient:status", "final", "ab"),
    ],
)
def test_chains_and_reverse_chains(find, resource_type, name, value, expected):
    assert find(resource_type, name, value) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code", ""),
        ("code", ","),
        ("code:above", "4548-4"),
        ("date:missing", "perhaps"),
        ("subject:Nobody", "1"),
        ("subject:Patient", "Group/1"),
        ("status.name", "x"),
        ("subject:Device.birthdate", "2000"),
        ("_id:not", "a"),
        ("_has:Observation:patient", "x"),
        ("_has:Nothing:patient:code", "x"),
        ("_has:Observation:code:code", "x"),
        ("_has:Observation:patient:shoe-size", "x"),
        ("patient._has:Observation:patient:patient._has:Observation:patient:patient.name", "x"),
    ],
)
def test_what_cannot_be_answered_is_refused(find, name, value):
    with pytest.raises(FhirError) as caught:
        find("Observation", name, value)
    assert caught.value.status == 400


def test_criteria_are_all_required(store, find):
    pairs = [("patient", "1"), ("patient", "2")]
    assert run(store, parse("Observation", pairs, base=BASE, handling="strict")) == []


def test_values_never_reach_the_sql(find):
    assert find("Patient", "family", "x' OR 1=1 --") == ""
    assert find("Patient", "family:contains", "%") == ""
    assert find("Patient", "family", "_") == ""
