"""Whose is a resource? The reviewed table of FHIR R4 types (security-checklist 4, rule d).

Not R4's CompartmentDefinition: that also lets authors, performers, recorders and payers own a
record that is about somebody else. Here only the paths of the subject of care own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from smart.policy.references import Bases, Key, Naming, is_id


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


_NO_ROW: Final = Row()
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
_NOBODY: Final[frozenset[str]] = frozenset()

#: Resources of one answer and the patients each of them is about.
Known = Mapping[Key, frozenset[str]]
_NONE_KNOWN: Final[Known] = {}


@dataclass(frozen=True, slots=True)
class Subjects:
    """The patients a resource names: as its owners, and beside them.

    `is_certain` is false where somebody is named who cannot be told: whoever that is, the
    resource is (also) theirs.
    """

    owners: frozenset[str] = _NOBODY
    others: frozenset[str] = _NOBODY
    is_certain: bool = True


def subjects_of(resource: dict[str, Any], bases: Bases, known: Known = _NONE_KNOWN) -> Subjects:
    """Whom a resource is about and whom it names beside; contained resources count too (G12).

    Provenance and Binary belong to whoever all their targets belong to, as far as those are
    `known` or are patients themselves.
    """
    resource_type = resource.get("resourceType")
    local = _contained_types(resource)
    contained = _in_contained(resource, bases, local)
    if resource_type == "Patient":
        own, guards = {resource["id"]} if is_id(resource.get("id")) else {Naming.UNTOLD}, set()
    else:
        row = TABLE.get(resource_type) if isinstance(resource_type, str) else None
        row = row or _NO_ROW
        own = _named(resource, row.owners, bases, local)
        guards = _named(resource, row.guards, bases, local)
        if row.targets:
            own |= _of_targets(resource, row, bases, known)
    return Subjects(
        owners=frozenset(one for one in own if isinstance(one, str)),
        others=frozenset(one for one in guards | contained if isinstance(one, str)),
        is_certain=Naming.UNTOLD not in own | guards | contained,
    )


def needed_patients(
    resource: dict[str, Any], bases: Bases, known: Known = _NONE_KNOWN
) -> frozenset[str] | None:
    """The patients whose records must all be open for this resource to leave.

    None where it may never leave: of a type that is no part of a record, about nobody, or about
    somebody who cannot be told. Empty for the types of the read list, unless they name patients.
    """
    resource_type = resource.get("resourceType")
    if not isinstance(resource_type, str):
        return None
    found = subjects_of(resource, bases, known)
    if not found.is_certain or (resource_type in TABLE and not found.owners):
        return None
    if resource_type not in TABLE and resource_type not in READ_LIST:
        return None
    return found.owners | found.others


def contains_nobody_else(resource: dict[str, Any], patient: str, bases: Bases) -> bool:
    """Whether no contained resource is, or is about, another patient (G12)."""
    return _in_contained(resource, bases, _contained_types(resource)) <= {patient}


def targets_of(resource: object, bases: Bases) -> frozenset[Key]:
    """What a resource points to, if it is of a type that belongs by that; as far as it is here."""
    if not isinstance(resource, dict):
        return frozenset()
    resource_type = resource.get("resourceType")
    if not isinstance(resource_type, str) or resource_type not in BY_TARGETS:
        return frozenset()
    row = TABLE[resource_type]
    found = (_target(value, bases) for path in row.targets for value in _values(resource, path))
    return frozenset(key for key in found if key is not None)


_Named = set[str | Naming]


def _named(
    resource: dict[str, Any], paths: tuple[str, ...], bases: Bases, local: dict[str, str]
) -> _Named:
    found = {
        bases.patient_named(reference, local)
        for path in paths
        for reference in _values(resource, path)
    }
    return found - {Naming.NOBODY}


def _of_targets(resource: dict[str, Any], row: Row, bases: Bases, known: Known) -> _Named:
    """The patients of all targets; nobody where one of them is not known."""
    found: _Named = set()
    for target in (value for path in row.targets for value in _values(resource, path)):
        key = _target(target, bases)
        if key is None or (key[0] != "Patient" and key not in known):
            return set()
        found |= {key[1]} if key[0] == "Patient" else known[key]
    return found


def _target(reference: object, bases: Bases) -> Key | None:
    literal = reference.get("reference") if isinstance(reference, dict) else None
    return bases.resolve(literal) if isinstance(literal, str) else None


def _contained_types(resource: dict[str, Any]) -> dict[str, str]:
    contained = resource.get("contained")
    if not isinstance(contained, list):
        return {}
    return {
        str(item.get("id")): str(item.get("resourceType"))
        for item in contained
        if isinstance(item, dict)
    }


def _in_contained(resource: dict[str, Any], bases: Bases, local: dict[str, str]) -> _Named:
    """The patients that contained resources name."""
    contained = resource.get("contained")
    if contained is None:
        return set()
    if not isinstance(contained, list):
        return {Naming.UNTOLD}
    return set().union(*(_in_item(item, bases, local) for item in contained))


def _in_item(item: object, bases: Bases, local: dict[str, str]) -> _Named:
    """A contained Patient is somebody's own record under a local id: never let it out."""
    if not isinstance(item, dict) or "contained" in item:
        return {Naming.UNTOLD}
    resource_type = item.get("resourceType")
    if not isinstance(resource_type, str) or resource_type == "Patient" or resource_type in CLOSED:
        return {Naming.UNTOLD}
    row = TABLE.get(resource_type)
    return _named(item, (*row.owners, *row.guards), bases, local) if row else set()


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
