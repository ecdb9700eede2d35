"""Scopes as lines to tick, and what `match.intersect` makes of those that were."""

import pytest

from smart.scopes import match
from smart.scopes.choices import REQUIRED_TYPES, choices
from smart.scopes.syntax import parse_scopes


def lines(scopes, types=()):
    return choices(parse_scopes(scopes), types)


def texts(found):
    return [one.scope.text for one in found]


def granted(asked, chosen):
    return texts_of(match.intersect(parse_scopes(asked), parse_scopes(chosen)).granted)


def texts_of(scopes):
    return [scope.text for scope in scopes]


@pytest.mark.spec("GRNT-04")
def test_a_wildcard_has_every_required_type():
    [line] = lines("patient/*.rs")
    assert texts(line.parts) == sorted(f"patient/{name}.rs" for name in REQUIRED_TYPES)


@pytest.mark.spec("GRNT-04")
def test_the_types_are_those_the_server_has():
    [line] = lines("user/*.read", ["Patient", "Basic", "StructureDefinition", "Starship"])
    assert texts(line.parts) == ["user/Basic.read", "user/Patient.read"]


@pytest.mark.spec("C2", "SCOP-10")
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("patient/Goal.rs", ["patient/Goal.rs"]),
        ("patient/Goal.cud", ["patient/Goal.cud"]),
        ("patient/Goal.cruds", ["patient/Goal.rs", "patient/Goal.cud"]),
        ("patient/Goal.cr", ["patient/Goal.r", "patient/Goal.c"]),
        ("patient/Goal.*", ["patient/Goal.read", "patient/Goal.write"]),
        ("user/*.cruds", ["user/*.rs", "user/*.cud"]),
        (
            "patient/Observation.cruds?category=a",
            ["patient/Observation.rs?category=a", "patient/Observation.cud?category=a"],
        ),
    ],
)
def test_reading_is_a_line_apart_from_changing(asked, expected):
    found = lines(asked)
    assert texts(found) == expected
    assert granted(asked, " ".join(expected)) == [asked]


@pytest.mark.spec("GRNT-13")
def test_sign_in_and_context_are_not_to_choose():
    found = lines("openid fhirUser launch/patient launch offline_access patient/Goal.rs")
    assert [one.scope.text for one in found if one.is_fixed] == [
        "openid",
        "launch/patient",
        "launch",
    ]


@pytest.mark.spec("GRAN-05", "GRAN-08")
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (
            "patient/Condition.rs",
            {
                "http://terminology.hl7.org/CodeSystem/condition-category|encounter-diagnosis",
                "http://terminology.hl7.org/CodeSystem/condition-category|problem-list-item",
                "http://hl7.org/fhir/us/core/CodeSystem/condition-category|health-concern",
            },
        ),
        (
            "user/Observation.rs",
            {
                "http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
                "http://terminology.hl7.org/CodeSystem/observation-category|social-history",
                "http://terminology.hl7.org/CodeSystem/observation-category|vital-signs",
                "http://terminology.hl7.org/CodeSystem/observation-category|survey",
                "http://terminology.hl7.org/CodeSystem/observation-category|procedure",
                "http://hl7.org/fhir/us/core/CodeSystem/us-core-category|sdoh",
            },
        ),
    ],
)
def test_conditions_and_observations_open_into_categories(asked, expected):
    [line] = lines(asked)
    found = {f"{asked}?category={one}" for one in expected}
    assert found <= set(texts(line.parts))
    for one in found:
        assert granted(asked, one) == [one]


@pytest.mark.spec("GRAN-08")
def test_a_type_below_a_wildcard_opens_too_and_a_granular_one_does_not():
    [wildcard] = lines("patient/*.rs")
    below = {one.scope.text: one.parts for one in wildcard.parts}
    assert below["patient/Condition.rs"]
    assert not below["patient/Goal.rs"]
    assert lines("patient/Observation.rs?category=laboratory")[0].parts == ()
    assert lines("patient/*.rs?_tag=a")[0].parts == ()


@pytest.mark.spec("GRNT-06")
def test_a_type_needs_the_one_its_name_begins_with():
    needs = {one.scope.text: one.needs for one in lines("patient/*.rs")[0].parts}
    assert needs["patient/MedicationRequest.rs"] == "patient/Medication.rs"
    assert needs["patient/MedicationDispense.rs"] == "patient/Medication.rs"
    assert needs["patient/Medication.rs"] == needs["patient/DiagnosticReport.rs"] == ""
    apart = lines("patient/Device.rs patient/DeviceRequest.cud user/DeviceRequest.rs")
    assert [one.needs for one in apart] == ["", "", ""]


def test_what_another_scope_holds_has_no_line_of_its_own_and_is_still_granted():
    asked = "patient/*.rs patient/Goal.rs patient/Goal.read patient/Goal.c"
    assert texts(lines(asked)) == ["patient/*.rs", "patient/Goal.c"]
    assert granted(asked, "patient/*.rs patient/Goal.c") == asked.split()
    assert granted(asked, "patient/Device.rs patient/Goal.c") == [
        "patient/Device.rs",
        "patient/Goal.c",
    ]


@pytest.mark.spec("GRNT-03", "GRNT-05")
def test_a_choice_of_types_gives_no_wildcard_in_the_spelling_that_was_asked():
    asked = "launch/patient patient/*.read"
    assert granted(asked, "launch/patient patient/Goal.read patient/Condition.read") == [
        "launch/patient",
        "patient/Goal.read",
        "patient/Condition.read",
    ]
