"""The events of the gateway: who was let at which record, or was not, by which rule (A1-A3)."""

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from audit.events import Actor, Code, Event, Outcome
from smart.policy import acr
from smart.policy.facts import Deny, Permit
from smart.policy.owners import patients_named
from smart.policy.request import FhirInteraction, FhirRequest
from smart.tokens import AccessToken

_MAX_QUERY: Final = 2000
#: Other patients told of for one request; its query names the rest.
_MAX_PATIENTS: Final = 100
_KIND: Final[dict[FhirInteraction, str]] = {
    FhirInteraction.READ: "READ",
    FhirInteraction.VREAD: "READ",
    FhirInteraction.HISTORY_INSTANCE: "READ",
    FhirInteraction.SEARCH_TYPE: "SEARCH",
    FhirInteraction.SEARCH_POST: "SEARCH",
    FhirInteraction.SEARCH_SYSTEM: "SEARCH",
    FhirInteraction.COMPARTMENT_SEARCH: "SEARCH",
    FhirInteraction.PAGE: "SEARCH",
    FhirInteraction.HISTORY_TYPE: "SEARCH",
    FhirInteraction.HISTORY_SYSTEM: "SEARCH",
    FhirInteraction.CREATE: "CREATE",
    FhirInteraction.UPDATE: "UPDATE",
    FhirInteraction.CONDITIONAL_UPDATE: "UPDATE",
    FhirInteraction.PATCH: "UPDATE",
    FhirInteraction.CONDITIONAL_PATCH: "UPDATE",
    FhirInteraction.DELETE: "DELETE",
    FhirInteraction.CONDITIONAL_DELETE: "DELETE",
}

#: By kind, and whether the access was let through.
_CODES: Final = {
    (kind, suffix == "ALLOW"): Code[f"FHIR_{kind}_{suffix}"]
    for kind in (*_KIND.values(), "OP")
    for suffix in ("ALLOW", "DENY")
    if f"FHIR_{kind}_{suffix}" in Code.__members__
}


def allowed(request: FhirRequest, token: AccessToken, permit: Permit, *, returned: int) -> Event:
    """An access that was let through; `returned` counts the resources that leave."""
    return _event(
        request,
        token,
        Outcome.SUCCESS,
        rule=permit.rule,
        reason=permit.reason,
        details={"returned": returned},
    )


def denied(request: FhirRequest, token: AccessToken, deny: Deny) -> Event:
    """An access that a rule refused before anything was looked up."""
    return _event(
        request,
        token,
        Outcome.DENIED,
        rule=deny.rule,
        reason=deny.reason,
        details={"status": deny.status},
    )


def not_found(request: FhirRequest, token: AccessToken) -> Event:
    """A read that found nothing this token may see."""
    return _event(
        request,
        token,
        Outcome.DENIED,
        rule="response.gate",
        reason="Absent, another patient's, or outside the granted scopes.",
        details={"status": 404},
    )


def failed(request: FhirRequest, token: AccessToken, reason: str) -> Event:
    """An access that was allowed, but that the server behind did not answer."""
    return _event(request, token, Outcome.FAILURE, rule="upstream", reason=reason)


def ended(request: FhirRequest, token: AccessToken, reason: str) -> Event:
    """An access whose token ceased to be valid while the server behind was asked (G51)."""
    return _event(
        request,
        token,
        Outcome.DENIED,
        rule="token.valid",
        reason=reason,
        details={"status": 401},
    )


def per_patient(
    event: Event, request: FhirRequest, base: str, patients: Collection[str] = ()
) -> tuple[Event, ...]:
    """The event under each patient: of the token, named by the request, or in the answer (A3).

    Who tried to open a record is found in that record's own trail, refused or not.
    """
    named = [one for one in patients_named(request, base) if one != event.patient]
    others = [*named[:_MAX_PATIENTS], *sorted(patients)]
    found = dict.fromkeys(one for one in (event.patient, *others) if one) or {"": None}
    if list(found) == [event.patient]:
        return (event,)
    return tuple(replace(event, patient=one) for one in found)


def malformed(token: AccessToken, *, method: str, url: str, reason: str, status: int) -> Event:
    """A request with a good token that is not FHIR, or not FHIR this server takes."""
    return Event(
        code=Code.FHIR_OP_DENY,
        outcome=Outcome.DENIED,
        actor=_actor(token),
        client_id=token.client_id,
        patient=token.patient or "",
        reason=reason,
        rule="request.grammar",
        details={
            "scopes": token.scopes.text,
            "jti": token.jti,
            "query": f"{method} {url}"[:_MAX_QUERY],
            "status": status,
        },
    )


def write(
    request: FhirRequest,
    token: AccessToken,
    outcome: Outcome,
    *,
    roles: Collection[str],
    patient: str,
    rule: str,
    reason: str,
    details: dict[str, object],
) -> Event:
    """A write, refused or done, in the record of the patient it is about."""
    event = _event(request, token, outcome, rule=rule, reason=reason, details=details)
    actor = replace(event.actor, roles=tuple(sorted(roles)))
    return replace(event, actor=actor, patient=patient)


def intent(event: Event) -> Event:
    """The event that goes before a write's own (D7)."""
    return replace(event, code=Code.FHIR_INTENT)


def bad_token(reason: str) -> Event:
    """A token that opened nothing; whose it was cannot be known."""
    return Event(
        code=Code.TOKEN_DENY,
        outcome=Outcome.DENIED,
        actor=Actor.anonymous(),
        reason=reason,
        rule="token.valid",
    )


def misplaced_token(reason: str) -> Event:
    """A token sent where others may read it, or twice: it may have leaked (RFC 6750 5.3)."""
    return Event(
        code=Code.TOKEN_DENY,
        outcome=Outcome.DENIED,
        actor=Actor.anonymous(),
        reason=reason,
        rule="token.transport",
        details={"status": 400},
    )


def _event(
    request: FhirRequest,
    token: AccessToken,
    outcome: Outcome,
    *,
    rule: str,
    reason: str,
    details: dict[str, object] | None = None,
) -> Event:
    query = "&".join(f"{one.key}={one.text}" for one in request.parameters)
    return Event(
        code=_CODES[_KIND.get(request.interaction, "OP"), outcome is not Outcome.DENIED],
        outcome=outcome,
        actor=_actor(token),
        client_id=token.client_id,
        patient=token.patient or "",
        object="/".join(filter(None, (request.resource_type, request.resource_id))),
        reason=reason,
        rule=rule,
        details={
            "interaction": str(request.interaction),
            "scopes": token.scopes.text,
            "jti": token.jti,
            "query": query,
            **(details or {}),
        },
    )


def _actor(token: AccessToken) -> Actor:
    if token.grant_id is None:
        return Actor.client(token.client_id)
    return Actor.person(token.subject, aal=acr.aal_of(token.acr))
