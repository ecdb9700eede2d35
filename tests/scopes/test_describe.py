"""Scopes in words: what each reader sees, how plain it is, and that it can be translated."""

import ast
import re
from itertools import product
from pathlib import Path

import pytest

from smart.scopes import describe as describe_module
from smart.scopes import names
from smart.scopes.describe import Kind, Reader, describe
from smart.scopes.resource_types import RESOURCE_TYPES
from smart.scopes.syntax import MANAGEMENT_SCOPES, parse_scope

T = "http://terminology.hl7.org/CodeSystem"
CORE = "http://hl7.org/fhir/us/core/CodeSystem"
LAB = f"category={T}/observation-category|laboratory"

# The types of the patient compartment of FHIR R4, and those read with a patient's record.
_NAMES = """
Account AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic
BodyStructure CarePlan CareTeam ChargeItem Claim ClaimResponse ClinicalImpression Communication
CommunicationRequest Composition Condition Consent Coverage CoverageEligibilityRequest
CoverageEligibilityResponse DetectedIssue Device DeviceRequest DeviceUseStatement
DiagnosticReport DocumentManifest DocumentReference Encounter EnrollmentRequest EpisodeOfCare
ExplanationOfBenefit FamilyMemberHistory Flag Goal Group ImagingStudy Immunization
ImmunizationEvaluation ImmunizationRecommendation Invoice List Location MeasureReport Media
Medication MedicationAdministration MedicationDispense MedicationRequest MedicationStatement
MolecularSequence NutritionOrder Observation Organization Patient Person Practitioner
PractitionerRole Procedure Provenance QuestionnaireResponse RelatedPerson RequestGroup
ResearchSubject RiskAssessment Schedule ServiceRequest Specimen SupplyDelivery SupplyRequest
Task VisionPrescription
"""
PATIENT_TYPES = _NAMES.split()
CATEGORIES = [
    f"{resource_type}.rs?category={system}|{code}"
    for resource_type, system, code in names.CATEGORY_WORDS
]
OTHERS = [
    "openid",
    "fhirUser",
    "profile",
    "offline_access",
    "online_access",
    "launch",
    "launch/patient",
    "launch/encounter",
    "launch/imagingstudy",
]
CLINICAL = [
    *(f"{name}.{suffix}" for name, suffix in product(["*", *PATIENT_TYPES], ["rs", "cruds"])),
    *CATEGORIES,
]
PATIENT_SCOPES = [
    *OTHERS,
    *(f"{level}/{rest}" for level in ("patient", "user") for rest in CLINICAL),
]


def said(text, reader=Reader.PATIENT, **more):
    return describe(parse_scope(text), reader, **more)


@pytest.mark.spec("GRNT-12", "SCOP-12")
@pytest.mark.parametrize(
    ("text", "kind", "patient", "clinician"),
    [
        (
            "patient/Observation.rs",
            Kind.VIEW,
            "View your test results and vital signs",
            "View results, vital signs and other observations of this patient",
        ),
        (
            f"patient/Observation.rs?{LAB}",
            Kind.VIEW,
            "View your laboratory results",
            "View laboratory results of this patient",
        ),
        (
            "user/Observation.r?category=laboratory",
            Kind.VIEW,
            "View your laboratory results, and those of people you care for",
            "View laboratory results that you may access",
        ),
        (
            "patient/Observation.rs?category=laboratory,survey",
            Kind.VIEW,
            "View your laboratory results and your answers to health surveys",
            "View laboratory results and survey results of this patient",
        ),
        (
            "patient/Observation.rs?category=urn:x|laboratory",
            Kind.VIEW,
            "View your test results and vital signs (only some)",
            "View results, vital signs and other observations (only some) of this patient",
        ),
        (
            "patient/Condition.s?status=active",
            Kind.VIEW,
            "View your health problems (only some)",
            "View problems and diagnoses (only some) of this patient",
        ),
        (
            "patient/MedicationRequest.write",
            Kind.CHANGE,
            "Add, change and delete your prescriptions",
            "Add, change and delete medication orders of this patient",
        ),
        (
            "patient/Goal.cu",
            Kind.CHANGE,
            "Add and change your health goals",
            "Add and change goals of this patient",
        ),
        (
            "patient/*.rs",
            Kind.VIEW,
            "View all your health records, now and in the future",
            "View all records of this patient, now and in the future",
        ),
        (
            "system/*.read",
            Kind.VIEW,
            "View all your health records, and those of other patients, now and in the future",
            "View all records of all patients it is approved for, now and in the future",
        ),
        (
            "user/ResearchStudy.rs",
            Kind.VIEW,
            "View research studies",
            "View research studies that you may access",
        ),
        ("openid", Kind.KNOW, "Know who you are", "Know who you are"),
        (
            "fhirUser",
            Kind.KNOW,
            "Know which health record is yours",
            "Know your professional record",
        ),
        ("launch", Kind.CONTEXT, "Know what you have open", "Know what you have open"),
        ("launch/patient", Kind.CONTEXT, "Know which record is open", "Know which record is open"),
        ("launch/encounter", Kind.CONTEXT, "Know which visit is open", "Know which visit is open"),
        (
            "launch/imagingstudy",
            Kind.CONTEXT,
            "Know which of your scans and x-rays are open",
            "Know which imaging studies are open",
        ),
        ("authfi/audit.read", Kind.VIEW, "View the audit trail", "View the audit trail"),
        ("email", Kind.KNOW, "Use “email”", "Use “email”"),
    ],
)
def test_words_for_each_reader(text, kind, patient, clinician):
    for reader, words in ((Reader.PATIENT, patient), (Reader.CLINICIAN, clinician)):
        found = said(text, reader)
        assert (found.kind, found.short) == (kind, words)
        assert found.long.endswith(".")


@pytest.mark.spec("GRNT-11")
def test_offline_access_has_its_own_kind():
    assert said("offline_access").kind is Kind.OFFLINE
    assert said("offline_access").short == "Keep its access when you are away"


@pytest.mark.spec("SCOP-03", "SCOP-04", "SCOP-07", "GRNT-12")
@pytest.mark.parametrize(
    ("suffix", "sentences"),
    [
        ("rs", ["look for these records and open them"]),
        ("r", ["open a record it knows of, but not look for more"]),
        ("s", ["look for these records and see what it finds"]),
        ("c", ["does not see what is there", "add new ones"]),
        ("rud", ["open a record it knows of", "change them", "delete them"]),
    ],
)
def test_the_long_text_tells_what_the_letters_allow(suffix, sentences):
    long = said(f"patient/Goal.{suffix}").long
    assert all(sentence in long for sentence in sentences)
    assert ("delete" in long) is ("d" in suffix)
    assert ("change" in long) is ("u" in suffix)


@pytest.mark.spec("GRNT-12")
def test_limits_without_words_are_quoted_and_bounded():
    assert "Only where “status” is “final”." in said("patient/Observation.rs?status=final").long
    long = said(f"patient/Observation.rs?code={'x' * 1500}").long
    assert "x" * 120 + "…" in long
    assert "x" * 121 not in long
    # Decoded, this value would turn the text around it.
    assert "%E2%80%AE" in said("patient/Observation.rs?code=%E2%80%AEevil").long


@pytest.mark.spec("SCOP-12")
def test_a_wildcard_says_that_new_kinds_count_too():
    assert "every kind of record, also new kinds" in said("patient/*.rs").long
    assert "every kind" not in said("patient/Observation.rs").long


@pytest.mark.parametrize(
    ("text", "sensitive"),
    [
        (f"patient/Observation.rs?category={T}/observation-category|social-history", True),
        (f"patient/Condition.rs?category={CORE}/us-core-category|sdoh", True),
        ("patient/Observation.rs?category=laboratory,sdoh", True),
        ("patient/*.rs?_security=R", True),
        ("patient/FamilyMemberHistory.rs", True),
        ("patient/MolecularSequence.rs", True),
        (f"patient/Observation.rs?{LAB}", False),
        ("patient/Observation.rs", False),
        ("patient/*.rs", False),
        ("offline_access", False),
    ],
)
def test_delicate_data_is_marked(text, sensitive):
    found = said(text)
    assert found.sensitive is sensitive
    assert ("very private" in found.long) is sensitive


def test_every_type_of_a_record_has_a_plain_name():
    for name in PATIENT_TYPES:
        words = names.type_words(name)
        assert words.patient.startswith("your "), name
        assert words.clinician == words.clinician.strip().lower(), name
    shorts = [said(f"patient/{name}.rs").short for name in PATIENT_TYPES]
    assert len(set(shorts)) == len(shorts)


@pytest.mark.parametrize("reader", Reader)
def test_every_r4_type_reads_as_words(reader):
    for name in RESOURCE_TYPES:
        short = said(f"user/{name}.rs", reader).short
        assert short.startswith("View ")
        assert not re.search(r"[a-z][A-Z]|\{", short), short
    assert said("patient/MedicinalProductAuthorization.r").short == (
        "View medicinal product authorizations"
    )
    assert said("patient/SubstanceReferenceInformation.r").short == (
        "View substance reference information"
    )
    assert said("patient/Library.r").short == "View libraries"
    assert said("patient/RiskEvidenceSynthesis.r").short == "View risk evidence syntheses"


@pytest.mark.spec("GRNT-12")
def test_every_short_text_follows_wants_to():
    verbs = {"View", "Add", "Change", "Delete", "Know", "Keep", "Manage", "Start", "Use"}
    for text, reader in product([*PATIENT_SCOPES, *MANAGEMENT_SCOPES], Reader):
        assert re.split(r"[ ,]", said(text, reader).short)[0] in verbs


def syllables(word):
    """Vowel groups, a silent final e aside: the usual rough count."""
    groups = len(re.findall(r"[aeiouy]+", word))
    if re.search(r"[^aeiouyl]e(s|d)?$", word) and not re.search(
        r"(s|x|z|ch|sh|c|g)es$|[td]ed$", word
    ):
        groups -= 1
    return max(groups, 1)


def school_grade(sentences):
    """Flesch-Kincaid grade: 0.39 words per sentence + 11.8 syllables per word - 15.59."""
    words = [re.findall(r"[a-z']+", sentence.lower()) for sentence in sentences]
    count = sum(map(len, words))
    spoken = sum(syllables(word) for sentence in words for word in sentence)
    return 0.39 * count / len(sentences) + 11.8 * spoken / count - 15.59


@pytest.mark.parametrize(
    ("word", "count"),
    [("view", 1), ("your", 1), ("laboratory", 5), ("change", 1), ("devices", 3), ("tests", 1)],
)
def test_syllables_are_counted_as_spoken(word, count):
    assert syllables(word) == count


def test_the_grade_tells_plain_from_learned():
    assert school_grade(["The app can open your notes"]) < 3
    assert school_grade(["Authorization delegates administrative interoperability"]) > 12


@pytest.mark.spec("GRNT-12")
def test_patients_read_grade_six_words():
    shorts, longs = set(), set()
    for text in PATIENT_SCOPES:
        found = said(text)
        shorts.add(found.short)
        longs.update(re.split(r"(?<=\.) ", found.long))
    assert school_grade(sorted(shorts | longs)) <= 6
    assert school_grade(sorted(shorts)) <= 6
    assert school_grade(sorted(longs)) <= 6


@pytest.mark.spec("GRNT-12")
def test_patients_meet_no_jargon():
    jargon = re.compile(
        r"encounter|fhir|resource|scope|observation|token|openid|diagnos|immuniz|compartment",
        re.IGNORECASE,
    )
    for text in PATIENT_SCOPES:
        found = said(text)
        assert not jargon.search(f"{found.short} {found.long}"), text


def shout(message):
    """A stand-in translation: everything but the placeholders in capitals."""
    return "".join(
        part if part.startswith("{") else part.upper() for part in re.split(r"(\{\w+\})", message)
    )


@pytest.mark.spec("GRNT-12")
@pytest.mark.parametrize("reader", Reader)
def test_every_word_goes_through_translation(reader):
    for text in [*PATIENT_SCOPES, *MANAGEMENT_SCOPES, "patient/Goal.r", "system/*.s"]:
        found = said(text, reader, translate=shout)
        assert found.short == found.short.upper()
        assert found.long == found.long.upper()
        assert found.short == shout(said(text, reader).short)


def marked_messages():
    found = set()
    for module in (describe_module, names):
        tree = ast.parse(Path(str(module.__file__)).read_text())
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "_"
            ):
                found.add(ast.literal_eval(node.args[0]))
    return found


@pytest.mark.spec("GRNT-12")
def test_every_message_is_marked_for_extraction():
    asked = set()

    def note(message):
        asked.add(message)
        return message

    for text, reader in product([*PATIENT_SCOPES, *MANAGEMENT_SCOPES, "email"], Reader):
        said(text, reader, translate=note)
    said("patient/Observation.r?code=x&_security=R", translate=note)
    said("system/Goal.c", translate=note)
    assert asked <= marked_messages()
    assert len(asked) > 150
