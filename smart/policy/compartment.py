"""Whose is a resource? The reviewed table of FHIR R4 types (security-checklist 4, rule d).

Not R4's CompartmentDefinition: that also lets authors, performers, recorders and payers own a
record that is about somebody else. Here only the paths of the subject of care own.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from smart.policy.references import Bases, Key, Naming, Viewpoint


class Ownership(Enum):
    """Whose a resource is: the patient's, (also) another patient's, or no patient's."""

    OWN = auto()
    FOREIGN = auto()
    NONE = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """How a type belongs to a patient.

    `owners`: at least one of them names the patient and none another patient.
    `guards`: do not make it the patient's, but must not name another patient.
    `targets`: every one must be a resource already known to be the patient's.
    `search`: the search parameters that name an owner; the first is the one the gateway sets.
    A path's `name+` means that element and the same element nested in it at any depth.
    """

    owners: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


_PATIENT: Final = Row(("patient",), search=("patient",))
_SUBJECT: Final = Row(("subject",), search=("patient", "subject"))

#: Types that can belong to a patient. Patient itself belongs to the patient of the same id.
TABLE: Final[dict[str, Row]] = {
    **dict.fromkeys(
        (
            "AllergyIntolerance",
            "BodyStructure",
            "Claim",
            "ClaimResponse",
            "Consent",
            "CoverageEligibilityRequest",
            "CoverageEligibilityResponse",
            "DetectedIssue",
            "Device",
            "EpisodeOfCare",
            "ExplanationOfBenefit",
            "FamilyMemberHistory",
            "Immunization",
            "ImmunizationEvaluation",
            "ImmunizationRecommendation",
            "MolecularSequence",
            "NutritionOrder",
            "RelatedPerson",
            "SupplyDelivery",
            "VisionPrescription",
        ),
        _PATIENT,
    ),
    **dict.fromkeys(
        (
            "Account",
            "CarePlan",
            "CareTeam",
            "ChargeItem",
            "ClinicalImpression",
            "Communication",
            "CommunicationRequest",
            "Condition",
            "DeviceRequest",
            "DeviceUseStatement",
            "DiagnosticReport",
            "Encounter",
            "Flag",
            "Goal",
            "GuidanceResponse",
            "ImagingStudy",
            "Invoice",
            "Media",
            "MedicationAdministration",
            "MedicationDispense",
            "MedicationRequest",
            "MedicationStatement",
            "Observation",
            "Procedure",
            "RequestGroup",
            "RiskAssessment",
            "ServiceRequest",
            "Specimen",
        ),
        _SUBJECT,
    ),
    "AdverseEvent": Row(("subject",), search=("subject",)),
    "Appointment": Row(("participant.actor",), search=("patient", "actor")),
    "AppointmentResponse": Row(("actor",), search=("patient", "actor")),
    "Basic": _SUBJECT,
    "Binary": Row(targets=("securityContext",)),
    "Composition": Row(
        ("subject",),
        guards=("section+.entry", "section+.focus", "event.detail"),
        search=("patient", "subject"),
    ),
    "Coverage": Row(("beneficiary",), search=("patient", "beneficiary")),
    "DocumentManifest": Row(
        ("subject",), guards=("content", "related.ref"), search=("patient", "subject")
    ),
    "DocumentReference": Row(
        ("subject",), guards=("context.sourcePatientInfo",), search=("patient", "subject")
    ),
    "EnrollmentRequest": Row(("candidate",), search=("patient", "subject")),
    "List": Row(("subject",), guards=("source", "entry.item"), search=("patient", "subject")),
    "MeasureReport": Row(
        ("subject",), guards=("evaluatedResource",), search=("patient", "subject")
    ),
    "Provenance": Row(targets=("target",), search=("patient",)),
    "QuestionnaireResponse": Row(
        ("subject",),
        guards=("source", "item+.answer.valueReference"),
        search=("patient", "subject"),
    ),
    "ResearchSubject": Row(("individual",), search=("patient", "individual")),
    "SupplyRequest": Row(("deliverTo",), search=("subject",)),
    "Task": Row(("for",), search=("patient", "subject")),
    "Patient": Row(search=("_id",)),
}

#: Types that belong to whoever their targets belong to.
BY_TARGETS: Final = frozenset(name for name, row in TABLE.items() if row.targets)
#: Outside every compartment, yet readable by id where granted (G32, RSVR-19).
READ_LIST: Final = frozenset(
    {"Location", "Medication", "Organization", "Practitioner", "PractitionerRole"}
)
#: May tell about several people and never leave in a `patient/` scope, contained neither.
CLOSED: Final = frozenset(
    {
        "AuditEvent",
        "BiologicallyDerivedProduct",
        "Bundle",
        "Contract",
        "EnrollmentResponse",
        "Group",
        "Linkage",
        "MessageHeader",
        "Parameters",
        "PaymentNotice",
        "PaymentReconciliation",
        "Person",
        "Schedule",
        "Slot",
        "Subscription",
        "TestReport",
        "VerificationResult",
    }
)

_NESTED: Final = {"item": ("item", "answer"), "section": ("section",)}
_NONE_KNOWN: Final[frozenset[Key]] = frozenset()


def owner_check(
    resource: dict[str, Any], patient: str, bases: Bases, known: Collection[Key] = _NONE_KNOWN
) -> Ownership:
    """Whose this resource is, seen from `patient` (a Patient id).

    `known` are resources already judged the patient's; Provenance and Binary need them, since
    they belong to whoever their targets belong to.
    """
    resource_type = resource.get("resourceType")
    if resource_type == "Patient":
        is_own = resource.get("id") == patient and contains_nobody_else(resource, patient, bases)
        return Ownership.OWN if is_own else Ownership.FOREIGN
    row = TABLE.get(resource_type) if isinstance(resource_type, str) else None
    if row is None:
        return Ownership.NONE
    view = Viewpoint(patient, bases)
    local = _contained_types(resource)
    owners = _namings(resource, row.owners, view, local)
    if (
        Naming.OTHER in owners
        or Naming.OTHER in _namings(resource, row.guards, view, local)
        or not _contained_is_clean(resource, view, local)
    ):
        return Ownership.FOREIGN
    is_own = _targets_known(resource, row, view, known) if row.targets else Naming.SELF in owners
    return Ownership.OWN if is_own else Ownership.NONE


def contains_nobody_else(resource: dict[str, Any], patient: str, bases: Bases) -> bool:
    """Whether no contained resource is, or is about, another patient (G12)."""
    return _contained_is_clean(resource, Viewpoint(patient, bases), _contained_types(resource))


def _namings(
    resource: dict[str, Any], paths: tuple[str, ...], view: Viewpoint, local: dict[str, str]
) -> set[Naming]:
    return {
        view.naming(reference, local) for path in paths for reference in _values(resource, path)
    }


def _targets_known(
    resource: dict[str, Any], row: Row, view: Viewpoint, known: Collection[Key]
) -> bool:
    targets = [value for path in row.targets for value in _values(resource, path)]
    return bool(targets) and all(_is_known(target, view, known) for target in targets)


def _is_known(reference: object, view: Viewpoint, known: Collection[Key]) -> bool:
    literal = reference.get("reference") if isinstance(reference, dict) else None
    key = view.bases.resolve(literal) if isinstance(literal, str) else None
    return key is not None and (key == ("Patient", view.patient) or key in known)


def _contained_types(resource: dict[str, Any]) -> dict[str, str]:
    contained = resource.get("contained")
    if not isinstance(contained, list):
        return {}
    return {
        str(item.get("id")): str(item.get("resourceType"))
        for item in contained
        if isinstance(item, dict)
    }


def _contained_is_clean(resource: dict[str, Any], view: Viewpoint, local: dict[str, str]) -> bool:
    contained = resource.get("contained")
    if contained is None:
        return True
    if not isinstance(contained, list):
        return False
    return all(_item_is_clean(item, view, local) for item in contained)


def _item_is_clean(item: object, view: Viewpoint, local: dict[str, str]) -> bool:
    """A contained Patient is somebody's own record under a local id: never let it out."""
    if not isinstance(item, dict) or "contained" in item:
        return False
    resource_type = item.get("resourceType")
    if not isinstance(resource_type, str) or resource_type == "Patient" or resource_type in CLOSED:
        return False
    row = TABLE.get(resource_type)
    if row is None:
        return True
    return Naming.OTHER not in _namings(item, (*row.owners, *row.guards), view, local)


def _values(node: dict[str, Any], path: str) -> Iterator[object]:
    """Every value at a path, lists flattened. A node that is no object is yielded as it is,
    so that a malformed resource never passes for one that names nobody."""
    name, _, rest = path.partition(".")
    found = _nested(node, name[:-1]) if name.endswith("+") else _items(node, name)
    for value in found:
        if rest and isinstance(value, dict):
            yield from _values(value, rest)
        else:
            yield value


def _items(node: dict[str, Any], name: str) -> Iterator[object]:
    value = node.get(name)
    if isinstance(value, list):
        yield from value
    elif value is not None:
        yield value


def _nested(node: dict[str, Any], name: str) -> Iterator[object]:
    waiting: list[object] = list(_items(node, name))
    while waiting:
        value = waiting.pop()
        if not isinstance(value, dict):
            yield value
            continue
        yield value
        for inner in _NESTED[name]:
            waiting.extend(_items(value, inner))
