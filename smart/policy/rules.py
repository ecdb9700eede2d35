"""The rules every gateway request meets (security-checklist 4: G1, G2, G16-G18, G28-G32, G43, G47).

A rule looks at the facts and returns a refusal or None. All of them decide before anything is
looked up, so a refusal is the same whether or not the resource exists (rule c).
"""

from collections.abc import Callable
from typing import Final

from smart.policy.compartment import READ_LIST, TABLE
from smart.policy.facts import Deny, Facts
from smart.policy.levels import by_patient, by_user, covers, letters
from smart.policy.request import FhirInteraction
from smart.scopes.syntax import ClinicalScope, Level

Rule = Callable[[Facts], Deny | None]

#: Reads of one resource, in its newest version, another one, or all.
READS: Final = frozenset(
    {FhirInteraction.READ, FhirInteraction.VREAD, FhirInteraction.HISTORY_INSTANCE}
)
#: Offered by themselves, and offered where the server behind lists them under that code.
_OFFERED: Final = frozenset({FhirInteraction.READ, FhirInteraction.SEARCH_TYPE})
_IF_LISTED: Final = {
    FhirInteraction.VREAD: "vread",
    FhirInteraction.HISTORY_INSTANCE: "history-instance",
}
_SERVED_LEVELS: Final = (Level.PATIENT, Level.USER)
_SCOPES_SHOWN: Final = 20


def is_own_user(facts: Facts) -> bool:
    """Whether this reads the resource of the token's own user (RSVR-13)."""
    request = facts.request
    if request.interaction is not FhirInteraction.READ or facts.fhir_user is None:
        return False
    if facts.fhir_user != f"{request.resource_type}/{request.resource_id}":
        return False
    return {scope.text for scope in facts.scopes} >= {"openid", "fhirUser"}


def scope_covers(facts: Facts) -> Deny | None:
    """403 unless scopes of one level give every letter the interaction needs (RSVR-03, G43)."""
    request = facts.request
    resource_type = request.target_type or request.resource_type
    needed = letters(request)
    if resource_type is None or not needed or is_own_user(facts):
        return None
    if any(covers(facts.scopes, request, level) for level in _SERVED_LEVELS):
        return None
    scope = f"{Level.PATIENT}/{resource_type}.{''.join(needed)}"
    if covers(facts.scopes, request, Level.SYSTEM):
        reason = f"{request.describe()} was granted at the level system/ only."
        return Deny(
            403,
            "scope.level",
            reason,
            "forbidden",
            f"This server serves patient/ and user/ scopes: ask for {scope}.",
            scope,
        )
    reason = f"No granted scope covers {request.describe()}."
    return Deny(403, "scope.covers", reason, "forbidden", _granted(facts), scope)


def interaction_is_offered(facts: Facts) -> Deny | None:
    """403 for the interactions this server does not offer, each by its name (G16-G20, G28, G30)."""
    request = facts.request
    if request.interaction in _OFFERED:
        return None
    if _IF_LISTED.get(request.interaction) in facts.served.interactions:
        return None
    listed = [code for code in _IF_LISTED.values() if code in facts.served.interactions]
    return Deny(
        403,
        "interaction.offered",
        f"This server does not offer {request.describe()}.",
        "not-supported",
        f"Offered are: {', '.join(['read', 'search-type', *listed])}.",
    )


def somebody_is_known(facts: Facts) -> Deny | None:
    """403 for `patient/` scopes without a patient in context (SCOP-14), `user/` without a user."""
    if is_own_user(facts) or by_patient(facts) or by_user(facts):
        return None
    if facts.patient is None and covers(facts.scopes, facts.request, Level.PATIENT):
        return Deny(
            403,
            "context.patient",
            "This token has no patient in context.",
            "forbidden",
            "Launch with the scope launch or launch/patient.",
        )
    reason = "Nobody stands behind this token whose rights user/ scopes could mean."
    return Deny(403, "context.user", reason, "forbidden")


def type_is_reachable(facts: Facts) -> Deny | None:
    """403 for types outside every record and the read list (G2, G32).

    Of the read list a search tells nothing of patients, but only `user/` scopes mean it.
    """
    request = facts.request
    resource_type = request.resource_type or ""
    row = TABLE.get(resource_type)
    if is_own_user(facts):
        return None
    if request.interaction in READS:
        if row is not None or resource_type in READ_LIST:
            return None
        reason = f"{resource_type} is not part of a patient's record."
        allowed = f"Besides the record, these can be read: {', '.join(sorted(READ_LIST))}."
        return Deny(403, "compartment.type", reason, "forbidden", allowed)
    if row is not None and row.search:
        return None
    if resource_type in READ_LIST and by_user(facts):
        return None
    reason = f"A search of {resource_type} cannot be limited to the patient in context."
    readable = row is not None or resource_type in READ_LIST
    allowed = f"Read it by id: GET {resource_type}/[id]." if readable else ""
    return Deny(403, "compartment.search", reason, "forbidden", allowed)


def reads_own_patient(facts: Facts) -> Deny | None:
    """403 for reading another Patient (G1); 404 where `user/` scopes made us look (G47)."""
    request = facts.request
    if request.interaction not in READS or request.resource_type != "Patient":
        return None
    patient = request.resource_id or ""
    if (patient == facts.patient and by_patient(facts)) or is_own_user(facts):
        return None
    if by_user(facts) and facts.reach is not None:
        if facts.reach.opens({patient}):
            return None
        return Deny(404, "user.reach", "The user may not open this patient's record.", "not-found")
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
