"""Plain names of resource types and categories, for consent pages (GRNT-12, design D17).

Each is a pair: the words for a patient ("your ...") and for a clinician. All are plural, so that
they follow "View", "Add" or "Change" in any language; translations are looked up by `describe`.
"""

import re
from typing import Final, NamedTuple


def gettext_noop(message: str) -> str:
    """Mark a string for extraction; it is translated where it is shown."""
    return message


_ = gettext_noop


class Words(NamedTuple):
    """One thing, named for both kinds of reader."""

    patient: str
    clinician: str


ALL_RECORDS: Final = Words(_("all your health records"), _("all records"))

_TYPE_WORDS: Final = {
    "Account": (_("your billing accounts"), _("billing accounts")),
    "AdverseEvent": (_("your reports of harm from care"), _("adverse events")),
    "AllergyIntolerance": (_("your allergies"), _("allergies and intolerances")),
    "Appointment": (_("your appointments"), _("appointments")),
    "AppointmentResponse": (_("your replies to appointments"), _("appointment responses")),
    "AuditEvent": (_("your records of who saw your data"), _("access logs")),
    "Basic": (_("your other health records"), _("other records")),
    "Binary": (_("your files and images"), _("files and images")),
    "BodyStructure": (_("your notes on parts of the body"), _("body structures")),
    "CarePlan": (_("your care plans"), _("care plans")),
    "CareTeam": (_("your care teams"), _("care teams")),
    "ChargeItem": (_("your charges for care"), _("charges")),
    "Claim": (_("your insurance claims"), _("insurance claims")),
    "ClaimResponse": (_("your insurance claim replies"), _("claim responses")),
    "ClinicalImpression": (_("your care team's views on your health"), _("clinical impressions")),
    "Communication": (_("your messages"), _("messages")),
    "CommunicationRequest": (_("your requests for messages"), _("message requests")),
    "Composition": (_("your health summaries"), _("composed documents")),
    "Condition": (_("your health problems"), _("problems and diagnoses")),
    "Consent": (_("your choices on sharing data"), _("consents")),
    "Contract": (_("your contracts"), _("contracts")),
    "Coverage": (_("your insurance plans"), _("insurance coverages")),
    "CoverageEligibilityRequest": (_("your insurance checks"), _("eligibility requests")),
    "CoverageEligibilityResponse": (
        _("your insurance check results"),
        _("eligibility responses"),
    ),
    "DetectedIssue": (_("your safety warnings"), _("detected issues")),
    "Device": (_("your medical devices"), _("devices")),
    "DeviceRequest": (_("your orders for medical devices"), _("device orders")),
    "DeviceUseStatement": (_("your notes on device use"), _("device use statements")),
    "DiagnosticReport": (_("your test reports"), _("diagnostic reports")),
    "DocumentManifest": (_("your lists of health papers"), _("document lists")),
    "DocumentReference": (_("your health papers and notes"), _("documents and notes")),
    "Encounter": (_("your visits"), _("encounters")),
    "EnrollmentRequest": (_("your insurance sign-ups"), _("enrollment requests")),
    "EpisodeOfCare": (_("your times under care"), _("episodes of care")),
    "ExplanationOfBenefit": (_("your insurance payments"), _("explanations of benefit")),
    "FamilyMemberHistory": (_("your family's health problems"), _("family histories")),
    "Flag": (_("your health alerts"), _("flags and alerts")),
    "Goal": (_("your health goals"), _("goals")),
    "Group": (_("your groups"), _("groups")),
    "ImagingStudy": (_("your scans and x-rays"), _("imaging studies")),
    "Immunization": (_("your vaccines"), _("immunizations")),
    "ImmunizationEvaluation": (_("your vaccine checks"), _("immunization evaluations")),
    "ImmunizationRecommendation": (
        _("your vaccines that are due"),
        _("immunization recommendations"),
    ),
    "Invoice": (_("your bills"), _("invoices")),
    "List": (_("your health lists"), _("lists")),
    "Location": (_("your places of care"), _("locations")),
    "MeasureReport": (_("your care quality reports"), _("measure reports")),
    "Media": (_("your photos, videos and sounds"), _("media")),
    "Medication": (_("your medicines"), _("medications")),
    "MedicationAdministration": (_("your doses given"), _("medication administrations")),
    "MedicationDispense": (_("your medicines picked up"), _("dispensed medications")),
    "MedicationRequest": (_("your prescriptions"), _("medication orders")),
    "MedicationStatement": (_("your lists of medicines you take"), _("reported medications")),
    "MolecularSequence": (_("your gene test data"), _("genetic sequences")),
    "NutritionOrder": (_("your diet orders"), _("diet orders")),
    "Observation": (
        _("your test results and vital signs"),
        _("results, vital signs and other observations"),
    ),
    "Organization": (_("your hospitals and clinics"), _("organizations")),
    "Patient": (
        _("your name, birth date and contact details"),
        _("demographics and contact details"),
    ),
    "Person": (_("your links to other records"), _("person records")),
    "Practitioner": (_("your doctors and nurses"), _("practitioners")),
    "PractitionerRole": (_("your doctors' jobs and places of work"), _("practitioner roles")),
    "Procedure": (_("your surgeries and other treatments"), _("procedures")),
    "Provenance": (_("your notes on who wrote each record"), _("record origins")),
    "QuestionnaireResponse": (_("your answers on forms"), _("form responses")),
    "RelatedPerson": (_("your family and helpers"), _("related persons")),
    "RequestGroup": (_("your grouped orders"), _("order groups")),
    "ResearchSubject": (_("your part in studies"), _("research participations")),
    "RiskAssessment": (_("your health risks"), _("risk assessments")),
    "Schedule": (_("your care schedules"), _("schedules")),
    "ServiceRequest": (_("your orders for tests and care"), _("service orders")),
    "Specimen": (_("your test samples"), _("specimens")),
    "SupplyDelivery": (_("your supplies sent"), _("supply deliveries")),
    "SupplyRequest": (_("your requests for supplies"), _("supply requests")),
    "Task": (_("your care tasks"), _("tasks")),
    "VisionPrescription": (_("your glasses and contact lens orders"), _("vision prescriptions")),
}

#: Types of a person's record and those around it: the ones with words of their own.
PATIENT_TYPES: Final = frozenset(_TYPE_WORDS)

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_US_CORE = "http://hl7.org/fhir/us/core/CodeSystem/"
_OBSERVATION = ("Observation", _TERMINOLOGY + "observation-category")
_CONDITION = ("Condition", _TERMINOLOGY + "condition-category")
_SDOH = Words(_("your notes on home, food and daily life"), _("social needs"))

#: (type, system, code) of a category to its words.
CATEGORY_WORDS: Final = {
    (*_OBSERVATION, "laboratory"): Words(_("your laboratory results"), _("laboratory results")),
    (*_OBSERVATION, "vital-signs"): Words(
        _("your vital signs, such as blood pressure"), _("vital signs")
    ),
    (*_OBSERVATION, "social-history"): Words(
        _("your habits, such as smoking"), _("social history")
    ),
    (*_OBSERVATION, "survey"): Words(_("your answers to health surveys"), _("survey results")),
    (*_OBSERVATION, "procedure"): Words(
        _("your results from other tests"), _("clinical test results")
    ),
    (*_OBSERVATION, "imaging"): Words(
        _("your results from scans and x-rays"), _("imaging results")
    ),
    (*_OBSERVATION, "exam"): Words(_("your check-up results"), _("exam findings")),
    (*_OBSERVATION, "therapy"): Words(_("your therapy results"), _("therapy findings")),
    (*_OBSERVATION, "activity"): Words(
        _("your exercise and activity data"), _("activity measurements")
    ),
    ("Observation", _US_CORE + "us-core-category", "sdoh"): _SDOH,
    (*_CONDITION, "problem-list-item"): Words(
        _("your list of health problems"), _("problem list items")
    ),
    (*_CONDITION, "encounter-diagnosis"): Words(
        _("your health problems found at visits"), _("encounter diagnoses")
    ),
    ("Condition", _US_CORE + "condition-category", "health-concern"): Words(
        _("your health worries"), _("health concerns")
    ),
    ("Condition", _US_CORE + "us-core-category", "sdoh"): _SDOH,
    ("DiagnosticReport", _TERMINOLOGY + "v2-0074", "LAB"): Words(
        _("your laboratory reports"), _("laboratory reports")
    ),
    ("DiagnosticReport", _TERMINOLOGY + "v2-0074", "RAD"): Words(
        _("your x-ray and scan reports"), _("radiology reports")
    ),
    ("DocumentReference", _US_CORE + "us-core-documentreference-category", "clinical-note"): Words(
        _("your doctors' notes"), _("clinical notes")
    ),
}

#: Delicate enough to be offered unticked: family, genes, habits, social needs, sharing choices.
SENSITIVE_TYPES: Final = frozenset({"Consent", "FamilyMemberHistory", "MolecularSequence"})
SENSITIVE_CATEGORIES: Final = frozenset({"sdoh", "social-history"})
SENSITIVE_PARAMETERS: Final = frozenset({"_security", "security-label"})

_PLURAL_ALREADY: Final = (
    "capabilities",
    "evidence",
    "information",
    "knowledge",
    "manufactured",
    "packaged",
    "parameters",
)
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


def type_words(resource_type: str) -> Words:
    """The words for a resource type, derived from its name where none are given."""
    if resource_type in _TYPE_WORDS:
        return Words(*_TYPE_WORDS[resource_type])
    name = _plural(_CAPITAL.sub(" ", resource_type).lower())
    return Words(name, name)


def _plural(name: str) -> str:
    if name.endswith(_PLURAL_ALREADY):
        return name
    if name.endswith("y"):
        return name[:-1] + "ies"
    if name.endswith("is"):
        return name[:-2] + "es"
    return name + ("es" if name.endswith(("s", "x", "ch")) else "s")
