"""What scopes allow: cover, admit, narrow. Pure functions over scope values (design D5).

SMART App Launch 2.2.0, scopes page; requirement rows SCOP-13, GRAN-02, GRAN-03, GRNT-03, GRNT-13.
Levels never mix: a `user/` scope neither covers nor bounds a `patient/` one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from smart.scopes import constraints
from smart.scopes.syntax import (
    ANY_TYPE,
    ClinicalScope,
    Constraint,
    ContextScope,
    Interaction,
    Level,
    NamedScope,
    Scope,
    UnknownScope,
    clinical_scope,
    format_scopes,
)

#: Type, letter and level that scopes were asked about.
_Asked = tuple[str, Interaction, Level | None]


class Reason(StrEnum):
    """Why a requested scope is not, or only partly, granted; `person`: it was not ticked."""

    UNKNOWN = "unknown"
    UNSUPPORTED = "unsupported_constraint"
    NOT_ALLOWED = "not_allowed"
    NARROWED = "narrowed"
    PERSON = "person"
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A requested scope that fell away, or (`narrowed`) was granted in part only."""

    scope: Scope
    reason: Reason


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Outcome of `intersect`: what may be granted, and what was left out of the request."""

    granted: tuple[Scope, ...]
    left_out: tuple[LeftOut, ...]


class Granted(tuple[Scope, ...]):  # noqa: SLOT001 - it remembers
    """The scopes of one token, which many requests ask about: each answer is worked out once.

    They are as immutable as every tuple, so no answer grows old; all go with the token.
    """

    @cached_property
    def texts(self) -> frozenset[str]:
        """Each scope in its own spelling."""
        return frozenset(scope.text for scope in self)

    @cached_property
    def text(self) -> str:
        """All of them as the `scope` string."""
        return format_scopes(self)

    @cached_property
    def covering(self) -> dict[_Asked, tuple[ClinicalScope, ...]]:
        """What `covering` has found so far."""
        return {}


def covering(
    scopes: Iterable[Scope],
    resource_type: str,
    interaction: Interaction,
    level: Level | None = None,
) -> tuple[ClinicalScope, ...]:
    """The scopes that allow an interaction on a type, of one level or any (SCOP-13).

    Their constraints still have to admit each resource: see `admits_any`.
    """
    if not isinstance(scopes, Granted):
        return _covering(scopes, resource_type, interaction, level)
    asked = resource_type, interaction, level
    found = scopes.covering.get(asked)
    if found is None:
        found = scopes.covering[asked] = _covering(scopes, *asked)
    return found


def _covering(
    scopes: Iterable[Scope], resource_type: str, interaction: Interaction, level: Level | None
) -> tuple[ClinicalScope, ...]:
    return tuple(
        scope
        for scope in scopes
        if isinstance(scope, ClinicalScope)
        and (scope.resource_type == resource_type or scope.resource_type == ANY_TYPE)
        and (level is None or scope.level is level)
        and interaction in scope.interactions
    )


def covers(
    scopes: Iterable[Scope],
    resource_type: str,
    interaction: Interaction,
    level: Level | None = None,
) -> bool:
    """Is there any scope for this interaction on this type? No scopes: no."""
    return bool(covering(scopes, resource_type, interaction, level))


def admits(scope: ClinicalScope, resource: Mapping[str, object]) -> bool:
    """Is this FHIR resource of the scope's type and does it meet all its constraints (GRAN-02)?

    `resource` is a parsed JSON resource. Unsupported constraints admit nothing.
    """
    if scope.resource_type not in (ANY_TYPE, resource.get("resourceType")):
        return False
    return all(
        constraints.matches(scope.resource_type, constraint, resource)
        for constraint in scope.constraints
    )


def admits_any(scopes: Iterable[ClinicalScope], resource: Mapping[str, object]) -> bool:
    """Does at least one of the scopes admit the resource?"""
    return any(admits(scope, resource) for scope in scopes)


def is_within(narrower: ClinicalScope, wider: Iterable[ClinicalScope]) -> bool:
    """Is it certain that `wider` together allow all that `narrower` allows? False when in doubt."""
    return narrower.interactions <= _bounded(narrower, filter(_judgeable, wider))


def intersect(requested: Iterable[Scope], ceiling: Iterable[Scope]) -> Narrowed:
    """What both sides allow, as near to the requested spelling as it can be (GRNT-03).

    A scope that fits whole keeps its literal text (GRAN-06, REFR-06). Otherwise it is replaced
    by the shortest scopes of the overlap, in v1 spelling if v1 was asked and can say it (SCOP-10).
    Named and context scopes are granted when the ceiling holds the same one; a `launch/{type}`
    of the ceiling without a role allows any role.
    """
    limits = tuple(ceiling)
    whole: dict[str, Scope] = {}
    parts: list[Scope] = []
    left_out = []
    for scope in dict.fromkeys(requested):
        pieces, reason = _narrow(scope, limits)
        parts.extend(pieces)
        if pieces == (scope,):
            whole[scope.text] = scope
        if reason is not None:
            left_out.append(LeftOut(scope, reason))
    return Narrowed(_without_needless(parts, whole), tuple(left_out))


def consistent(scopes: Iterable[Scope], *, has_patient: bool | None = None) -> tuple[Scope, ...]:
    """The scopes that make sense together (GRNT-13).

    `fhirUser` needs `openid`. `patient/` scopes need a patient: `has_patient` says whether one
    is in context; by default it is read off the presence of `launch` or `launch/patient`.
    """
    kept = tuple(scopes)
    texts = {scope.text for scope in kept}
    if has_patient is None:
        has_patient = any(
            isinstance(scope, ContextScope) and scope.resource_type in (None, "Patient")
            for scope in kept
        )
    if "openid" not in texts:
        kept = tuple(scope for scope in kept if scope.text != "fhirUser")
    if not has_patient:
        kept = tuple(
            scope
            for scope in kept
            if not (isinstance(scope, ClinicalScope) and scope.level is Level.PATIENT)
        )
    return kept


def _narrow(scope: Scope, limits: tuple[Scope, ...]) -> tuple[tuple[Scope, ...], Reason | None]:
    if isinstance(scope, UnknownScope):
        return (), Reason.UNKNOWN
    if isinstance(scope, NamedScope | ContextScope):
        return ((scope,), None) if _listed(scope, limits) else ((), Reason.NOT_ALLOWED)
    if not _judgeable(scope):
        return (), Reason.UNSUPPORTED
    pieces = _overlap(
        scope, [limit for limit in limits if isinstance(limit, ClinicalScope) and _judgeable(limit)]
    )
    if not pieces:
        return (), Reason.NOT_ALLOWED
    return pieces, None if pieces == (scope,) else Reason.NARROWED


def _listed(scope: NamedScope | ContextScope, limits: tuple[Scope, ...]) -> bool:
    if scope in limits:
        return True
    return isinstance(scope, ContextScope) and any(
        isinstance(limit, ContextScope)
        and limit.role is None
        and limit.resource_type == scope.resource_type
        for limit in limits
    )


def _judgeable(scope: ClinicalScope) -> bool:
    return all(
        constraints.is_supported(scope.resource_type, constraint)
        for constraint in scope.constraints
    )


def _bounded(scope: ClinicalScope, limits: Iterable[ClinicalScope]) -> frozenset[Interaction]:
    """The interactions for which the limits certainly allow all of the scope's type and data."""
    allowed: frozenset[Interaction] = frozenset()
    for limit in limits:
        if (
            limit.level is scope.level
            and limit.resource_type in (ANY_TYPE, scope.resource_type)
            and _all_implied(scope, limit)
        ):
            allowed |= limit.interactions
    return allowed & scope.interactions


def _all_implied(scope: ClinicalScope, limit: ClinicalScope) -> bool:
    return all(
        any(constraints.implies(scope.resource_type, own, wide) for own in scope.constraints)
        for wide in limit.constraints
    )


def _overlap(scope: ClinicalScope, limits: list[ClinicalScope]) -> tuple[ClinicalScope, ...]:
    """The scope itself if it fits whole, else scopes that together are its part inside limits."""
    fitting = _bounded(scope, limits)
    if fitting == scope.interactions:
        return (scope,)
    found: dict[tuple[str, tuple[Constraint, ...]], frozenset[Interaction]] = {}
    if fitting:
        found[scope.resource_type, scope.constraints] = fitting
    for limit in limits:
        shared = (scope.interactions & limit.interactions) - fitting
        resource_type = _common_type(scope.resource_type, limit.resource_type)
        if limit.level is not scope.level or resource_type is None or not shared:
            continue
        both = constraints.combine(resource_type, scope.constraints, limit.constraints)
        key = resource_type, both
        found[key] = found.get(key, frozenset()) | shared
    return tuple(
        clinical_scope(scope.level, resource_type, interactions, both, like_v1=scope.is_v1)
        for (resource_type, both), interactions in found.items()
    )


def _common_type(first: str, second: str) -> str | None:
    if first == ANY_TYPE:
        return second
    return first if second in (ANY_TYPE, first) else None


def _without_needless(parts: list[Scope], whole: dict[str, Scope]) -> tuple[Scope, ...]:
    """The parts in order, less derived ones that another granted scope contains."""
    kept: dict[str, Scope] = {}
    clinical: dict[tuple[Level, str], list[ClinicalScope]] = {}
    for scope in whole.values():
        if isinstance(scope, ClinicalScope):
            clinical.setdefault((scope.level, scope.resource_type), []).append(scope)
    for part in parts:
        if part.text not in whole and isinstance(part, ClinicalScope):
            same = clinical.setdefault((part.level, part.resource_type), [])
            if is_within(part, (*same, *clinical.get((part.level, ANY_TYPE), ()))):
                continue
            same.append(part)
        kept[part.text] = part
    return tuple(kept.values())
