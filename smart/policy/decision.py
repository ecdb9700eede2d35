"""The policy decision point: may this FHIR request pass, and what may come back (design D6, D10).

Pure. The gateway hands in facts, sends `Permit.request` upstream, and lets the response gate
judge every resource by `Permit.access`. No rule saying yes means no.
"""

from typing import Final

from smart.policy.facts import Access, Deny, Facts, Permit
from smart.policy.references import bases_of
from smart.policy.request import FhirInteraction
from smart.policy.rules import (
    Rule,
    interaction_is_offered,
    is_own_user,
    letters,
    patient_is_known,
    reads_own_patient,
    scope_covers,
    type_is_reachable,
)
from smart.policy.search_rules import (
    bounded_search,
    result_is_offered,
    search_is_bounded,
    search_is_supported,
    search_names_own_patient,
)
from smart.scopes import match
from smart.scopes.syntax import Level

__all__ = ["RULES", "Access", "Deny", "Facts", "Permit", "decide"]

#: In this order; the first refusal stands.
RULES: Final[tuple[Rule, ...]] = (
    scope_covers,
    interaction_is_offered,
    patient_is_known,
    type_is_reachable,
    reads_own_patient,
    search_is_bounded,
    result_is_offered,
    search_names_own_patient,
    search_is_supported,
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
    resource_type, resource_id = request.resource_type or "", request.resource_id
    (letter,) = letters(request)
    scopes = match.covering(facts.scopes, resource_type, letter, Level.PATIENT)
    own_user = is_own_user(facts)
    access = Access(
        patient=facts.patient or "",
        bases=bases_of(facts.base, facts.upstream),
        scopes={resource_type: scopes},
        only=None if resource_id is None else (resource_type, resource_id),
        is_own_user=own_user,
    )
    if own_user:
        return Permit("user.self", f"{facts.fhir_user} is the user's own.", request, access)
    if request.interaction is FhirInteraction.SEARCH_TYPE:
        request = bounded_search(facts, scopes)
    texts = " ".join(scope.text for scope in scopes)
    return Permit("scope.covers", f"{texts} covers {request.describe()}.", request, access)
