"""The rules every gateway request meets (security-checklist 4: G1-G5, G15-G17, G30-G32, G43).

A rule looks at the facts and returns a refusal or None. All of them decide before anything is
looked up, so a refusal is the same whether or not the resource exists (rule c).
"""

from collections.abc import Callable
from typing import Final

from smart.policy.compartment import READ_LIST, TABLE
from smart.policy.facts import Deny, Facts
from smart.policy.request import FhirInteraction, FhirRequest
from smart.scopes import match
from smart.scopes.syntax import ClinicalScope, Interaction, Level

Rule = Callable[[Facts], Deny | None]

#: The scope letters an interaction needs, all of them on its type (SCOP-03 to SCOP-07, SCOP-26).
#: A batch has no scope of its own (SCOP-18).
_LETTERS: Final[dict[FhirInteraction, str]] = {
    FhirInteraction.READ: "r",
    FhirInteraction.VREAD: "r",
    FhirInteraction.HISTORY_INSTANCE: "r",
    FhirInteraction.SEARCH_TYPE: "s",
    FhirInteraction.SEARCH_POST: "s",
    FhirInteraction.COMPARTMENT_SEARCH: "s",
    FhirInteraction.HISTORY_TYPE: "s",
    FhirInteraction.CREATE: "c",
    FhirInteraction.UPDATE: "u",
    FhirInteraction.PATCH: "u",
    FhirInteraction.DELETE: "d",
    FhirInteraction.CONDITIONAL_UPDATE: "us",
    FhirInteraction.CONDITIONAL_PATCH: "us",
    FhirInteraction.CONDITIONAL_DELETE: "ds",
    FhirInteraction.OPERATION: "rs",
}
_OFFERED: Final = frozenset({FhirInteraction.READ, FhirInteraction.SEARCH_TYPE})
_SCOPES_SHOWN: Final = 20


def is_own_user(facts: Facts) -> bool:
    """Whether this reads the resource of the token's own user (RSVR-13)."""
    request = facts.request
    if request.interaction is not FhirInteraction.READ or facts.fhir_user is None:
        return False
    named = {scope.text for scope in facts.scopes}
    return (
        facts.fhir_user == f"{request.resource_type}/{request.resource_id}"
        and {"openid", "fhirUser"} <= named
    )


def letters(request: FhirRequest) -> tuple[Interaction, ...]:
    """The scope letters a request needs on its type."""
    return tuple(Interaction(letter) for letter in _LETTERS.get(request.interaction, ""))


def scope_covers(facts: Facts) -> Deny | None:
    """403 unless `patient/` scopes give every letter the interaction needs (RSVR-03, G43)."""
    request = facts.request
    resource_type = request.target_type or request.resource_type
    needed = letters(request)
    if resource_type is None or not needed or is_own_user(facts):
        return None
    if all(match.covers(facts.scopes, resource_type, one, Level.PATIENT) for one in needed):
        return None
    scope = f"{Level.PATIENT}/{resource_type}.{''.join(needed)}"
    if all(match.covers(facts.scopes, resource_type, one) for one in needed):
        reason = f"{request.describe()} was granted at another level than patient/."
        return Deny(
            403,
            "scope.level",
            reason,
            "forbidden",
            f"This server serves patient/ scopes: ask for {scope}.",
            scope,
        )
    reason = f"No granted scope covers {request.describe()}."
    return Deny(403, "scope.covers", reason, "forbidden", _granted(facts), scope)


def interaction_is_offered(facts: Facts) -> Deny | None:
    """403 for the interactions this server does not offer, each by its name (G16-G20, G30)."""
    request = facts.request
    if request.interaction in _OFFERED:
        return None
    return Deny(
        403,
        "interaction.offered",
        f"This server does not offer {request.describe()}.",
        "not-supported",
        "Offered are: metadata, read (GET [type]/[id]) and search (GET [type]?[parameters]).",
    )


def patient_is_known(facts: Facts) -> Deny | None:
    """403 for `patient/` scopes without a patient in context (SCOP-14)."""
    if facts.patient is not None or is_own_user(facts):
        return None
    return Deny(
        403,
        "context.patient",
        "This token has no patient in context.",
        "forbidden",
        "Launch with the scope launch or launch/patient.",
    )


def type_is_reachable(facts: Facts) -> Deny | None:
    """403 for types outside the patient's compartment and the read list (G2, G32)."""
    request = facts.request
    resource_type = request.resource_type or ""
    row = TABLE.get(resource_type)
    if is_own_user(facts):
        return None
    if request.interaction is FhirInteraction.READ:
        if row is not None or resource_type in READ_LIST:
            return None
        reason = f"{resource_type} is not part of a patient's record."
        allowed = f"Besides the record, these can be read: {', '.join(sorted(READ_LIST))}."
        return Deny(403, "compartment.type", reason, "forbidden", allowed)
    if row is not None and row.search:
        return None
    reason = f"A search of {resource_type} cannot be limited to the patient in context."
    readable = row is not None or resource_type in READ_LIST
    allowed = f"Read it by id: GET {resource_type}/[id]." if readable else ""
    return Deny(403, "compartment.search", reason, "forbidden", allowed)


def reads_own_patient(facts: Facts) -> Deny | None:
    """403 for reading another Patient (G1)."""
    request = facts.request
    if request.interaction is not FhirInteraction.READ or request.resource_type != "Patient":
        return None
    if request.resource_id == facts.patient or is_own_user(facts):
        return None
    return Deny(
        403,
        "compartment.patient",
        "This token is for another patient.",
        "forbidden",
        f"Allowed is Patient/{facts.patient}.",
    )


def _granted(facts: Facts) -> str:
    texts = [scope.text for scope in facts.scopes if isinstance(scope, ClinicalScope)]
    if not texts:
        return "No clinical scope was granted."
    more = len(texts) - _SCOPES_SHOWN
    tail = f" and {more} more" if more > 0 else ""
    return f"Granted are: {' '.join(texts[:_SCOPES_SHOWN])}{tail}."
