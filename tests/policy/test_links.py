"""Links that lead to resources of this server, however they are spelt."""

import pytest

from smart.policy.links import leads_here
from smart.policy.references import bases_of

BASES = bases_of("https://auth.example/t/mercy/fhir", "http://up.example:8080/r4")


@pytest.mark.spec("G13", "G47")
@pytest.mark.parametrize(
    "link",
    [
        "https://auth.example/t/mercy/fhir/Observation/1",
        "https://auth.example/t/mercy/fhir/Observation/1?x=1",
        "https://auth.example/t/mercy/fhir/Observation/1#x",
        "https://auth.example/t/mercy/fhir/Patient/2/$everything",
        "https://auth.example/t/mercy/fhir?_type=Observation",
        "http://auth.example/t/mercy/fhir/Observation/1",
        "HTTPS://AUTH.example:443/t/mercy/fhir/Observation/1",
        "https://auth.example./t/mercy/fhir/Observation/1",
        "https://somebody@auth.example/t/mercy/fhir/Observation/1",
        "//auth.example/t/mercy/fhir/Observation/1",
        "https:\\\\auth.example\\t\\mercy\\fhir\\Observation\\1",
        "https://auth.example/t/mercy/%66hir/Observation/1",
        "https://auth.example/x/../t/mercy//fhir/./Observation/1",
        " https://auth.example/t/mercy/\tfhir/Observation/1\n",
        "http://up.example:8080/r4/Observation/1",
        "https://up.example:8080/r4/Observation/1",
        "Observation/1",
        "./Observation/1",
        "%4fbservation/1",
        "Observation?_id=1",
        "Observation/1/_history/2",
        "/t/mercy/fhir/Observation/1",
        "../fhir/Observation/1",
    ],
)
def test_it_leads_here(link):
    assert leads_here(link, BASES)


@pytest.mark.spec("G13", "G47")
@pytest.mark.parametrize(
    "link",
    [
        "",
        "Observation",
        "ombCategory",
        "urn:oid:1.2.3",
        "http://hl7.org/fhir/StructureDefinition/patient-birthPlace",
        "https://auth.example/t/mercy/fhirs/Observation/1",
        "https://auth.example/t/lakeside/fhir/Observation/1",
        "https://auth.example:8443/t/mercy/fhir/Observation/1",
        "http://up.example/r4/Observation/1",
        "https://evil.example/?https://auth.example/t/mercy/fhir/Observation/1",
        "mailto:somebody@auth.example",
    ],
)
def test_it_leads_elsewhere(link):
    assert not leads_here(link, BASES)
