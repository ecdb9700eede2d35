"""Who may use which scopes, how freshly signed in: a table, and the parts that are granted."""

import pytest

from smart.policy.scope_rules import (
    Allowed,
    Refused,
    SignIn,
    evaluate,
    rule_of,
    within_roles,
)
from smart.scopes.match import Reason
from smart.scopes.syntax import Interaction, Level, format_scopes, parse_scopes
from tenants.scope_rules import default_rules

DEFAULT = tuple(rule_of(**rule) for rule in default_rules())


def who(*roles, aal=2, age=60.0):
    return SignIn(frozenset(roles), aal, age)


@pytest.mark.spec("RSVR-12", "SCOP-17")
@pytest.mark.parametrize(
    ("person", "resource_type", "letter", "rule", "needs"),
    [
        (who("doctor"), "MedicationRequest", "c", "medication-orders", None),
        (who("doctor", age=900), "MedicationRequest", "u", "medication-orders", None),
        (who("doctor", age=900.5), "MedicationRequest", "u", "medication-orders", (2, 900)),
        (who("doctor", age=None), "MedicationRequest", "d", "medication-orders", (2, 900)),
        (who("doctor", aal=1), "MedicationRequest", "c", "medication-orders", (2, 900)),
        (who("nurse"), "MedicationRequest", "c", "medication-orders", (0, 0)),
        (who("patient"), "MedicationRequest", "c", "medication-orders", (0, 0)),
        (who("doctor", "patient"), "MedicationRequest", "c", "medication-orders", None),
        (who("admin", "privacy-officer"), "MedicationRequest", "c", "medication-orders", (0, 0)),
        (who("patient", aal=1, age=40_000), "Observation", "c", "patients-own", None),
        (who("nurse", age=None), "Observation", "u", "patients-own", None),
        (who("admin"), "Observation", "c", "patients-own", (0, 0)),
        (who("patient"), "Condition", "c", "clinical-writes", (0, 0)),
        (who("nurse", age=40_000), "Condition", "c", "clinical-writes", None),
        (who("nurse", aal=1), "Condition", "c", "clinical-writes", (2, 0)),
        (who(), "Condition", "c", "clinical-writes", (0, 0)),
        (who("nurse", aal=1, age=None), "MedicationRequest", "r", None, None),
        (who(), "Observation", "s", None, None),
    ],
)
@pytest.mark.parametrize("level", [Level.PATIENT, Level.USER])
def test_the_first_rule_that_covers_an_action_decides(
    person, resource_type, letter, rule, needs, level
):
    found = evaluate(DEFAULT, level, resource_type, Interaction(letter), person)
    assert found.rule == (f"scope-rules.{rule}" if rule else "scope-rules")
    assert found.reason
    if needs is None:
        assert isinstance(found, Allowed)
        return
    assert isinstance(found, Refused)
    assert (found.aal, found.max_age_seconds) == needs
    assert found.needs_sign_in is (needs != (0, 0))


@pytest.mark.spec("SCOP-17")
def test_what_no_rule_covers_is_read_but_not_written():
    rules = [rule_of("few", ["patient/Goal.c"], ["nurse"], 1, 0)]
    doctor = who("doctor", "nurse")

    def asked(level, resource_type, letter):
        return evaluate(rules, level, resource_type, Interaction(letter), doctor)

    assert isinstance(asked(Level.PATIENT, "Goal", "c"), Allowed)
    for level, resource_type, letter in (
        (Level.PATIENT, "Goal", "u"),
        (Level.USER, "Goal", "c"),
        (Level.PATIENT, "Flag", "c"),
    ):
        refused = asked(level, resource_type, letter)
        assert isinstance(refused, Refused)
        assert (refused.rule, refused.needs_sign_in) == ("scope-rules", False)
    assert isinstance(asked(Level.PATIENT, "Flag", "r"), Allowed)


@pytest.mark.spec("SCOP-17")
def test_a_rule_may_limit_reading_too():
    rules = [rule_of("notes", ["*/DocumentReference.rs"], ["doctor"], 1, 0)]
    read = Interaction.READ
    nurse = evaluate(rules, Level.USER, "DocumentReference", read, who("nurse"))
    assert isinstance(nurse, Refused)
    granted = within_roles(parse_scopes("user/*.rs user/Goal.r"), rules, frozenset({"nurse"}))
    assert format_scopes(granted.granted) == "user/*.rs user/Goal.r"
    named = parse_scopes("user/DocumentReference.rs")
    assert within_roles(named, rules, frozenset({"nurse"})).granted == ()


@pytest.mark.spec("RSVR-12", "GRNT-03", "SCOP-08")
@pytest.mark.parametrize(
    ("role", "asked", "granted"),
    [
        ("doctor", "patient/MedicationRequest.write", "patient/MedicationRequest.write"),
        ("nurse", "patient/MedicationRequest.write", ""),
        ("nurse", "patient/MedicationRequest.cruds", "patient/MedicationRequest.rs"),
        ("nurse", "user/MedicationRequest.*", "user/MedicationRequest.read"),
        ("nurse", "openid patient/Flag.cud launch", "openid patient/Flag.cud launch"),
        ("nurse", "patient/*.cruds", "patient/*.cruds"),
        ("patient", "patient/Observation.cruds", "patient/Observation.cruds"),
        ("patient", "patient/Condition.cruds", "patient/Condition.rs"),
        ("patient", "patient/Condition.c?category=x", ""),
        ("patient", "patient/Goal.c patient/*.c", "patient/Goal.c"),
        ("admin", "user/*.cud user/*.rs", "user/*.rs"),
    ],
)
def test_roles_bound_what_is_granted(role, asked, granted):
    found = within_roles(parse_scopes(asked), DEFAULT, frozenset({role}))
    text = format_scopes(found.granted)
    if asked.endswith("patient/*.c"):
        assert text.startswith(granted)
        assert "*" not in text
        assert "MedicationRequest" not in text
    else:
        assert text == granted
    left = [one.scope.text for one in found.left_out]
    assert left == [one for one in asked.split() if one not in text.split()]
    assert {one.reason for one in found.left_out} <= {Reason.ROLE}


@pytest.mark.spec("SCOP-17")
def test_a_wildcard_gives_way_to_the_types_a_role_has():
    found = within_roles(parse_scopes("patient/*.cruds"), DEFAULT, frozenset({"patient"}))
    texts = [scope.text for scope in found.granted]
    assert texts[0] == "patient/*.rs"
    assert "patient/Observation.cud" in texts
    assert "patient/QuestionnaireResponse.cud" in texts
    assert not any("MedicationRequest" in text or "cruds" in text for text in texts)


def test_a_type_that_fhir_does_not_have_matches_nothing():
    rule = rule_of("odd", ["*/Starship.cud", "user/Goal.c"], ["nurse"], 1, 0)
    assert [scope.text for scope in rule.scopes] == ["user/Goal.c"]
