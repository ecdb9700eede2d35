"""Clinical notes: readable text made from the visit's own values, as DocumentReference."""

import base64
from datetime import timedelta
from typing import Any

from smart.sandbox.outcome import Resource
from smart.sandbox.synthetic.build import (
    LOINC,
    coding,
    concept,
    instant,
    reference,
    resource,
)
from smart.sandbox.synthetic.diseases import DISEASES, DRUGS
from smart.sandbox.synthetic.measures import LABS, VITALS
from smart.sandbox.synthetic.visits import Chart, Visit

_PROGRESS_NOTE = ("11506-3", "Progress note")
_ADMISSION_NOTE = ("34117-2", "History and physical note")
_LABS_TOLD = ("hba1c", "creatinine", "egfr", "hemoglobin", "ldl")
_CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"


def notes(chart: Chart, visit: Visit) -> list[Resource]:
    """The note of a visit; the admission note keeps its text in a Binary of its own."""
    content = base64.b64encode(note_text(chart, visit).encode()).decode()
    name = f"note-{chart.person.id}-{visit.key}"
    attachment: dict[str, Any] = {
        "contentType": "text/plain; charset=utf-8",
        "title": "Admission note" if visit.admitted else "Progress note",
    }
    if not visit.admitted:
        return [_document(chart, visit, name, {**attachment, "data": content})]
    document = _document(chart, visit, name, {**attachment, "url": f"Binary/{name}"})
    binary = resource(
        "Binary",
        name,
        visit.start,
        contentType=attachment["contentType"],
        securityContext=reference(document),
        data=content,
    )
    return [document, binary]


def _document(chart: Chart, visit: Visit, name: str, attachment: dict[str, Any]) -> Resource:
    written = visit.start + timedelta(minutes=45)
    kind = _ADMISSION_NOTE if visit.admitted else _PROGRESS_NOTE
    return resource(
        "DocumentReference",
        name,
        written,
        "us-core-documentreference",
        status="current",
        docStatus="final",
        type=concept(coding(LOINC, *kind)),
        category=[concept(coding(_CATEGORY, "clinical-note", "Clinical Note"))],
        subject=reference(chart.patient),
        date=instant(written),
        author=[reference(chart.doctor)],
        custodian=reference(chart.hospital.organization),
        content=[{"attachment": attachment}],
        context={
            "encounter": [reference(visit.encounter)],
            "period": visit.encounter["period"],
        },
    )


def note_text(chart: Chart, visit: Visit) -> str:
    """The note in plain text."""
    person = chart.person
    age = (visit.start.date() - person.birth).days // 365
    diseases = [DISEASES[key].display.lower() for key in person.diseases]
    history = f"with {_listed(diseases)}" if diseases else "without chronic disease"
    told = "Admitted with fever and productive cough." if visit.admitted else _story(chart, visit)
    return "\n".join(
        [
            f"{person.given} {person.family}, {visit.start:%Y-%m-%d}",
            "",
            f"Subjective: {age}-year-old {person.gender} {history}. {told}",
            f"Objective: {_vitals_told(chart, visit)}",
            f"Laboratory: {_labs_told(chart, visit)}",
            f"Assessment and plan: {_plan(chart, visit)}",
            "",
            f"Signed by {chart.doctor['name'][0]['text']}",
        ]
    )


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _story(chart: Chart, visit: Visit) -> str:
    if not chart.person.diseases:
        return "Comes for a routine check and feels well."
    return "Feels better than last time." if visit.progress > 0.5 else "Feels tired at times."


def _vitals_told(chart: Chart, visit: Visit) -> str:
    values = chart.course.vitals(visit.key, visit.progress, acute=visit.admitted)
    told = [f"Blood pressure {values['systolic']}/{values['diastolic']} mmHg"]
    told += [
        f"{VITALS[key].name} {values[key]} {VITALS[key].unit}"
        for key in ("heart-rate", "temperature", "saturation", "weight")
    ]
    return ", ".join(told) + "."


def _labs_told(chart: Chart, visit: Visit) -> str:
    if visit.number % 2 == 0:
        return "see the reports of this visit, if any."
    values = chart.course.labs(visit.key, visit.progress, visit.start.date(), acute=visit.admitted)
    told = [f"{LABS[key].name} {values[key]} {LABS[key].unit}" for key in _LABS_TOLD]
    return ", ".join(told) + "."


def _plan(chart: Chart, visit: Visit) -> str:
    if visit.admitted:
        return (
            "Pneumonia. Azithromycin because of the penicillin allergy, oxygen as needed, "
            "chest X-ray done, laboratory again in two days."
        )
    drugs = [
        DRUGS[drug].display.split(" ")[0]
        for key in chart.person.diseases
        for drug in DISEASES[key].drugs
        if not DRUGS[drug].as_needed
    ]
    kept = f"Continue {_listed(drugs)}. " if drugs else ""
    return f"{kept}Next visit in four months, earlier if anything changes."
