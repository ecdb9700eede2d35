"""Problems, allergies, medication, immunizations and procedures of a patient."""

from datetime import datetime, timedelta
from typing import Any

from smart.sandbox.outcome import Resource
from smart.sandbox.synthetic.build import (
    CVX,
    ICD10,
    RXNORM,
    SNOMED,
    coding,
    concept,
    day,
    instant,
    quantity,
    reference,
    resource,
    term,
)
from smart.sandbox.synthetic.diseases import DISEASES, DRUGS, Disease, Drug
from smart.sandbox.synthetic.visits import Chart, Visit

# These two are kept as Medication resources, for orders that refer instead of naming a code.
STOCKED = ("metformin", "atorvastatin")
_ALLERGENS = (
    (RXNORM, "7980", "penicillin G", "medication", "126485001", "Urticaria", "high"),
    (SNOMED, "762952008", "Peanut", "food", "39579001", "Anaphylaxis", "high"),
    (SNOMED, "387406002", "Sulfonamide", "medication", "271807003", "Eruption of skin", "low"),
    (SNOMED, "111088007", "Latex", "environment", "271807003", "Eruption of skin", "low"),
)
_NO_ALLERGY = (SNOMED, "716186003", "No known allergy")
_VACCINES = (
    ("150", "Influenza, injectable, quadrivalent, preservative free"),
    ("115", "Tdap"),
    ("208", "COVID-19, mRNA, LNP-S, PF, 30 mcg/0.3 mL dose"),
)
_PNEUMOCOCCAL = ("33", "pneumococcal polysaccharide PPV23")
_PROCEDURES = (
    ("430193006", "Medication reconciliation"),
    ("29303009", "Electrocardiographic procedure"),
    ("73761001", "Colonoscopy"),
)
_CHEST_XRAY = ("399208008", "Plain X-ray of chest")


def stocked_medications(anchor: datetime) -> list[Resource]:
    """The Medication resources of a hospital."""
    return [
        resource(
            "Medication",
            f"med-{DRUGS[key].code}",
            anchor - timedelta(days=1200),
            "us-core-medication",
            code=_drug_concept(DRUGS[key]),
            status="active",
        )
        for key in STOCKED
    ]


def _drug_concept(drug: Drug) -> dict[str, Any]:
    return concept(coding(RXNORM, drug.code, drug.display))


def conditions(chart: Chart) -> dict[str, Resource]:
    """The problem list by disease, and what passed or brought the patient in."""
    chance = chart.chance("conditions")
    found: dict[str, Resource] = {}
    for key in chart.person.diseases:
        onset = chart.oldest().start - timedelta(days=chance.randint(20, 2600))
        found[key] = _condition(chart, key, chart.oldest(), onset, None)
    if "asthma" in found or chance.random() < 0.4:
        visit = chart.visits[2]
        found["bronchitis"] = _condition(chart, "bronchitis", visit, visit.start, 21)
    if chart.visits[0].admitted:
        start = chart.visits[0].start
        found["pneumonia"] = _condition(chart, "pneumonia", chart.visits[0], start, None)
    return found


def _condition(
    chart: Chart, key: str, visit: Visit, onset: datetime, lasted_days: int | None
) -> Resource:
    disease = DISEASES[key]
    is_problem = key in chart.person.diseases
    category = (
        ("problem-list-item", "Problem List Item")
        if is_problem
        else ("encounter-diagnosis", "Encounter Diagnosis")
    )
    profile = "problems-health-concerns" if is_problem else "encounter-diagnosis"
    ended = onset + timedelta(days=lasted_days) if lasted_days else None
    status = ("resolved", "Resolved") if ended else ("active", "Active")
    return resource(
        "Condition",
        f"cond-{chart.person.id}-{key}",
        ended or visit.start,
        f"us-core-condition-{profile}",
        clinicalStatus=term("condition-clinical", *status),
        verificationStatus=term("condition-ver-status", "confirmed", "Confirmed"),
        category=[term("condition-category", *category)],
        code=_disease_concept(disease),
        subject=reference(chart.patient),
        encounter=reference(visit.encounter),
        onsetDateTime=day(onset),
        abatementDateTime=day(ended) if ended else None,
        recordedDate=instant(visit.start),
        asserter=reference(chart.doctor),
    )


def _disease_concept(disease: Disease) -> dict[str, Any]:
    return concept(
        coding(SNOMED, disease.code, disease.display),
        coding(ICD10, disease.icd10, disease.icd10_display),
    )


def allergies(chart: Chart) -> list[Resource]:
    """One allergy, or that none is known; the patient in the ward is allergic to penicillin."""
    choice = 0 if chart.visits[0].admitted else chart.chance("allergies").randint(0, 6)
    common: dict[str, Any] = {
        "clinicalStatus": term("allergyintolerance-clinical", "active", "Active"),
        "verificationStatus": term("allergyintolerance-verification", "confirmed", "Confirmed"),
        "patient": reference(chart.patient),
        "recordedDate": instant(chart.oldest().start),
        "recorder": reference(chart.doctor),
    }
    if choice >= len(_ALLERGENS):
        common["code"] = concept(coding(*_NO_ALLERGY))
    else:
        system, code, display, category, reaction, name, criticality = _ALLERGENS[choice]
        common |= {
            "type": "allergy",
            "category": [category],
            "criticality": criticality,
            "code": concept(coding(system, code, display)),
            "reaction": [{"manifestation": [concept(coding(SNOMED, reaction, name))]}],
        }
    return [
        resource(
            "AllergyIntolerance",
            f"alg-{chart.person.id}-1",
            chart.oldest().start,
            "us-core-allergyintolerance",
            **common,
        )
    ]


def medication(chart: Chart, problems: dict[str, Resource]) -> list[Resource]:
    """Orders for every problem, and what was handed out on the newest ones."""
    found: list[Resource] = []
    for key, problem in problems.items():
        for drug_key in DISEASES[key].drugs:
            if key in chart.person.diseases:
                visit, status = chart.oldest(), "active"
            elif key == "pneumonia":
                visit, status = chart.visits[0], "active"
            else:
                visit, status = chart.visits[2], "completed"
            found.append(_order(chart, visit, drug_key, status, problem))
    return [*found, *(_dispense(chart, order) for order in found[:1])]


def _order(chart: Chart, visit: Visit, key: str, status: str, problem: Resource) -> Resource:
    drug = DRUGS[key]
    named = (
        {"medicationReference": {"reference": f"Medication/med-{drug.code}"}}
        if key in STOCKED
        else {"medicationCodeableConcept": _drug_concept(drug)}
    )
    setting = ("inpatient", "Inpatient") if visit.admitted else ("community", "Community")
    return resource(
        "MedicationRequest",
        f"mr-{chart.person.id}-{key}-{visit.key}",
        visit.start,
        "us-core-medicationrequest",
        status=status,
        intent="order",
        category=[term("medicationrequest-category", *setting)],
        **named,
        subject=reference(chart.patient),
        encounter=reference(visit.encounter),
        authoredOn=instant(visit.start + timedelta(minutes=30)),
        requester=reference(chart.doctor),
        reasonReference=[reference(problem)],
        dosageInstruction=[_dosage(drug)],
    )


def _dosage(drug: Drug) -> dict[str, Any]:
    by_inhaler = drug.unit == "puff"
    route = ("447694001", "Respiratory tract route") if by_inhaler else ("26643006", "Oral route")
    return {
        "text": drug.dosage,
        "timing": {"repeat": {"frequency": drug.times_a_day, "period": 1, "periodUnit": "d"}},
        **({"asNeededBoolean": True} if drug.as_needed else {}),
        "route": concept(coding(SNOMED, *route)),
        "doseAndRate": [{"doseQuantity": quantity(drug.dose, drug.unit, drug.ucum)}],
    }


def _dispense(chart: Chart, order: Resource) -> Resource:
    handed = datetime.fromisoformat(order["authoredOn"]) + timedelta(hours=4)
    named = {
        name: order[name]
        for name in ("medicationReference", "medicationCodeableConcept")
        if name in order
    }
    return resource(
        "MedicationDispense",
        order["id"].replace("mr-", "disp-"),
        handed,
        status="completed",
        **named,
        subject=reference(chart.patient),
        performer=[{"actor": reference(chart.hospital.organization)}],
        authorizingPrescription=[reference(order)],
        whenHandedOver=instant(handed),
        dosageInstruction=order["dosageInstruction"],
    )


def immunizations(chart: Chart) -> list[Resource]:
    """Vaccinations over the visits; pneumococcal from 65 on."""
    age = (chart.anchor.date() - chart.person.birth).days // 365
    vaccines = [*_VACCINES, *([_PNEUMOCOCCAL] if age >= 65 else [])]
    return [
        resource(
            "Immunization",
            f"imm-{chart.person.id}-{index}",
            visit.start,
            "us-core-immunization",
            status="completed",
            vaccineCode=concept(coding(CVX, *vaccine)),
            patient=reference(chart.patient),
            encounter=reference(visit.encounter),
            occurrenceDateTime=instant(visit.start + timedelta(minutes=35)),
            primarySource=True,
            location=reference(chart.hospital.wards[1]),
            performer=[{"actor": reference(chart.nurse or chart.doctor)}],
        )
        for index, (vaccine, visit) in enumerate(
            zip(vaccines, chart.visits[1:], strict=False), start=1
        )
    ]


def procedures(chart: Chart) -> list[Resource]:
    """A few procedures, and a chest X-ray for the patient in the ward."""
    visits = [(code, chart.visits[index]) for index, code in enumerate(_PROCEDURES, start=1)]
    age = (chart.anchor.date() - chart.person.birth).days // 365
    if age < 48:
        visits = visits[:2]  # nobody screens the young by colonoscopy
    if chart.visits[0].admitted:
        visits.append((_CHEST_XRAY, chart.visits[0]))
    return [
        resource(
            "Procedure",
            f"proc-{chart.person.id}-{index}",
            visit.start,
            "us-core-procedure",
            status="completed",
            code=concept(coding(SNOMED, *code)),
            subject=reference(chart.patient),
            encounter=reference(visit.encounter),
            performedDateTime=instant(visit.start + timedelta(minutes=20)),
            performer=[{"actor": reference(chart.doctor)}],
        )
        for index, (code, visit) in enumerate(visits, start=1)
    ]
