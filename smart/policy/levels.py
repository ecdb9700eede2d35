"""At which levels a request is covered by its scopes, `patient/` and `user/` (SCOP-14, SCOP-15).

A request is judged at each level by itself, and a resource leaves when one of them lets it: no
scope of one level ever widens what the other means (G42, G47).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from smart.policy.facts import Facts, Reach
from smart.policy.request import FhirInteraction, FhirRequest
from smart.scopes import match
from smart.scopes.syntax import ClinicalScope, Interaction, Level, Scope

#: The scope letters an interaction needs, all of them on its type (SCOP-03 to SCOP-07, SCOP-26).
#: A batch has no scope of its own (SCOP-18).
_LETTERS: Final = {
    interaction: tuple(Interaction(letter) for letter in letters)
    for interaction, letters in {
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
    }.items()
}


@dataclass(frozen=True, slots=True)
class Levels:
    """The scopes that cover a request: `patient/` ones with the patient they are for, and `user/`
    ones with whom that user may open. Empty scopes mean: not covered at that level."""

    patient: str | None
    patient_scopes: tuple[ClinicalScope, ...]
    reach: Reach
    user_scopes: tuple[ClinicalScope, ...]

    @property
    def scopes(self) -> tuple[ClinicalScope, ...]:
        """All scopes that cover the request."""
        return (*self.patient_scopes, *self.user_scopes)


def letters(request: FhirRequest) -> tuple[Interaction, ...]:
    """The scope letters a request needs on its type."""
    return _LETTERS.get(request.interaction, ())


def covers(scopes: Iterable[Scope], request: FhirRequest, level: Level) -> bool:
    """Whether scopes of a level give every letter the request needs on its type."""
    resource_type = request.target_type or request.resource_type
    needed = letters(request)
    if resource_type is None or not needed:
        return False
    for one in needed:  # noqa: SIM110 - asked ten times a request, a generator costs more
        if not match.covering(scopes, resource_type, one, level):
            return False
    return True


def by_user(facts: Facts) -> bool:
    """Whether `user/` scopes cover the request, and somebody stands behind them."""
    return facts.reach is not None and covers(facts.scopes, facts.request, Level.USER)


def by_patient(facts: Facts) -> bool:
    """Whether `patient/` scopes cover the request, and a patient is in context."""
    return facts.patient is not None and covers(facts.scopes, facts.request, Level.PATIENT)


def levels_of(facts: Facts) -> Levels:
    """The levels at which a request that needs one letter is covered."""
    request = facts.request
    resource_type = request.resource_type or ""
    (letter,) = letters(request)
    found = {
        level: match.covering(facts.scopes, resource_type, letter, level) if is_covered else ()
        for level, is_covered in (
            (Level.PATIENT, by_patient(facts)),
            (Level.USER, by_user(facts)),
        )
    }
    reach = facts.reach or Reach()
    return Levels(facts.patient, found[Level.PATIENT], reach, found[Level.USER])
