"""References in all their forms name the patient, another, or nobody."""

import pytest

from smart.policy.references import Naming, bases_of, is_id

BASE = "https://auth.example/t/mercy/fhir"
BASES = bases_of(BASE, "http://127.0.0.1:9000/fhir/")
LOCAL = {"p": "Patient", "d": "Device"}


@pytest.mark.spec("G11")
@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"reference": "Patient/A"}, "A"),
        ({"reference": "Patient/A", "type": "Patient"}, "A"),
        ({"reference": "Patient/A", "identifier": {"value": "B"}}, "A"),
        ({"reference": "Patient/A/_history/1"}, "A"),
        ({"reference": f"{BASE}/Patient/A"}, "A"),
        ({"reference": f"{BASE}/Patient/A/_history/7"}, "A"),
        ({"reference": "HTTPS://AUTH.example:443/t/mercy/fhir/Patient/A"}, "A"),
        ({"reference": "http://127.0.0.1:9000/fhir/Patient/A"}, "A"),
        ({"reference": "Patient/B"}, "B"),
        ({"reference": "Patient/A/_history/1/x"}, Naming.UNTOLD),
        ({"reference": "Patient/a"}, "a"),
        ({"reference": "/Patient/A"}, Naming.UNTOLD),
        ({"reference": "patient/A"}, Naming.UNTOLD),
        ({"reference": "https://evil.example/Patient/A"}, Naming.UNTOLD),
        ({"reference": f"{BASE}.evil.example/Patient/A"}, Naming.UNTOLD),
        ({"reference": f"{BASE}/../fhir/Patient/A"}, Naming.UNTOLD),
        ({"reference": f"{BASE}/Pati\tent/A"}, Naming.UNTOLD),
        ({"reference": f"{BASE}/Patient/A?x=1"}, Naming.UNTOLD),
        ({"reference": "https://user@auth.example/t/mercy/fhir/Patient/A"}, Naming.UNTOLD),
        ({"reference": "http://auth.example/t/mercy/fhir/Patient/A"}, Naming.UNTOLD),
        ({"reference": "https://auth.example:99999/Patient/A"}, Naming.UNTOLD),
        ({"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}, Naming.UNTOLD),
        ({"reference": "Patient?identifier=A"}, Naming.UNTOLD),
        ({"reference": ""}, Naming.UNTOLD),
        ({"identifier": {"value": "A"}}, Naming.UNTOLD),
        ({"identifier": {"value": "A"}, "type": "Patient"}, Naming.UNTOLD),
        ({"display": "Jane", "type": "Patient"}, Naming.UNTOLD),
        ({"identifier": {"value": "A"}, "type": "Practitioner"}, Naming.NOBODY),
        ({"display": "Jane"}, Naming.NOBODY),
        ({}, Naming.NOBODY),
        ({"reference": "#p"}, Naming.UNTOLD),
        ({"reference": "#unknown"}, Naming.UNTOLD),
        ({"reference": "#d"}, Naming.NOBODY),
        ({"reference": "Practitioner/1"}, Naming.NOBODY),
        ({"reference": "https://other.example/fhir/Practitioner/1"}, Naming.NOBODY),
        ({"reference": "Practitioner/A", "type": "Patient"}, Naming.UNTOLD),
        ({"reference": "Patient/A", "type": "Group"}, Naming.UNTOLD),
        (
            {
                "reference": "Patient/A",
                "type": "http://hl7.org/fhir/StructureDefinition/Patient",
            },
            "A",
        ),
        ({"reference": "Patient/A", "type": 3}, "A"),
        ("Patient/A", Naming.UNTOLD),
        (None, Naming.UNTOLD),
    ],
)
def test_whom_a_reference_names(reference, expected):
    assert BASES.patient_named(reference, LOCAL) == expected


@pytest.mark.spec("G9")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", True),
        ("a-1.b", True),
        ("...", True),
        ("x" * 64, True),
        (".", False),
        ("..", False),
        ("", False),
        ("x" * 65, False),
        ("a_b", False),
        ("a/b", False),
        ("a\n", False),
        (7, False),
    ],
)
def test_ids(text, expected):
    assert is_id(text) is expected


@pytest.mark.parametrize("url", ["fhir", "ftp://x/fhir", "https://", "https://x/fhir?y", ""])
def test_a_base_is_an_absolute_url(url):
    with pytest.raises(ValueError, match="absolute"):
        bases_of(url)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Observation/1/_history/2", ("Observation", "1")),
        (f"{BASE}/Observation/1", ("Observation", "1")),
        ("Unknown/1", None),
        ("Patient/..", None),
        ("Patient/A/_history/..", None),
    ],
)
def test_resolving(text, expected):
    assert BASES.resolve(text) == expected
