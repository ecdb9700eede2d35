"""The policy decision point: may this FHIR request pass, and what may come back (design D6, D10).

Pure. The gateway hands in facts, sends `Permit.request` upstream, and lets the response gate
judge every resource by `Permit.access`. No rule saying yes means no.
"""

from typing import Final

from smart.policy import include_rules
from smart.policy.facts import Access, AnyOf, Deny, Facts, Permit, UserAccess
from smart.policy.include_rules import includes_are_bounded, includes_are_listed
from smart.policy.levels import Levels, levels_of
from smart.policy.references import bases_of
from smart.policy.request import FhirInteraction
from smart.policy.rules import (
    Rule,
    interaction_is_offered,
    is_own_user,
    reads_own_patient,
    scope_covers,
    somebody_is_known,
    type_is_reachable,
)
from smart.policy.search_rules import (
    result_is_offered,
    search_has_patients,
    search_is_bounded,
    search_is_supported,
    search_names_own_patient,
)
from smart.policy.search_sent import bounded_search, whole_history
from smart.policy.shape import shape_of
from smart.scopes.syntax import Level

__all__ = ["RULES", "Access", "Deny", "Facts", "Permit", "decide"]

#: In this order; the first refusal stands.
RULES: Final[tuple[Rule, ...]] = (
    scope_covers,
    interaction_is_offered,
    somebody_is_known,
    type_is_reachable,
    reads_own_patient,
    search_is_bounded,
    includes_are_bounded,
    result_is_offered,
    search_names_own_patient,
    search_has_patients,
    search_is_supported,
    includes_are_listed,
)


def decide(facts: Facts) -> Permit | Deny:
    """Permit or refuse one request, naming the rule and the reason either way.

    `metadata` is the only interaction open to everyone (G48, RSVR-15).
    """
    if facts.request.interaction is FhirInteraction.CAPABILITIES:
        return Permit("metadata.open", "The CapabilityStatement is public.", facts.request, None)
    for rule in RULES:
        refusal = rule(facts)
        if refusal is not None:
            return refusal
    return _permit(facts)


def _permit(facts: Facts) -> Permit:
    request = facts.request
    levels = levels_of(facts)
    if is_own_user(facts):
        access = _access(facts, levels, is_own_user=True)
        return Permit("user.self", f"{facts.fhir_user} is the user's own.", request, access)
    texts = " ".join(scope.text for scope in levels.scopes)
    reason = f"{texts} covers {request.describe()}."
    access = _access(facts, levels)
    if request.interaction is not FhirInteraction.SEARCH_TYPE:
        if request.interaction is FhirInteraction.HISTORY_INSTANCE:
            request = whole_history(request)
        has_history = "history-instance" in facts.served.interactions
        return Permit("scope.covers", reason, request, access, has_history=has_history)
    sent = bounded_search(facts, levels)
    return Permit(
        "scope.covers",
        reason,
        sent.request,
        access,
        shape=shape_of(request),
        notes=tuple(f"{one} is not in the granted scopes." for one in sent.left_out),
        is_nothing=sent.is_nothing,
        limit=sent.limit,
    )


def _access(facts: Facts, levels: Levels, *, is_own_user: bool = False) -> Access:
    request = facts.request
    resource_type, resource_id = request.resource_type or "", request.resource_id
    user = None
    if levels.user_scopes:
        included = _included(facts, Level.USER)
        user = UserAccess({resource_type: levels.user_scopes}, levels.reach, included)
    return Access(
        patient=facts.patient or "",
        bases=bases_of(facts.base, facts.upstream),
        scopes={resource_type: levels.patient_scopes},
        only=None if resource_id is None else (resource_type, resource_id),
        is_own_user=is_own_user,
        included=_included(facts, Level.PATIENT) if facts.patient is not None else {},
        user=user,
        version=request.version_id,
    )


def _included(facts: Facts, level: Level) -> dict[str, tuple[AnyOf, ...]]:
    types = {
        resource_type
        for one in include_rules.included_of(facts)
        for resource_type in include_rules.types_of(one.name, include_rules.parse(one.text))
    }
    return include_rules.granted(facts, types, level)
