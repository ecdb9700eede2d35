"""The rule of design D16 as a table, and what a FHIR resource shows of who treats whom."""

from datetime import UTC, datetime

import pytest

from smart.policy.care_ties import tie_of
from smart.policy.clinician_access import (
    SATISFIED_BY,
    Evidence,
    Rule,
    Tie,
    judge,
    needed_ties,
    rules_of,
)
from smart.policy.references import bases_of

BASES = bases_of("https://ehr.example/fhir")
NURSE = ("Practitioner", "456")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def verdict(rules, *ties, own=None, vouched=None, unknown=()):
    evidence = Evidence(frozenset(ties), unknown)
    return judge("1", own=own, vouched=vouched, rules=frozenset(rules), evidence=evidence)


@pytest.mark.spec("D16")
@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("tie", [None, *Tie])
def test_each_rule_with_each_tie(rule, tie):
    found = verdict([rule], *([tie] if tie else []))
    may = {
        Rule.ALL: {None, *Tie},
        Rule.CARE_TEAM: {
            *(Tie.CARE_TEAM, Tie.GENERAL_PRACTITIONER, Tie.CURRENT_ENCOUNTER, Tie.ENCOUNTER)
        },
        Rule.ENCOUNTER: {Tie.CURRENT_ENCOUNTER},
        Rule.LIST: {Tie.LISTED},
    }
    assert found.allowed is (tie in may[rule])
    assert found.rule == rule
    assert found.reason.endswith(".")


@pytest.mark.spec("D16", "G53")
@pytest.mark.parametrize(
    ("rules", "own", "vouched", "allowed", "rule"),
    [
        ([], None, None, False, "none"),
        ([], None, "1", False, "none"),
        ([Rule.LIST], None, "1", True, "launch"),
        ([Rule.LIST], None, "2", False, "list"),
        ([Rule.ALL], "2", None, False, "own-record"),
        ([Rule.ALL], "2", "1", False, "own-record"),
        ([], "1", None, True, "own-record"),
        ([Rule.LIST, Rule.ALL], None, None, True, "all"),
        ([Rule.LIST, Rule.ENCOUNTER], None, None, False, "encounter list"),
    ],
)
def test_who_may_without_evidence(rules, own, vouched, allowed, rule):
    found = verdict(rules, own=own, vouched=vouched)
    assert (found.allowed, found.rule) == (allowed, rule)


@pytest.mark.spec("D16")
def test_what_could_not_be_asked_is_the_reason_but_never_a_yes():
    found = verdict([Rule.CARE_TEAM], unknown=("the server is away",))
    assert not found.allowed
    assert found.reason == "It cannot be known: the server is away."
    assert verdict([Rule.CARE_TEAM], Tie.CARE_TEAM, unknown=("the server is away",)).allowed


@pytest.mark.spec("D16")
def test_rules_are_those_of_the_roles():
    by_role = {"doctor": "all", "nurse": "encounter"}
    assert rules_of([], "all", by_role) == frozenset()
    assert rules_of(["doctor"], "list", by_role) == {Rule.ALL}
    assert rules_of(["nurse", "midwife"], "list", by_role) == {Rule.ENCOUNTER, Rule.LIST}
    with pytest.raises(ValueError, match="everything"):
        rules_of(["nurse"], "everything", {})


def test_only_what_could_help_is_looked_for():
    assert needed_ties([Rule.ALL, Rule.LIST]) == frozenset()
    assert needed_ties([Rule.ENCOUNTER, Rule.LIST]) == {Tie.CURRENT_ENCOUNTER, Tie.LISTED}
    assert needed_ties([Rule.CARE_TEAM]) == SATISFIED_BY[Rule.CARE_TEAM]


def team(**changed):
    return {
        "resourceType": "CareTeam",
        "status": "active",
        "subject": {"reference": "Patient/1"},
        "participant": [{"member": {"reference": "Practitioner/456"}}],
        **changed,
    }


def visit(status, who="Practitioner/456"):
    return {
        "resourceType": "Encounter",
        "status": status,
        "subject": {"reference": "https://ehr.example/fhir/Patient/1"},
        "participant": [{}, {"individual": {"reference": who}}],
    }


def member(**period):
    return [{"member": {"reference": "Practitioner/456"}, "period": period}]


@pytest.mark.spec("D16")
@pytest.mark.parametrize(
    ("resource", "tie"),
    [
        (team(), Tie.CARE_TEAM),
        (team(status="inactive"), None),
        (team(status=None), None),
        (team(period={"end": "2026-11-23"}), None),
        (team(period={"end": "2026-11-24"}), Tie.CARE_TEAM),
        (team(period={"end": "2026-11"}), Tie.CARE_TEAM),
        (team(period={"end": "2025"}), None),
        (team(period={"start": "2026-11-25"}), None),
        (team(period={"start": "2026-11-24T11:00:00Z"}), Tie.CARE_TEAM),
        (team(period={"start": "2026-11-24T13:00:00+02:00"}), Tie.CARE_TEAM),
        (team(period={"start": "2026-11-24T13:00:00"}), None),
        (team(period={"end": "yesterday"}), None),
        (team(period={"end": "2026-13-45T25:00:00Z"}), None),
        (team(period="always"), None),
        (team(participant=member(end="2026-01-01")), None),
        (team(participant=member(start="2020", end="2030")), Tie.CARE_TEAM),
        (team(participant=[{"member": {"reference": "Practitioner/4567"}}]), None),
        (team(participant=[{"member": {"reference": "Patient/456"}}]), None),
        (team(participant=[{"member": {"reference": "https://a.example/Practitioner/456"}}]), None),
        (team(participant=[{"member": {"display": "Practitioner/456"}}, None, 7]), None),
        (team(participant="Practitioner/456"), None),
        (team(subject={"reference": "Group/1"}), None),
        (team(subject={"reference": "urn:uuid:1"}), None),
        (team(subject=None), None),
        (visit("in-progress"), Tie.CURRENT_ENCOUNTER),
        (visit("planned"), Tie.CURRENT_ENCOUNTER),
        (visit("onleave"), Tie.CURRENT_ENCOUNTER),
        (visit("finished"), Tie.ENCOUNTER),
        (visit("unknown"), Tie.ENCOUNTER),
        (visit("cancelled"), None),
        (visit("entered-in-error"), None),
        (visit(None), None),
        (visit("in-progress", "Practitioner/9"), None),
        ({"resourceType": "Observation", "id": "1"}, None),
        ({}, None),
    ],
)
def test_what_a_resource_shows(resource, tie):
    found = tie_of(resource, NURSE, BASES, NOW)
    assert found == (("1", tie) if tie else None)


@pytest.mark.spec("D16")
@pytest.mark.parametrize(
    ("practitioners", "tie"),
    [
        ([{"reference": "Organization/456"}, {"reference": "Practitioner/456"}], True),
        ([{"reference": "Practitioner/457"}], False),
        ([], False),
        ({"reference": "Practitioner/456"}, False),
    ],
)
def test_a_general_practitioner(practitioners, tie):
    patient = {"resourceType": "Patient", "id": "1", "generalPractitioner": practitioners}
    found = tie_of(patient, NURSE, BASES, NOW)
    assert found == (("1", Tie.GENERAL_PRACTITIONER) if tie else None)
    assert tie_of({**patient, "id": "../1"}, NURSE, BASES, NOW) is None
