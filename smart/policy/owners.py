"""The search parameters that name whose records a search asks for (security-checklist G1, A3)."""

from enum import Enum, auto

from smart.policy.compartment import TABLE
from smart.policy.references import bases_of, is_id
from smart.policy.request import FhirInteraction, FhirRequest, SearchParameter


class Whom(Enum):
    """What a value names that is not one patient."""

    NO_PATIENT = auto()
    UNTOLD = auto()


def names_of(resource_type: str | None) -> tuple[str, ...]:
    """The parameters of a type that name its owner; the first is the one the gateway sets."""
    row = TABLE.get(resource_type or "")
    return row.search if row else ()


def parameters_of(request: FhirRequest) -> tuple[SearchParameter, ...]:
    """The parameters of a search that name an owner."""
    names = names_of(request.resource_type)
    return tuple(one for one in request.parameters if one.name in names)


def whom(parameter: SearchParameter, value: str, base: str) -> str | Whom:
    """The id of the patient that one value of an owner parameter names (`base` is ours)."""
    if parameter.chain is not None:
        return Whom.UNTOLD
    typed = parameter.modifier
    if parameter.name == "_id":
        return value if typed is None and is_id(value) else Whom.UNTOLD
    if typed is not None and not typed[:1].isupper():
        return Whom.UNTOLD
    if "/" not in value:
        value = f"{typed or 'Patient'}/{value}"
    key = bases_of(base).resolve(value)
    if key is None or (typed is not None and key[0] != typed):
        return Whom.UNTOLD
    return key[1] if key[0] == "Patient" else Whom.NO_PATIENT


def named_by(request: FhirRequest, base: str) -> frozenset[str | Whom]:
    """All that a search's owner parameters name."""
    return frozenset(
        whom(parameter, value, base)
        for parameter in parameters_of(request)
        for value in parameter.values
    )


def patient_parameter(resource_type: str, patient: str) -> SearchParameter:
    """The parameter that limits a search of a type to one patient.

    A bare id is enough where only a Patient fits; elsewhere the type is said.
    """
    name = names_of(resource_type)[0]
    bare = name in ("_id", "patient")
    return SearchParameter(name, (patient if bare else f"Patient/{patient}",))


def patients_named(request: FhirRequest, base: str) -> tuple[str, ...]:
    """Ids of the patients a request itself names, in order, each once (A3).

    By URL, by Patient's `_id`, and by the parameters that name an owner. What is no id is nobody;
    `:not` names somebody too.
    """
    if request.resource_type == "Patient" and request.resource_id:
        return (request.resource_id,)
    found = (
        _patient_id(one, value, base)
        for one in parameters_of(request)
        if one.chain is None
        for value in one.values
    )
    return tuple(dict.fromkeys(one for one in found if one))


def as_type_search(request: FhirRequest) -> FhirRequest:
    """A search of a patient's compartment as the search of its type that means the same (G30).

    FHIR R4 search 3.1.1.1 (`Patient/[id]/[type]`). Of other compartments, of all types, and of
    types that no parameter limits to a patient the request stays as it is.
    """
    kind, target = request.resource_type, request.target_type
    is_patients = request.interaction is FhirInteraction.COMPARTMENT_SEARCH and kind == "Patient"
    if not is_patients or request.resource_id is None or not target or not names_of(target):
        return request
    return FhirRequest(
        FhirInteraction.SEARCH_TYPE,
        target,
        parameters=(patient_parameter(target, request.resource_id), *request.parameters),
        is_head=request.is_head,
    )


def _patient_id(parameter: SearchParameter, value: str, base: str) -> str | None:
    if parameter.modifier not in (None, "not", "Patient"):
        return None
    if is_id(value):
        return value
    key = bases_of(base).resolve(value)
    return key[1] if key and key[0] == "Patient" else None
