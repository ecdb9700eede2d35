"""The rules for searches (security-checklist G1, G3, G5, G6, G47).

In a `patient/` scope a search names no patient but the one in context; in a `user/` scope it names
its patients one by one, unless the user may open every record. It never crosses a reference into
another resource.
"""

from typing import Final

from smart.policy import owners
from smart.policy.compartment import TABLE
from smart.policy.facts import Deny, Facts
from smart.policy.levels import by_patient, by_user
from smart.policy.owners import Whom
from smart.policy.request import FhirInteraction, SearchParameter
from smart.policy.search_parameters import (
    RESULT_PARAMETERS,
    UNBOUNDED_MODIFIERS,
    UNBOUNDED_PARAMETERS,
    definitions,
)

_NOT_OFFERED: Final = frozenset({"_contained", "_containedType"})
#: What every server has to know, listed or not (FHIR R4 search 3.1.1.5.1).
_ALWAYS_SUPPORTED: Final = frozenset({"_id", "_lastUpdated"})


def search_is_bounded(facts: Facts) -> Deny | None:
    """403 for chains and for searches whose reach cannot be judged (G3, G5, G47)."""
    for parameter in _searched(facts):
        if parameter.chain or parameter.name == "_has":
            return Deny(
                403,
                "search.chain",
                f"{parameter.key} searches through other resources.",
                "forbidden",
                "Search by parameters of the type itself.",
            )
        if parameter.name in UNBOUNDED_PARAMETERS or parameter.modifier in UNBOUNDED_MODIFIERS:
            return Deny(
                403,
                "search.unbounded",
                f"{parameter.key} is not allowed here.",
                "forbidden",
                "Search by the type's own parameters, without terminology modifiers.",
            )
    return None


def result_is_offered(facts: Facts) -> Deny | None:
    """Refuses results the gateway cannot judge (G12) and sorts by what is not listed (G5)."""
    listed = definitions().get(facts.request.resource_type or "", {})
    for parameter in _searched(facts):
        if parameter.name in _NOT_OFFERED:
            return Deny(
                400,
                "search.result",
                f"This server does not offer {parameter.name}.",
                "not-supported",
                f"Offered are: {', '.join(sorted(RESULT_PARAMETERS - _NOT_OFFERED))}.",
            )
        if parameter.name == "_sort":
            unlisted = [key for key in parameter.values if key.removeprefix("-") not in listed]
            if unlisted:
                return Deny(
                    403,
                    "search.sort",
                    f"Sorting by {', '.join(unlisted)} is not allowed.",
                    "forbidden",
                    "Sort by search parameters of the type.",
                )
    return None


def search_names_own_patient(facts: Facts) -> Deny | None:
    """403 when a parameter that names the patient could mean somebody not to be named (G1, G47).

    Whether a clinician may open the patients named is not said here: their records are as if they
    were not there.
    """
    if _opens_everyone(facts):
        return None
    named_at_all = by_user(facts)
    for parameter in owners.parameters_of(facts.request) if _searched(facts) else ():
        found = {owners.whom(parameter, value, facts.base) for value in parameter.values}
        found -= {Whom.NO_PATIENT, facts.patient}
        if found and (Whom.UNTOLD in found or not named_at_all):
            return Deny(
                403,
                "search.patient",
                f"{parameter.key} asks for another patient than the one in context."
                if not named_at_all
                else f"{parameter.key} does not name patients one by one.",
                "forbidden",
                f"Leave it out, or send {parameter.name}={facts.patient or '[id]'}.",
            )
    return None


def search_has_patients(facts: Facts) -> Deny | None:
    """403 for a clinician's search of everybody's records, where only some are theirs (G47)."""
    resource_type = facts.request.resource_type or ""
    if not _is_search(facts) or resource_type not in TABLE or resource_type == "Patient":
        return None
    if _opens_everyone(facts) or by_patient(facts) or facts.reach is None or facts.reach.own:
        return None
    named = owners.named_by(facts.request, facts.base)
    if any(isinstance(one, str) for one in named):
        return None
    name = owners.names_of(resource_type)[0]
    return Deny(
        403,
        "user.search",
        "This user may open some records only: a search has to name its patients.",
        "forbidden",
        f"Add {name}=[id].",
    )


def search_is_supported(facts: Facts) -> Deny | None:
    """400 for filters and sorts that the server behind does not list (rule c, G6).

    Servers ignore what they do not know: the answer would pass for one the filter held for. A
    server that lists nothing for a type is no exception, since nothing then tells which filters
    it would ignore.
    """
    filters = [
        one.name
        for one in _searched(facts)
        if one.name not in RESULT_PARAMETERS and not _is_set_here(one, facts)
    ]
    sorts = [key.removeprefix("-") for one in facts.request.named("_sort") for key in one.values]
    missing = [name for name in dict.fromkeys([*filters, *sorts]) if not is_supported(name, facts)]
    if not missing:
        return None
    resource_type = facts.request.resource_type
    known = sorted(facts.served.search_params - UNBOUNDED_PARAMETERS | _ALWAYS_SUPPORTED)
    return Deny(
        400,
        "search.supported",
        f"The FHIR server behind this one cannot search {resource_type} by {', '.join(missing)}.",
        "not-supported",
        f"It has: {', '.join(known)}.",
    )


def is_supported(name: str, facts: Facts) -> bool:
    """Whether the server behind can search the type by this parameter."""
    return name in facts.served.search_params or name in _ALWAYS_SUPPORTED


def _is_search(facts: Facts) -> bool:
    return facts.request.interaction is FhirInteraction.SEARCH_TYPE


def _searched(facts: Facts) -> tuple[SearchParameter, ...]:
    return facts.request.parameters if _is_search(facts) else ()


def _opens_everyone(facts: Facts) -> bool:
    return by_user(facts) and facts.reach is not None and facts.reach.is_unbounded


def _is_set_here(parameter: SearchParameter, facts: Facts) -> bool:
    """Whether the gateway itself says whose records: by the parameter every server must have."""
    if _opens_everyone(facts) or parameter not in owners.parameters_of(facts.request):
        return False
    return all(
        isinstance(owners.whom(parameter, value, facts.base), str) for value in parameter.values
    )
