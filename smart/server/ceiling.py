"""How much may be granted: app, tenant and what this server enforces (D5, GRNT-03, SCOP-25)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from audit import events
from smart.models import Application, Grant, HealthcareModule
from smart.scopes import match
from smart.scopes.match import LeftOut, Narrowed, Reason
from smart.scopes.resource_types import RESOURCE_TYPES
from smart.scopes.syntax import ClinicalScope, ContextScope, Level, Scope, parse_scopes

#: What launches can be granted, because sign-in, consent and the gateway enforce it.
ENFORCED: Final = parse_scopes(
    "openid fhirUser launch launch/patient launch/encounter offline_access online_access "
    "patient/*.cruds user/*.cruds"
)

#: Context of any other type, which only an EHR launch brings along (CTXT-11, FCTX-10).
_BROUGHT: Final = tuple(
    ContextScope(name, None, f"launch/{name.lower()}")
    for name in sorted(RESOURCE_TYPES - {"Patient", "Encounter"})
)

#: Scopes that make access last; without one there is no refresh token (REFR-17).
LASTING: Final = frozenset({"offline_access", "online_access"})

#: Scopes that mean nothing without a FHIR server.
_NEEDS_FHIR: Final = frozenset({"fhirUser"})


@dataclass(frozen=True, slots=True)
class Situation:
    """What is in context once the person is known.

    `has_records`: are there records that the person may open: their own, or by a rule of D16?
    `brought`: types of what the EHR put beside patient and encounter (FCTX-10).
    """

    has_patient: bool
    has_encounter: bool
    has_fhir_user: bool
    has_records: bool
    brought: frozenset[str]


def offered(module: HealthcareModule | None) -> tuple[Scope, ...]:
    """What the tenant offers to launches: no FHIR server, no clinical or context scopes.

    A module without a list of its own offers all that is enforced.
    """
    if module is None:
        return tuple(scope for scope in ENFORCED if not needs_fhir(scope))
    if not module.scopes:
        return (*ENFORCED, *_BROUGHT)
    own = parse_scopes(module.scopes)
    clinical = match.intersect(_clinical(ENFORCED), own).granted
    plain = (scope for scope in ENFORCED if not isinstance(scope, ClinicalScope))
    return (*plain, *_BROUGHT, *clinical)


def narrow(
    requested: Sequence[Scope], application: Application, module: HealthcareModule | None
) -> Narrowed:
    """What app, tenant and server together allow of a request, before anybody signed in."""
    first = match.intersect(requested, _registered(application))
    second = match.intersect(first.granted, offered(module))
    return Narrowed(second.granted, (*first.left_out, *second.left_out))


def lasting(scopes: Sequence[Scope]) -> tuple[tuple[Scope, ...], Grant.Lasts]:
    """The scopes as they are granted, and how long the grant lasts (REFR-15, REFR-17).

    Of two lasting scopes the longer one holds, and `scope` tells it.
    """
    texts = {scope.text for scope in scopes}
    if "offline_access" in texts:
        kept = tuple(scope for scope in scopes if scope.text != "online_access")
        return kept, Grant.Lasts.OFFLINE
    return tuple(scopes), Grant.Lasts.ONLINE if texts & LASTING else Grant.Lasts.TOKEN


def fit(scopes: Sequence[Scope], situation: Situation) -> tuple[Scope, ...]:
    """The scopes that can be honoured for this person in this launch (GRNT-13, IDTK-10, IDTK-13).

    Context scopes stay only where their context is there (EHRL-06).
    """
    kept = [
        scope
        for scope in match.consistent(scopes, has_patient=situation.has_patient)
        if (scope.text != "fhirUser" or situation.has_fhir_user) and _has_context(scope, situation)
    ]
    barred = {item.scope for item in barred_by_role(kept, situation)}
    return tuple(scope for scope in kept if scope not in barred)


def barred_by_role(scopes: Sequence[Scope], situation: Situation) -> tuple[LeftOut, ...]:
    """`user/` scopes of a person without any record they may open (D16, H15)."""
    if situation.has_records:
        return ()
    return tuple(
        LeftOut(scope, Reason.ROLE)
        for scope in scopes
        if isinstance(scope, ClinicalScope) and scope.level is Level.USER
    )


def is_usable(scopes: Sequence[Scope]) -> bool:
    """Does a token with these scopes open, or tell, anything (SCOP-11)?"""
    return any(isinstance(scope, ClinicalScope) or scope.text == "openid" for scope in scopes)


def needs_fhir(scope: Scope) -> bool:
    """Does the scope speak of a FHIR server, so that `aud` must name it (O6)?"""
    return isinstance(scope, ClinicalScope | ContextScope) or scope.text in _NEEDS_FHIR


def wants_patient(scopes: Sequence[Scope]) -> bool:
    """Does the request need a patient in context (STND-02 to STND-04)?"""
    return any(
        (isinstance(scope, ClinicalScope) and scope.level is Level.PATIENT)
        or (isinstance(scope, ContextScope) and scope.resource_type in ("Patient", "Encounter"))
        for scope in scopes
    )


def wants_encounter(scopes: Sequence[Scope]) -> bool:
    """Does the request ask for an encounter in context (STND-04)?"""
    return any(
        isinstance(scope, ContextScope) and scope.resource_type == "Encounter" for scope in scopes
    )


def reduced_event(
    *,
    requested: Sequence[Scope],
    granted: Sequence[Scope],
    left_out: Sequence[LeftOut],
    actor: events.Actor,
    client_id: str,
    patient: str,
) -> events.Event | None:
    """The event that tells what was left out and why; None where nothing was (D5)."""
    reasons = {item.scope.text: str(item.reason) for item in left_out}
    kept = {scope.text for scope in granted}
    missing = [scope.text for scope in requested if scope.text not in kept]
    if not missing:
        return None
    # What the person left out is spelled as it was offered, which may be less than was requested.
    unticked = {text: why for text, why in reasons.items() if why == match.Reason.PERSON}
    return events.Event(
        code=events.Code.SCOPE_REDUCED,
        outcome=events.Outcome.SUCCESS if granted else events.Outcome.DENIED,
        actor=actor,
        client_id=client_id,
        patient=patient,
        details={
            "requested": [scope.text for scope in requested],
            "scopes": sorted(kept),
            "left_out": {text: reasons.get(text, "not_in_context") for text in missing} | unticked,
        },
    )


def _registered(application: Application) -> tuple[Scope, ...]:
    """What the app may ask for: lasting access only where it can refresh."""
    scopes = parse_scopes(application.scopes)
    if application.allows_grant_type("refresh_token"):
        return scopes
    return tuple(scope for scope in scopes if scope.text not in LASTING)


def _clinical(scopes: Sequence[Scope]) -> list[Scope]:
    return [scope for scope in scopes if isinstance(scope, ClinicalScope)]


def _has_context(scope: Scope, situation: Situation) -> bool:
    if not isinstance(scope, ContextScope) or scope.resource_type is None:
        return True
    return {"Patient": situation.has_patient, "Encounter": situation.has_encounter}.get(
        scope.resource_type, scope.resource_type in situation.brought
    )
