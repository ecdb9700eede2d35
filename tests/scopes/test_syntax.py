"""The scope grammar, string by string (smart-checklist sections 14, 15, 17)."""

from itertools import combinations
from string import ascii_letters

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart.scopes.resource_types import RESOURCE_TYPES
from smart.scopes.syntax import (
    MANAGEMENT_SCOPES,
    MAX_SCOPE_LENGTH,
    SMART_URI_PREFIX,
    V1_SUFFIXES,
    ClinicalScope,
    Constraint,
    ContextScope,
    Interaction,
    Level,
    MalformedScope,
    NamedScope,
    UnknownScope,
    clinical_scope,
    format_scopes,
    parse_scope,
    parse_scopes,
    to_uri,
)

LAB = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
SUFFIXES = ["".join(letters) for size in range(1, 6) for letters in combinations("cruds", size)]


def letters(text):
    scope = parse_scope(text)
    assert isinstance(scope, ClinicalScope)
    return "".join(sorted(scope.interactions))


@pytest.mark.spec("SCOP-01", "SCOP-08", "GRAN-01")
@pytest.mark.parametrize(
    ("text", "level", "resource_type", "interactions", "constraints"),
    [
        ("patient/Observation.rs", "patient", "Observation", "rs", []),
        ("patient/Observation.r", "patient", "Observation", "r", []),
        ("patient/*.rs", "patient", "*", "rs", []),
        ("patient/*.cruds", "patient", "*", "cdrsu", []),
        ("user/Patient.cud", "user", "Patient", "cdu", []),
        ("user/*.*", "user", "*", "cdrsu", []),
        ("system/Group.rs", "system", "Group", "rs", []),
        ("patient/Observation.read", "patient", "Observation", "rs", []),
        ("patient/MedicationRequest.write", "patient", "MedicationRequest", "cdu", []),
        ("patient/Observation.*", "patient", "Observation", "cdrsu", []),
        ("patient/*.read", "patient", "*", "rs", []),
        ("patient/*.*", "patient", "*", "cdrsu", []),
        (
            f"patient/Observation.rs?category={LAB}",
            "patient",
            "Observation",
            "rs",
            [("category", LAB)],
        ),
        (
            "user/Observation.r?category=a&status=final",
            "user",
            "Observation",
            "r",
            [("category", "a"), ("status", "final")],
        ),
        (
            "patient/Observation.rs?status=final&category=a",
            "patient",
            "Observation",
            "rs",
            [("status", "final"), ("category", "a")],
        ),
        ("patient/Condition.s?code:in=x", "patient", "Condition", "s", [("code:in", "x")]),
        (
            "patient/Observation.r?patient.birthdate=1990",
            "patient",
            "Observation",
            "r",
            [("patient.birthdate", "1990")],
        ),
        ("patient/*.rs?_tag=a|b", "patient", "*", "rs", [("_tag", "a|b")]),
        ("patient/Observation.r?code=a=b", "patient", "Observation", "r", [("code", "a=b")]),
        ("patient/Observation.r?code=a?b", "patient", "Observation", "r", [("code", "a?b")]),
        ("patient/Observation.r?code=a%26b", "patient", "Observation", "r", [("code", "a%26b")]),
        ("patient/Observation.r?code=a.read", "patient", "Observation", "r", [("code", "a.read")]),
    ],
)
def test_clinical_scopes(text, level, resource_type, interactions, constraints):
    scope = parse_scope(text)
    assert isinstance(scope, ClinicalScope)
    assert scope.text == text
    assert (scope.level, scope.resource_type) == (level, resource_type)
    assert "".join(sorted(scope.interactions)) == interactions
    assert [(one.parameter, one.value) for one in scope.constraints] == constraints


@pytest.mark.spec("SCOP-02")
def test_the_suffixes_are_the_31_subsets_in_order():
    assert len(set(SUFFIXES)) == 31
    for suffix in SUFFIXES:
        assert letters(f"patient/Observation.{suffix}") == "".join(sorted(suffix))


@pytest.mark.spec("SCOP-02")
@given(st.text("cruds", max_size=7))
def test_no_other_letters_make_a_suffix(suffix):
    if suffix in SUFFIXES:
        assert parse_scope(f"user/Patient.{suffix}").text == f"user/Patient.{suffix}"
    else:
        with pytest.raises(MalformedScope):
            parse_scope(f"user/Patient.{suffix}")


@pytest.mark.spec("SCOP-01", "SCOP-02", "SCOP-11", "SCOP-24")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "patient/",
        "patient/Observation",
        "patient/Observation.",
        "patient/.rs",
        "patient/Observation.sr",
        "patient/Condition.dus",
        "patient/Observation.rr",
        "patient/Observation.crudsx",
        "patient/Observation.RS",
        "patient/Observation.Read",
        "patient/Observation.reads",
        "patient/Observation.readwrite",
        "patient/Observation.rs.rs",
        "patient/Observation.**",
        "patient/Observation.rs/",
        "patient//Observation.rs",
        "patient/Obs*.rs",
        "patient/**.rs",
        "patient/Observation/1.rs",
        "patient/Transport.x",
        "patient/1Observation.rs",
        "user/Observation.rs?",
        "user/Observation.rs?category",
        "user/Observation.rs?category=",
        "user/Observation.rs?=laboratory",
        "user/Observation.rs?category=a&",
        "user/Observation.rs?&category=a",
        "user/Observation.rs?category=a&&status=final",
        "user/Observation.rs?category=a&status=",
        "user/Observation.rs?cat%65gory=a",
        "user/Observation.rs?category=%zz",
        "user/Observation.rs?category=a%2",
        "user/Observation.rs?category=%ff",
        "user/Observation.rs?category=a%00",
        "user/Observation.rs?category=a%0Ab",
        "user/Observation.read?category=a",
        "user/Observation.*?category=a",
        "system/*.write?_tag=a",
        "patient/Obsérvation.rs",
        'patient/Observation.rs?category="a"',
        r"patient/Observation.rs?category=a\,b",
        "patient/Observation.rs\n",
        "open\x00id",
        "open id",
        "открыть",
        "x" * (MAX_SCOPE_LENGTH + 1),
    ],
)
def test_malformed_scopes(text):
    with pytest.raises(MalformedScope) as caught:
        parse_scope(text)
    assert caught.value.text == text
    assert caught.value.problem


@pytest.mark.spec("SCOP-11", "SCOP-21", "SCOP-24", "CTXT-11")
@pytest.mark.parametrize(
    "text",
    [
        "patient/Transport.rs",
        "patient/observation.rs",
        "patient/Transport.rs?category=a",
        "patient/Resource.rs",
        "patient/DomainResource.rs",
        "Patient/patient.rs",
        "Patient/Patient.rs",
        "practitioner/Patient.rs",
        "patient",
        "OpenID",
        "fhiruser",
        "email",
        "authfi/everything",
        "authfi/",
        "launch/",
        "launch/Patient",
        "launch/transport",
        "launch/patient/1",
        "launch?role=https://a.example.org/x",
        "launch/list?role=",
        "launch/list?role=relative",
        "launch/list?roles=https://a.example.org/x",
        "launch/list?role=https://a.example.org/%zz",
        "launch/list?role=https://a.example.org/x&role=https://a.example.org/y",
        "https://a.example.org/scope",
        "__own",
    ],
)
def test_well_formed_but_unknown(text):
    assert parse_scope(text) == UnknownScope(text)


@pytest.mark.spec("SCOP-21", "CTXT-11")
@pytest.mark.parametrize(
    ("text", "resource_type", "role"),
    [
        ("launch", None, None),
        ("launch/patient", "Patient", None),
        ("launch/encounter", "Encounter", None),
        ("launch/imagingstudy", "ImagingStudy", None),
        ("launch/list?role=https://a.example.org/x", "List", "https://a.example.org/x"),
        ("launch/list?role=https%3A%2F%2Fa.example.org/x", "List", "https://a.example.org/x"),
        ("launch/medicationrequest?role=launch", "MedicationRequest", "launch"),
    ],
)
def test_context_scopes(text, resource_type, role):
    assert parse_scope(text) == ContextScope(resource_type, role, text)


@pytest.mark.spec("SCOP-01")
@pytest.mark.parametrize(
    "text",
    [
        "openid",
        "fhirUser",
        "profile",
        "offline_access",
        "online_access",
        *sorted(MANAGEMENT_SCOPES),
    ],
)
def test_named_scopes(text):
    assert parse_scope(text) == NamedScope(text)


@pytest.mark.spec("SCOP-11")
def test_every_r4_type_is_known_and_no_later_one():
    assert len(RESOURCE_TYPES) == 146
    for name in RESOURCE_TYPES:
        assert isinstance(parse_scope(f"system/{name}.r"), ClinicalScope)
    later = {"Transport", "SubscriptionStatus", "Citation", "NutritionIntake", "ActorDefinition"}
    assert not later & RESOURCE_TYPES


@pytest.mark.spec("SCOP-01")
def test_a_list_keeps_its_order_and_drops_repetitions():
    text = "openid patient/*.rs openid patient/*.read patient/*.rs launch"
    assert format_scopes(parse_scopes(text)) == "openid patient/*.rs patient/*.read launch"


@pytest.mark.spec("SCOP-01")
def test_no_text_has_no_scopes():
    assert parse_scopes("") == ()


@pytest.mark.spec("SCOP-01")
@pytest.mark.parametrize(
    "text", [" ", " openid", "openid ", "openid  launch", "openid\tlaunch", "openid\nlaunch"]
)
def test_scopes_are_separated_by_single_spaces(text):
    with pytest.raises(MalformedScope):
        parse_scopes(text)


@pytest.mark.spec("SCOP-11")
def test_one_malformed_scope_spoils_the_list():
    with pytest.raises(MalformedScope) as caught:
        parse_scopes("patient/Patient.rs patient/Condition.dus")
    assert caught.value.text == "patient/Condition.dus"


@pytest.mark.spec("GRAN-06", "GRAN-13")
def test_a_constraint_stays_literal_and_decodes_on_demand():
    text = "patient/Observation.rs?code=a%26b%7cc+d&category=%E2%82%AC"
    scope = parse_scope(text)
    assert isinstance(scope, ClinicalScope)
    assert format_scopes([scope]) == text
    assert [one.decoded for one in scope.constraints] == ["a&b|c+d", "€"]


@pytest.mark.spec("SCOP-08", "REFR-06")
def test_spelling_tells_v1_from_v2():
    v1, v2 = parse_scopes("patient/Observation.read patient/Observation.rs")
    assert isinstance(v1, ClinicalScope)
    assert isinstance(v2, ClinicalScope)
    assert v1.interactions == v2.interactions
    assert (v1.is_v1, v2.is_v1) == (True, False)
    assert v1 != v2
    dotted_value = parse_scope("patient/Observation.r?code=a.read")
    assert isinstance(dotted_value, ClinicalScope)
    assert not dotted_value.is_v1


@pytest.mark.spec("SCOP-10")
@pytest.mark.parametrize(
    ("interactions", "like_v1", "text"),
    [
        ("rs", False, "patient/Observation.rs"),
        ("rs", True, "patient/Observation.read"),
        ("cud", True, "patient/Observation.write"),
        ("cruds", True, "patient/Observation.*"),
        ("r", True, "patient/Observation.r"),
        ("sr", False, "patient/Observation.rs"),
    ],
)
def test_a_built_scope_spells_itself(interactions, like_v1, text):
    chosen = frozenset(map(Interaction, interactions))
    built = clinical_scope(Level.PATIENT, "Observation", chosen, like_v1=like_v1)
    assert built == parse_scope(text)


def test_a_scope_without_interactions_cannot_be_built():
    with pytest.raises(ValueError, match="at least one"):
        clinical_scope(Level.PATIENT, "Observation", frozenset())


VALUES = st.text(ascii_letters + "0123456789|,:/.?=+#", min_size=1, max_size=12)
CONSTRAINTS = st.lists(
    st.builds(Constraint, st.sampled_from(["category", "code", "_tag", "code:in"]), VALUES),
    max_size=3,
).map(tuple)
INTERACTIONS = st.sets(st.sampled_from(Interaction), min_size=1).map(frozenset)
BUILT = st.builds(
    clinical_scope,
    st.sampled_from(Level),
    st.sampled_from(["*", *sorted(RESOURCE_TYPES)]),
    INTERACTIONS,
    CONSTRAINTS,
    like_v1=st.booleans(),
)
OTHERS = st.sampled_from(
    ["openid", "fhirUser", "launch", "launch/patient", "launch/list?role=launch", "email"]
).map(parse_scope)


@pytest.mark.spec("SCOP-01", "GRAN-06")
@given(st.lists(BUILT | OTHERS, max_size=8))
def test_formatting_and_parsing_are_inverse(scopes):
    text = format_scopes(scopes)
    assert parse_scopes(text) == tuple(dict.fromkeys(scopes))
    assert format_scopes(parse_scopes(text)) == " ".join(dict.fromkeys(text.split()))


@pytest.mark.spec("SCOP-23")
@given(BUILT)
def test_no_two_scopes_have_one_uri(scope):
    assert parse_scope(to_uri(scope).removeprefix(SMART_URI_PREFIX)) == scope


@pytest.mark.spec("SCOP-11")
@given(st.text() | st.from_regex(r"(patient|user)/[A-Za-z*]+\.[a-z*]*(\?[ -~]*)?", fullmatch=True))
def test_any_text_is_a_scope_or_malformed(text):
    try:
        scope = parse_scope(text)
    except MalformedScope as refused:
        assert refused.text == text  # noqa: PT017 - either outcome is right
    else:
        assert scope.text == text


@pytest.mark.spec("SCOP-08", "SCOP-11")
def test_read_is_never_letters():
    assert letters("patient/Observation.read") == "rs"
    assert set(V1_SUFFIXES) == {"read", "write", "*"}
