"""What a person may choose of the scopes an app asks for (C2, GRNT-04 to GRNT-06, GRAN-08).

Reading can be chosen apart from changing, the types of a wildcard one by one, and of whole
Conditions and Observations single categories. `match.intersect` makes scopes of the choice again.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from smart.scopes.match import is_within
from smart.scopes.names import CATEGORY_WORDS, PATIENT_TYPES
from smart.scopes.syntax import (
    ANY_TYPE,
    ClinicalScope,
    Constraint,
    ContextScope,
    Interaction,
    Scope,
    clinical_scope,
)

#: Types a person must be able to choose by themselves, as far as the server has them (GRNT-04).
REQUIRED_TYPES: Final = frozenset(
    {
        *("AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Coverage", "Device"),
        *("DiagnosticReport", "DocumentReference", "Encounter", "Goal", "Immunization", "Location"),
        *("Medication", "MedicationDispense", "MedicationRequest", "Observation", "Patient"),
        *("Procedure", "Provenance", "RelatedPerson", "ServiceRequest", "Specimen"),
    }
)

#: Types that can be narrowed to categories.
_BY_CATEGORY: Final = frozenset({"Condition", "Observation"})

_READING: Final = frozenset({Interaction.READ, Interaction.SEARCH})


@dataclass(frozen=True, slots=True)
class Choice:
    """A line to tick.

    `parts` can be chosen in its place. `needs` is the text of a scope without which it is not
    given: the type's name begins with that one's (GRNT-06). `is_fixed`: not for the person to
    choose, since the rest makes no sense without it (GRNT-13).
    """

    scope: Scope
    parts: tuple["Choice", ...] = ()
    needs: str = ""
    is_fixed: bool = False


def choices(scopes: Iterable[Scope], server_types: Collection[str]) -> tuple[Choice, ...]:
    """The lines for some scopes, in their order.

    `server_types` are the types the FHIR server has; none known, and those of GRNT-04 are taken.
    """
    listed = _listed(server_types)
    lines = [line for scope in scopes for line in _lines(scope, listed)]
    return _with_needs(_without_needless(lines))


def _listed(server_types: Collection[str]) -> list[str]:
    return sorted(PATIENT_TYPES & set(server_types) or REQUIRED_TYPES)


def _lines(scope: Scope, listed: Sequence[str]) -> list[Choice]:
    if not isinstance(scope, ClinicalScope):
        is_fixed = isinstance(scope, ContextScope) or scope.text == "openid"
        return [Choice(scope, is_fixed=is_fixed)]
    return [Choice(half, _parts(half, listed)) for half in _halves(scope)]


def _without_needless(lines: Sequence[Choice]) -> list[Choice]:
    """The lines less those that others contain: unticking them would change nothing."""
    kept = list(lines)
    for line in lines:
        others = [one.scope for one in kept if one is not line]
        clinical = [scope for scope in others if isinstance(scope, ClinicalScope)]
        if isinstance(line.scope, ClinicalScope) and is_within(line.scope, clinical):
            kept = [one for one in kept if one is not line]
    return kept


def _halves(scope: ClinicalScope) -> list[ClinicalScope]:
    """The scope, or its reading and its changing half where it does both."""
    halves = [scope.interactions & _READING, scope.interactions - _READING]
    if not all(halves):
        return [scope]
    return [_like(scope, interactions=half) for half in halves]


def _parts(scope: ClinicalScope, listed: Sequence[str]) -> tuple[Choice, ...]:
    if scope.constraints:
        return ()
    if scope.resource_type == ANY_TYPE:
        types = [_like(scope, resource_type=name) for name in listed]
        return _with_needs([Choice(one, _parts(one, listed)) for one in types])
    if scope.resource_type not in _BY_CATEGORY:
        return ()
    return tuple(
        Choice(_like(scope, constraint=Constraint("category", f"{system}|{code}")))
        for owner, system, code in CATEGORY_WORDS
        if owner == scope.resource_type
    )


def _like(
    scope: ClinicalScope,
    *,
    resource_type: str = "",
    interactions: frozenset[Interaction] = frozenset(),
    constraint: Constraint | None = None,
) -> ClinicalScope:
    return clinical_scope(
        scope.level,
        resource_type or scope.resource_type,
        interactions or scope.interactions,
        (constraint,) if constraint else scope.constraints,
        like_v1=scope.is_v1,
    )


def _with_needs(lines: Sequence[Choice]) -> tuple[Choice, ...]:
    return tuple(replace(line, needs=_base(line.scope, lines)) for line in lines)


def _base(scope: Scope, lines: Sequence[Choice]) -> str:
    """The scope whose type's name this one's begins with; of several the shortest."""
    if not isinstance(scope, ClinicalScope):
        return ""
    bases = [
        other.scope
        for other in lines
        if isinstance(other.scope, ClinicalScope)
        and other.scope.level is scope.level
        and other.scope.interactions == scope.interactions
        and other.scope.resource_type != scope.resource_type
        and scope.resource_type.startswith(other.scope.resource_type)
    ]
    return min(bases, key=lambda one: len(one.resource_type)).text if bases else ""
