"""Granular constraints against resource content (smart-checklist section 15)."""

import pytest

from smart.scopes import parameters
from smart.scopes.constraints import Token, combine, implies, is_supported, parse_tokens
from smart.scopes.match import admits, admits_any
from smart.scopes.resource_types import RESOURCE_TYPES
from smart.scopes.syntax import ClinicalScope, Constraint, parse_scope

OC = "http://terminology.hl7.org/CodeSystem/observation-category"
CC = "http://terminology.hl7.org/CodeSystem/condition-category"
CORE = "http://hl7.org/fhir/us/core/CodeSystem"


def clinical(text):
    scope = parse_scope(text)
    assert isinstance(scope, ClinicalScope)
    return scope


def concept(*codings):
    return {"coding": [{"system": system, "code": code} for system, code in codings]}


def observation(*categories, **more):
    return {"resourceType": "Observation", "category": [concept(one) for one in categories], **more}


def constraint(text):
    return Constraint(*text.split("=", 1))


@pytest.mark.spec("GRAN-10")
@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("s|c", (Token("s", "c"),)),
        ("|c", (Token("", "c"),)),
        ("s|", (Token("s", None),)),
        ("c", (Token(None, "c"),)),
        ("c,s|d", (Token(None, "c"), Token("s", "d"))),
        (r"a\,b", (Token(None, "a,b"),)),
        (r"a\|b", (Token(None, "a|b"),)),
        (r"s\|t|c", (Token("s|t", "c"),)),
        (r"a\$b\\c", (Token(None, r"a$b\c"),)),
        (r"a\\,b", (Token(None, "a\\"), Token(None, "b"))),
        ("", None),
        ("|", None),
        ("a,", None),
        (",a", None),
        ("a|b|c", None),
        ("a$b", None),
        (r"a\x", None),
        (r"a\x,b", None),
        ("a\\", None),
    ],
)
def test_token_values(value, tokens):
    assert parse_tokens(value) == tokens


SAMPLES = {
    "lab": observation((OC, "laboratory")),
    "vital": observation((OC, "vital-signs")),
    "both": observation((OC, "laboratory"), (OC, "vital-signs")),
    "sdoh": observation((f"{CORE}/us-core-category", "sdoh")),
    "crossed": observation((OC, "vital-signs"), ("urn:other", "laboratory")),
    "no_system": {
        "resourceType": "Observation",
        "category": [{"coding": [{"code": "laboratory"}]}],
    },
    "text_only": {"resourceType": "Observation", "category": [{"text": "laboratory"}]},
    "none": {"resourceType": "Observation"},
}


@pytest.mark.spec("GRAN-02", "GRAN-05", "GRAN-10", "G42")
@pytest.mark.parametrize(
    ("query", "admitted"),
    [
        (f"category={OC}|laboratory", {"lab", "both"}),
        (f"category={OC}|vital-signs", {"vital", "both", "crossed"}),
        (f"category={CORE}/us-core-category|sdoh", {"sdoh"}),
        ("category=laboratory", {"lab", "both", "crossed", "no_system"}),
        ("category=|laboratory", {"no_system"}),
        (f"category={OC}|", {"lab", "vital", "both", "crossed"}),
        (f"category={OC}|laboratory,{OC}|vital-signs", {"lab", "vital", "both", "crossed"}),
        (f"category={OC}|laboratory&category={OC}|vital-signs", {"both"}),
        ("category=Laboratory", set()),
        (f"category={OC}|lab", set()),
        (f"category={OC}/|laboratory", set()),
        (f"category={OC}%7Claboratory", {"lab", "both"}),
    ],
)
def test_observation_categories(query, admitted):
    scope = clinical(f"patient/Observation.rs?{query}")
    assert {name for name, sample in SAMPLES.items() if admits(scope, sample)} == admitted


@pytest.mark.spec("GRAN-05")
@pytest.mark.parametrize(
    ("system", "code"),
    [
        (CC, "encounter-diagnosis"),
        (CC, "problem-list-item"),
        (f"{CORE}/condition-category", "health-concern"),
    ],
)
def test_condition_categories(system, code):
    scope = clinical(f"user/Condition.rs?category={system}|{code}")
    matching = {"resourceType": "Condition", "category": [concept((system, code))]}
    other = {"resourceType": "Condition", "category": [concept((system, "something-else"))]}
    assert admits(scope, matching)
    assert not admits(scope, other)


@pytest.mark.spec("GRAN-02")
@pytest.mark.parametrize(
    ("text", "resource"),
    [
        ("MedicationRequest.r?status=active", {"status": "active"}),
        ("MedicationRequest.r?intent=order,plan", {"intent": "plan"}),
        ("MedicationRequest.r?code=rx|1", {"medicationCodeableConcept": concept(("rx", "1"))}),
        ("Encounter.r?class=act|AMB", {"class": {"system": "act", "code": "AMB"}}),
        ("Encounter.r?type=t|1", {"type": [concept(("t", "0"), ("t", "1"))]}),
        ("Condition.r?clinical-status=active", {"clinicalStatus": concept(("s", "active"))}),
        (
            "Condition.r?verification-status=s|confirmed",
            {"verificationStatus": concept(("s", "confirmed"))},
        ),
        ("AllergyIntolerance.r?category=food", {"category": ["medication", "food"]}),
        ("AllergyIntolerance.r?code=s|1", {"reaction": [{}, {"substance": concept(("s", "1"))}]}),
        ("Observation.r?component-code=l|1", {"component": [{"code": concept(("l", "1"))}]}),
        ("Observation.r?combo-code=l|1", {"code": concept(("l", "1"))}),
        ("Patient.r?identifier=mrn|12", {"identifier": [{"system": "mrn", "value": "12"}]}),
        ("Goal.r?lifecycle-status=active", {"lifecycleStatus": "active"}),
        ("*.r?_tag=t|1", {"meta": {"tag": [{"system": "t", "code": "1"}]}}),
        ("Observation.r?_security=c|N", {"meta": {"security": [{"system": "c", "code": "N"}]}}),
        (
            "DocumentReference.r?category=clinical-note",
            {"category": [concept(("x", "clinical-note"))]},
        ),
    ],
)
def test_parameters_look_at_their_element(text, resource):
    scope = clinical(f"patient/{text}")
    resource_type = "Basic" if scope.resource_type == "*" else scope.resource_type
    bare = {"resourceType": resource_type}
    assert admits(scope, {**bare, **resource})
    assert not admits(scope, bare)
    assert all(is_supported(scope.resource_type, one) for one in scope.constraints)


@pytest.mark.spec("GRAN-09")
@pytest.mark.parametrize(
    ("resource_type", "query"),
    [
        ("Observation", "code:in=x"),
        ("Observation", "category:not=laboratory"),
        ("Observation", "code:text=glucose"),
        ("Observation", "patient.birthdate=1990-01-01"),
        ("Observation", "_has:Provenance:target:agent=1"),
        ("Observation", "_filter=x"),
        ("Observation", "_id=1"),
        ("Observation", "_lastUpdated=gt2020"),
        ("Observation", "date=ge2020"),
        ("Observation", "subject=Patient/1"),
        ("Observation", "Category=laboratory"),
        ("Observation", "nonsense=x"),
        ("Observation", "clinical-status=active"),
        ("Patient", "category=x"),
        ("*", "category=laboratory"),
        ("*", "status=final"),
        ("Observation", "category=a|b|c"),
        ("Observation", "category=a,,b"),
        ("Observation", "category=|"),
        ("Observation", "category=a%5Cx"),
        ("Observation", "status=http://hl7.org/fhir/observation-status|final"),
        ("Observation", "status=|final"),
    ],
)
def test_unsupported_constraints_admit_nothing(resource_type, query):
    assert not is_supported(resource_type, constraint(query))
    scope = clinical(f"patient/{resource_type}.rs?{query}")
    rich = observation((OC, "laboratory"), ("a", "b"), status="final", id="1")
    assert not admits(scope, rich)
    assert not admits(scope, {**rich, "resourceType": resource_type})


@pytest.mark.spec("GRAN-10")
def test_escapes_travel_percent_encoded():
    scope = clinical("patient/Observation.r?code=urn:x|a%5C%2Cb")
    assert admits(scope, {"resourceType": "Observation", "code": concept(("urn:x", "a,b"))})
    assert not admits(scope, {"resourceType": "Observation", "code": concept(("urn:x", "a"))})


@pytest.mark.spec("GRAN-03")
@pytest.mark.parametrize(
    "category",
    [
        None,
        "laboratory",
        ["laboratory"],
        {"coding": "laboratory"},
        {"coding": {"code": ["laboratory"]}},
        [{"coding": [None, 1, ["laboratory"], {"code": {"value": "laboratory"}}]}],
        [[{"coding": [{"code": "laboratory"}]}]],
    ],
)
def test_content_of_the_wrong_shape_is_not_admitted(category):
    scope = clinical("patient/Observation.rs?category=laboratory")
    assert not admits(scope, {"resourceType": "Observation", "category": category})


@pytest.mark.spec("GRAN-02")
def test_a_scope_admits_its_own_type_only():
    lab = observation((OC, "laboratory"))
    assert admits(clinical("patient/Observation.rs"), lab)
    assert admits(clinical("patient/*.rs"), lab)
    assert not admits(clinical("patient/Condition.rs"), lab)
    assert not admits(clinical("patient/Observation.rs"), {})


@pytest.mark.spec("GRAN-02", "G42")
def test_several_scopes_are_a_union_without_cross_product():
    scopes = [
        clinical(f"patient/Observation.rs?category={OC}|laboratory&status=final"),
        clinical(f"patient/Observation.rs?category={OC}|vital-signs&status=amended"),
    ]
    assert admits_any(scopes, observation((OC, "laboratory"), status="final"))
    assert admits_any(scopes, observation((OC, "vital-signs"), status="amended"))
    assert not admits_any(scopes, observation((OC, "laboratory"), status="amended"))
    assert not admits_any(scopes, observation((OC, "vital-signs"), status="final"))
    assert not admits_any([], observation((OC, "laboratory"), status="final"))


@pytest.mark.spec("GRAN-09")
@pytest.mark.parametrize(
    ("narrow", "wide", "certain"),
    [
        ("category=s|a", "category=s|a", True),
        ("category=s|a", "category=a", True),
        ("category=s|a", "category=s|", True),
        ("category=s|a", "category=s|a,s|b", True),
        ("category=|a", "category=a", True),
        ("category=a", "category=s|a", False),
        ("category=s|", "category=s|a", False),
        ("category=s|a,s|b", "category=s|a", False),
        ("category=s%7Ca", "category=s|a", True),
        ("category=a", "code=a", False),
        ("category:not=a", "category:not=a", True),
        ("category:not=a", "category:not=a,b", False),
        ("nonsense=a", "nonsense=a,b", False),
    ],
)
def test_implication(narrow, wide, certain):
    assert implies("Observation", constraint(narrow), constraint(wide)) is certain


@pytest.mark.spec("GRAN-02")
@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ([], ["category=a"], ["category=a"]),
        (["category=a"], [], ["category=a"]),
        (["category=a"], ["category=a"], ["category=a"]),
        (["category=s|a"], ["category=a"], ["category=s|a"]),
        (["category=a"], ["category=s|a"], ["category=s|a"]),
        (["category=s%7Ca"], ["category=s|a"], ["category=s%7Ca"]),
        (["category=a"], ["category=b"], ["category=a", "category=b"]),
        (["status=final"], ["category=a"], ["status=final", "category=a"]),
    ],
)
def test_combination(first, second, both):
    found = combine("Observation", tuple(map(constraint, first)), tuple(map(constraint, second)))
    assert list(map(str, found)) == both


def test_the_parameter_table_names_only_r4_types():
    listed = {resource_type for resource_type, _ in parameters._BY_TYPE}
    assert "Observation" in listed
    assert listed <= RESOURCE_TYPES
