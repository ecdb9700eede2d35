"""Token search parameters a granular scope may use, per type, with the elements they search.

From the search parameters of FHIR R4 (4.0.1), for the types of a patient's record and those
around it. What is not listed here is not supported: such a scope is left out (GRAN-09).
"""

from collections import defaultdict
from collections.abc import Iterable
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, NamedTuple


class Kind(Enum):
    """The FHIR data type of an element, which says where its system and code are."""

    CODE = auto()
    CODING = auto()
    CONCEPT = auto()
    IDENTIFIER = auto()


class Element(NamedTuple):
    """Where a parameter looks: the member names from the resource down, and what is there."""

    path: tuple[str, ...]
    kind: Kind


_TABLE: Final = (
    (
        "category",
        Kind.CONCEPT,
        "category",
        """
        AdverseEvent CarePlan CareTeam Communication CommunicationRequest Composition Condition
        Consent DiagnosticReport DocumentReference Goal MedicationRequest MedicationStatement
        Observation Procedure ResearchStudy ServiceRequest Substance SupplyRequest
        """,
    ),
    ("category", Kind.CODE, "category", "AllergyIntolerance"),
    (
        "code",
        Kind.CONCEPT,
        "code",
        """
        AllergyIntolerance Basic ChargeItem Condition DetectedIssue DiagnosticReport Group List
        Medication Observation Procedure RequestGroup ServiceRequest Substance Task
        """,
    ),
    (
        "code",
        Kind.CONCEPT,
        "medicationCodeableConcept",
        "MedicationAdministration MedicationDispense MedicationRequest MedicationStatement",
    ),
    ("code", Kind.CONCEPT, "codeCodeableConcept", "DeviceRequest"),
    ("code", Kind.CONCEPT, "condition.code", "FamilyMemberHistory"),
    ("code", Kind.CONCEPT, "ingredient.substanceCodeableConcept", "Substance"),
    ("code", Kind.CONCEPT, "reaction.substance", "AllergyIntolerance"),
    (
        "status",
        Kind.CODE,
        "status",
        """
        Account Appointment CarePlan CareTeam Claim ClaimResponse ClinicalImpression
        Communication CommunicationRequest Composition Consent Contract Coverage
        CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device
        DeviceRequest DiagnosticReport DocumentManifest DocumentReference Encounter
        EnrollmentRequest EpisodeOfCare ExplanationOfBenefit FamilyMemberHistory ImagingStudy
        Immunization ImmunizationEvaluation Invoice List Location MeasureReport Media Medication
        MedicationAdministration MedicationDispense MedicationRequest MedicationStatement
        NutritionOrder Observation Procedure QuestionnaireResponse RequestGroup ResearchStudy
        ResearchSubject ServiceRequest Slot Specimen Substance SupplyDelivery SupplyRequest Task
        VisionPrescription
        """,
    ),
    ("status", Kind.CONCEPT, "recommendation.forecastStatus", "ImmunizationRecommendation"),
    ("clinical-status", Kind.CONCEPT, "clinicalStatus", "AllergyIntolerance Condition"),
    ("verification-status", Kind.CONCEPT, "verificationStatus", "AllergyIntolerance Condition"),
    (
        "type",
        Kind.CONCEPT,
        "type",
        """
        Account Composition Coverage Device DocumentManifest DocumentReference Encounter
        EpisodeOfCare Invoice Location Media MedicationDispense Organization Specimen
        """,
    ),
    ("type", Kind.CODE, "type", "AllergyIntolerance Group MolecularSequence"),
    ("type", Kind.CODING, "type", "AuditEvent"),
    ("subtype", Kind.CODING, "subtype", "AuditEvent"),
    ("class", Kind.CODING, "class", "Encounter"),
    (
        "intent",
        Kind.CODE,
        "intent",
        "CarePlan DeviceRequest MedicationRequest RequestGroup ServiceRequest Task",
    ),
    ("lifecycle-status", Kind.CODE, "lifecycleStatus", "Goal"),
    ("achievement-status", Kind.CONCEPT, "achievementStatus", "Goal"),
    (
        "priority",
        Kind.CODE,
        "priority",
        "CommunicationRequest MedicationRequest RequestGroup ServiceRequest Task",
    ),
    ("priority", Kind.CONCEPT, "priority", "Claim"),
    ("criticality", Kind.CODE, "criticality", "AllergyIntolerance"),
    ("severity", Kind.CONCEPT, "severity", "AdverseEvent Condition"),
    ("severity", Kind.CODE, "reaction.severity", "AllergyIntolerance"),
    ("vaccine-code", Kind.CONCEPT, "vaccineCode", "Immunization"),
    ("combo-code", Kind.CONCEPT, "code", "Observation"),
    ("combo-code", Kind.CONCEPT, "component.code", "Observation"),
    ("component-code", Kind.CONCEPT, "component.code", "Observation"),
    ("value-concept", Kind.CONCEPT, "valueCodeableConcept", "Observation"),
    ("body-site", Kind.CONCEPT, "bodySite", "Condition ServiceRequest"),
    ("security-label", Kind.CONCEPT, "securityLabel", "DocumentReference"),
    ("security-label", Kind.CODING, "provision.securityLabel", "Consent"),
    ("setting", Kind.CONCEPT, "context.practiceSetting", "DocumentReference"),
    ("facility", Kind.CONCEPT, "context.facilityType", "DocumentReference"),
    ("event", Kind.CONCEPT, "context.event", "DocumentReference"),
    ("event", Kind.CONCEPT, "event", "AdverseEvent"),
    (
        "identifier",
        Kind.IDENTIFIER,
        "identifier",
        """
        Account AllergyIntolerance Appointment AppointmentResponse Basic BodyStructure CarePlan
        CareTeam ChargeItem Claim ClaimResponse ClinicalImpression Communication
        CommunicationRequest Composition Condition Consent Contract Coverage
        CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device
        DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference
        Encounter EnrollmentRequest EpisodeOfCare ExplanationOfBenefit FamilyMemberHistory Flag
        Goal Group HealthcareService ImagingStudy Immunization ImmunizationEvaluation
        ImmunizationRecommendation Invoice List Location MeasureReport Media Medication
        MedicationAdministration MedicationDispense MedicationRequest MedicationStatement
        MolecularSequence NutritionOrder Observation Organization Patient Person Practitioner
        PractitionerRole Procedure QuestionnaireResponse RelatedPerson RequestGroup
        ResearchStudy ResearchSubject RiskAssessment Schedule ServiceRequest Slot Specimen
        Substance SupplyDelivery SupplyRequest Task VisionPrescription
        """,
    ),
    ("identifier", Kind.IDENTIFIER, "masterIdentifier", "DocumentManifest DocumentReference"),
    ("conclusion", Kind.CONCEPT, "conclusionCode", "DiagnosticReport"),
    ("scope", Kind.CONCEPT, "scope", "Consent"),
    ("service-category", Kind.CONCEPT, "serviceCategory", "Appointment Schedule Slot"),
    ("service-category", Kind.CONCEPT, "category", "HealthcareService"),
    ("service-type", Kind.CONCEPT, "serviceType", "Appointment Schedule Slot"),
    ("service-type", Kind.CONCEPT, "type", "HealthcareService"),
    (
        "specialty",
        Kind.CONCEPT,
        "specialty",
        "Appointment HealthcareService PractitionerRole Schedule Slot",
    ),
    ("modality", Kind.CONCEPT, "modality", "Media"),
    ("modality", Kind.CODING, "series.modality", "ImagingStudy"),
    ("confidentiality", Kind.CODE, "confidentiality", "Composition"),
)

#: Parameters of every resource type, so also of `*`.
_COMMON: Final = (
    ("_tag", Kind.CODING, "meta.tag"),
    ("_security", Kind.CODING, "meta.security"),
)


def _index() -> dict[tuple[str, str], tuple[Element, ...]]:
    found: defaultdict[tuple[str, str], tuple[Element, ...]] = defaultdict(tuple)
    for parameter, kind, path, types in _TABLE:
        for resource_type in types.split():
            found[resource_type, parameter] += (Element(tuple(path.split(".")), kind),)
    return dict(found)


_BY_TYPE: Final = MappingProxyType(_index())
_FOR_ALL: Final = MappingProxyType(
    {name: (Element(tuple(path.split(".")), kind),) for name, kind, path in _COMMON}
)


def elements(resource_type: str, parameter: str) -> Iterable[Element]:
    """The elements a token parameter searches in a type (or `*`); none if not supported."""
    return _FOR_ALL.get(parameter) or _BY_TYPE.get((resource_type, parameter), ())
