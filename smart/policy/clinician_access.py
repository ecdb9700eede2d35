"""Whose record may a person open: the one rule of design D16, and what satisfies it. Pure.

The picker, `user/` scopes and the gateway all ask `judge`. What ties a person to a patient is
evidence that the caller gathered; no evidence means no.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Rule(StrEnum):
    """A tenant's choice for a role, the widest first."""

    ALL = "all"
    CARE_TEAM = "care-team"
    ENCOUNTER = "encounter"
    LIST = "list"


class Tie(StrEnum):
    """What ties a person to a patient, in the words of a reason."""

    CARE_TEAM = "is on the patient's care team"
    GENERAL_PRACTITIONER = "is the patient's general practitioner"
    CURRENT_ENCOUNTER = "takes part in a current encounter of the patient"
    ENCOUNTER = "took part in an encounter of the patient"
    LISTED = "has the patient on their list"


#: The ties that satisfy each rule; `all` needs none.
SATISFIED_BY: Final[Mapping[Rule, frozenset[Tie]]] = {
    Rule.ALL: frozenset(),
    Rule.CARE_TEAM: frozenset(
        {Tie.CARE_TEAM, Tie.GENERAL_PRACTITIONER, Tie.CURRENT_ENCOUNTER, Tie.ENCOUNTER}
    ),
    Rule.ENCOUNTER: frozenset({Tie.CURRENT_ENCOUNTER}),
    Rule.LIST: frozenset({Tie.LISTED}),
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found between a person and a patient, and why something could not be looked up."""

    ties: frozenset[Tie] = frozenset()
    unknown: tuple[str, ...] = ()


NONE: Final = Evidence()


def own_patient(fhir_user: str | None) -> str | None:
    """The id of the person's own Patient, where that is who they are here."""
    kind, _, patient = (fhir_user or "").partition("/")
    return patient if kind == "Patient" and patient else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """May this person open this record: by which rule, and a reason for the audit trail.

    `is_certain` is false where something that could have said yes was not to be found out.
    """

    allowed: bool
    rule: str
    reason: str
    is_certain: bool = True


def rules_of(
    clinical_roles: Collection[str], default: str, by_role: Mapping[str, str]
) -> frozenset[Rule]:
    """The rules of a person's clinical roles: each of them opens records, so the widest applies.

    Give only roles that treat patients; without one there is no rule, and no record.
    """
    return frozenset(Rule(by_role.get(role, default)) for role in clinical_roles)


def needed_ties(rules: Collection[Rule]) -> frozenset[Tie]:
    """The ties worth looking for; none where `all` makes them needless."""
    if Rule.ALL in rules:
        return frozenset()
    return frozenset().union(*(SATISFIED_BY[rule] for rule in rules))


def judge(
    patient: str,
    *,
    own: str | None,
    vouched: str | None,
    rules: Collection[Rule],
    evidence: Evidence = NONE,
) -> Verdict:
    """May the person open the record of `patient`?

    `own` is the id of the person's own Patient: who is a patient here opens that record only.
    `vouched` is the patient an EHR launch put into the token's context: the picker vouches for
    nobody.
    """
    if own is not None:
        is_own = patient == own
        return Verdict(is_own, "own-record", "It is " + ("" if is_own else "not ") + "their own.")
    if not rules:
        return Verdict(False, "none", "The person has no role that treats patients.")
    if patient == vouched:
        return Verdict(True, "launch", "The launch was for this patient.")
    if Rule.ALL in rules:
        return Verdict(True, Rule.ALL, "The role opens every record of the organization.")
    for rule in Rule:
        found = SATISFIED_BY[rule] & evidence.ties if rule in rules else frozenset()
        if found:
            return Verdict(True, rule, f"The person {_first(found)}.")
    tried = " ".join(rule for rule in Rule if rule in rules)
    if evidence.unknown:
        unknown = "It cannot be known: " + "; ".join(evidence.unknown) + "."
        return Verdict(False, tried, unknown, is_certain=False)
    return Verdict(False, tried, "Nothing ties the person to this patient.")


def _first(ties: frozenset[Tie]) -> Tie:
    return next(tie for tie in Tie if tie in ties)
