"""Scopes written as URIs (SCOP-23)."""

import pytest

from smart.scopes.syntax import parse_scope, to_uri

LAB = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"


@pytest.mark.spec("SCOP-23")
@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("patient/*.r", "http://smarthealthit.org/fhir/scopes/patient/*.r"),
        (
            f"patient/Observation.rs?category={LAB}",
            f"http://smarthealthit.org/fhir/scopes/patient/Observation.rs?category={LAB}",
        ),
        ("launch/patient", "http://smarthealthit.org/fhir/scopes/launch/patient"),
        ("fhirUser", "http://smarthealthit.org/fhir/scopes/fhirUser"),
        ("openid", "http://openid.net/specs/openid-connect-core-1_0#openid"),
        ("offline_access", "http://openid.net/specs/openid-connect-core-1_0#offline_access"),
        ("https://a.example.org/scope", "https://a.example.org/scope"),
    ],
)
def test_scopes_as_uris(text, uri):
    assert to_uri(parse_scope(text)) == uri


@pytest.mark.spec("SCOP-23")
@pytest.mark.parametrize(
    "text",
    ["authfi/users", "email", "http://smarthealthit.org/fhir/scopes/patient/*.r"],
)
def test_scopes_without_a_uri(text):
    with pytest.raises(ValueError, match="has no URI"):
        to_uri(parse_scope(text))
