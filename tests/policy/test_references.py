"""References in all their forms name the patient, another, or nobody."""

import pytest

from smart.policy.references import Naming, Viewpoint, bases_of, is_id

BASE = "https://auth.example/t/mercy/fhir"
BASES = bases_of(BASE, "http://127.0.0.1:9000/fhir/")
VIEW = Viewpoint("A", BASES)
LOCAL = {"p": "Patient", "d": "Device"}


@pytest.mark.spec("G11")
@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"reference": "Patient/A"}, Naming.SELF),
        ({"reference": "Patient/A", "type": "Patient"}, Naming.SELF),
        ({"reference": "Patient/A", "identifier": {"value": "B"}}, Naming.SELF),
        ({"reference": "Patient/A/_history/1"}, Naming.SELF),
        ({"reference": f"{BASE}/Patient/A"}, Naming.SELF),
        ({"reference": f"{BASE}/Patient/A/_history/7"}, Naming.SELF),
        ({"reference": "HTTPS://AUTH.example:443/t/mercy/fhir/Patient/A"}, Naming.SELF),
        ({"reference": "http://127.0.0.1:9000/fhir/Patient/A"}, Naming.SELF),
        ({"reference": "Patient/B"}, Naming.OTHER),
        ({"reference": "Patient/A/_history/1/x"}, Naming.OTHER),
        ({"reference": "Patient/a"}, Naming.OTHER),
        ({"reference": "/Patient/A"}, Naming.OTHER),
        ({"reference": "patient/A"}, Naming.OTHER),
        ({"reference": "https://evil.example/Patient/A"}, Naming.OTHER),
        ({"reference": f"{BASE}.evil.example/Patient/A"}, Naming.OTHER),
        ({"reference": f"{BASE}/../fhir/Patient/A"}, Naming.OTHER),
        ({"reference": f"{BASE}/Pati\tent/A"}, Naming.OTHER),
        ({"reference": f"{BASE}/Patient/A?x=1"}, Naming.OTHER),
        ({"reference": "https://user@auth.example/t/mercy/fhir/Patient/A"}, Naming.OTHER),
        ({"reference": "http://auth.example/t/mercy/fhir/Patient/A"}, Naming.OTHER),
        ({"reference": "https://auth.example:99999/Patient/A"}, Naming.OTHER),
        ({"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}, Naming.OTHER),
        ({"reference": "Patient?identifier=A"}, Naming.OTHER),
        ({"reference": ""}, Naming.OTHER),
        ({"identifier": {"value": "A"}}, Naming.OTHER),
        ({"identifier": {"value": "A"}, "type": "Patient"}, Naming.OTHER),
        ({"display": "Jane", "type": "Patient"}, Naming.OTHER),
        ({"identifier": {"value": "A"}, "type": "Practitioner"}, Naming.NOBODY),
        ({"display": "Jane"}, Naming.NOBODY),
        ({}, Naming.NOBODY),
        ({"reference": "#p"}, Naming.OTHER),
        ({"reference": "#unknown"}, Naming.OTHER),
        ({"reference": "#d"}, Naming.NOBODY),
        ({"reference": "Practitioner/1"}, Naming.NOBODY),
        ({"reference": "https://other.example/fhir/Practitioner/1"}, Naming.NOBODY),
        ({"reference": "Practitioner/A", "type": "Patient"}, Naming.OTHER),
        ({"reference": "Patient/A", "type": "Group"}, Naming.OTHER),
        (
            {
                "reference": "Patient/A",
                "type": "http://hl7.org/fhir/StructureDefinition/Patient",
            },
            Naming.SELF,
        ),
        ({"reference": "Patient/A", "type": 3}, Naming.SELF),
        ("Patient/A", Naming.OTHER),
        (None, Naming.OTHER),
    ],
)
def test_whom_a_reference_names(reference, expected):
    assert VIEW.naming(reference, LOCAL) is expected


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
