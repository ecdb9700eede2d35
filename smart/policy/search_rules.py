"""The rules for searches, and the search that is sent on (security-checklist G1-G5, G15, G52).

In a `patient/` scope a search names no patient but the one in context, crosses no reference into
another resource, and carries the patient as a filter whether or not the app set one.
"""

from dataclasses import replace
from enum import Enum, auto
from typing import Final

from smart.policy.compartment import TABLE
from smart.policy.facts import Deny, Facts
from smart.policy.references import bases_of, is_id
from smart.policy.request import FhirInteraction, FhirRequest, SearchParameter
from smart.policy.search_parameters import (
    RESULT_PARAMETERS,
    UNBOUNDED_MODIFIERS,
    UNBOUNDED_PARAMETERS,
    definitions,
    find,
)
from smart.scopes.syntax import ClinicalScope

#: Largest page asked of the upstream server (G52).
MAX_COUNT: Final = 200
_SHAPING: Final = frozenset(
    {"_contained", "_containedType", "_elements", "_include", "_revinclude", "_summary"}
)


#: What every server has to know, listed or not (FHIR R4 search 3.1.1.5.1).
_ALWAYS_SUPPORTED: Final = frozenset({"_id", "_lastUpdated"})


class _Value(Enum):
    OWN = auto()
    NO_PATIENT = auto()
    FOREIGN = auto()


def search_is_bounded(facts: Facts) -> Deny | None:
    """403 for chains and for searches whose reach cannot be judged (G3, G5)."""
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
                f"{parameter.key} is not allowed in patient/ scopes.",
                "forbidden",
                "Search by the type's own parameters, without terminology modifiers.",
            )
    return None


def result_is_offered(facts: Facts) -> Deny | None:
    """Refuses results the gateway cannot judge or recount (G4, G14, G15), unlisted sorts (G5)."""
    listed = definitions().get(facts.request.resource_type or "", {})
    for parameter in _searched(facts):
        if parameter.name in _SHAPING:
            return Deny(
                400,
                "search.result",
                f"This server does not offer {parameter.name}.",
                "not-supported",
                "Offered are: _count, _sort and _total.",
            )
        if parameter.name == "_count" and int(parameter.text) == 0:
            return Deny(
                403,
                "search.count",
                "A count without its resources cannot be judged.",
                "forbidden",
                f"_count is 1 to {MAX_COUNT}.",
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
    """403 when a parameter that names the patient could mean anyone else (G1)."""
    for parameter in _searched(facts):
        if parameter.name not in _owner_names(facts.request):
            continue
        kinds = {_classify(parameter, value, facts) for value in parameter.values}
        if _Value.FOREIGN in kinds:
            return Deny(
                403,
                "search.patient",
                f"{parameter.key} asks for another patient than the one in context.",
                "forbidden",
                f"Leave it out, or send {parameter.name}={facts.patient}.",
            )
    return None


def search_is_supported(facts: Facts) -> Deny | None:
    """400 for filters and sorts that the server behind does not list (rule c, G6).

    Servers ignore what they do not know: the answer would pass for one the filter held for. A
    server that lists nothing for a type is no exception, since nothing then tells which filters
    it would ignore.
    """
    owners = _owner_names(facts.request)
    filters = [
        one.name
        for one in _searched(facts)
        if one.name not in RESULT_PARAMETERS and not _is_own(one, owners, facts)
    ]
    sorts = [key.removeprefix("-") for one in facts.request.named("_sort") for key in one.values]
    missing = [name for name in dict.fromkeys([*filters, *sorts]) if not _is_supported(name, facts)]
    if not missing:
        return None
    resource_type = facts.request.resource_type
    known = sorted(facts.supported - UNBOUNDED_PARAMETERS | _ALWAYS_SUPPORTED)
    return Deny(
        400,
        "search.supported",
        f"The FHIR server behind this one cannot search {resource_type} by {', '.join(missing)}.",
        "not-supported",
        f"It has: {', '.join(known)}.",
    )


def bounded_search(facts: Facts, scopes: tuple[ClinicalScope, ...]) -> FhirRequest:
    """The search that is sent upstream: patient and scopes set (G2, G42), the page clamped (G52).

    Call only when every rule passed, with the scopes that cover the search. `_total` is a wish the
    gateway answers by its own count.
    """
    request = facts.request
    owners = _owner_names(request)
    kept = [
        _rewritten(parameter, facts)
        for parameter in request.parameters
        if parameter.name != "_total" and not _is_own(parameter, owners, facts)
    ]
    granted = [one for one in granted_filter(request, scopes) if _is_supported(one.name, facts)]
    set_here = (_injected(owners[0], facts.patient or ""), *granted)
    # Without a wish the page is the largest: servers' own defaults are as small as ten.
    size = () if request.named("_count") else (SearchParameter("_count", (str(MAX_COUNT),)),)
    return replace(request, parameters=(*set_here, *kept, *size))


def granted_filter(
    request: FhirRequest, scopes: tuple[ClinicalScope, ...]
) -> tuple[SearchParameter, ...]:
    """What granular scopes have in common, as a filter (GRAN-02).

    The gate judges every resource all the same. But without the filter a page would be cut short
    by records that then do not show, and whether it was would tell that they are there (G15).
    That is the price where the server behind does not know a parameter: it is then not sent.
    """
    granted = list(dict.fromkeys(scope.constraints for scope in scopes))
    if len(granted) == 1:
        found = [SearchParameter(one.parameter, (one.decoded,)) for one in granted[0]]
    else:
        values = [{one.parameter: one.decoded for one in each} for each in granted]
        shared = [name for name in values[0] if all(name in each for each in values)]
        found = [SearchParameter(name, tuple(each[name] for each in values)) for name in shared]
    return tuple(one for one in found if find(request.resource_type or "", one.name))


def patients_named(request: FhirRequest, base: str) -> tuple[str, ...]:
    """Ids of the patients a request itself names, in order, each once (A3).

    By URL, by Patient's `_id`, and by the parameters that name an owner. What is no id is nobody.
    """
    if request.resource_type == "Patient" and request.resource_id:
        return (request.resource_id,)
    owners = _owner_names(request)
    found = (
        _patient_id(one, value, base)
        for one in request.parameters
        if one.name in owners and one.chain is None
        for value in one.values
    )
    return tuple(dict.fromkeys(one for one in found if one))


def _patient_id(parameter: SearchParameter, value: str, base: str) -> str | None:
    if parameter.modifier not in (None, "not", "Patient"):
        return None
    if is_id(value):
        return value
    key = bases_of(base).resolve(value)
    return key[1] if key and key[0] == "Patient" else None


def _searched(facts: Facts) -> tuple[SearchParameter, ...]:
    is_search = facts.request.interaction is FhirInteraction.SEARCH_TYPE
    return facts.request.parameters if is_search else ()


def _is_supported(name: str, facts: Facts) -> bool:
    return name in facts.supported or name in _ALWAYS_SUPPORTED


def _owner_names(request: FhirRequest) -> tuple[str, ...]:
    row = TABLE.get(request.resource_type or "")
    return row.search if row else ()


def _injected(name: str, patient: str) -> SearchParameter:
    """A bare id is enough where only a Patient fits; elsewhere the type is said."""
    bare = name in ("_id", "patient")
    return SearchParameter(name, (patient if bare else f"Patient/{patient}",))


def _is_own(parameter: SearchParameter, owners: tuple[str, ...], facts: Facts) -> bool:
    return parameter.name in owners and all(
        _classify(parameter, value, facts) is _Value.OWN for value in parameter.values
    )


def _classify(parameter: SearchParameter, value: str, facts: Facts) -> _Value:
    if parameter.name == "_id":
        own = parameter.modifier is None and value == facts.patient
        return _Value.OWN if own else _Value.FOREIGN
    typed = parameter.modifier
    if typed is not None and not typed[:1].isupper():
        return _Value.FOREIGN
    if "/" not in value:
        value = f"{typed or 'Patient'}/{value}"
    key = bases_of(facts.base).resolve(value)
    if key is None or (typed is not None and key[0] != typed):
        return _Value.FOREIGN
    if key[0] != "Patient":
        return _Value.NO_PATIENT
    return _Value.OWN if key[1] == facts.patient else _Value.FOREIGN


def _rewritten(parameter: SearchParameter, facts: Facts) -> SearchParameter:
    """Page size clamped; references on our own base made relative, as the upstream knows them."""
    if parameter.name == "_count":
        return replace(parameter, values=(str(min(int(parameter.text), MAX_COUNT)),))
    definition = find(facts.request.resource_type or "", parameter.name)
    if definition is None or definition.type != "reference":
        return parameter
    prefix = facts.base.rstrip("/") + "/"
    return replace(
        parameter, values=tuple(value.removeprefix(prefix) for value in parameter.values)
    )
