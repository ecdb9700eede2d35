"""Vital signs, laboratory results with their orders and reports, and questionnaires' scores."""

from datetime import timedelta
from typing import Any

from smart.sandbox.outcome import Resource
from smart.sandbox.synthetic.build import (
    LOINC,
    SNOMED,
    coding,
    concept,
    instant,
    quantity,
    reference,
    resource,
    term,
)
from smart.sandbox.synthetic.course import Values
from smart.sandbox.synthetic.measures import LABS, PANELS, VITALS, Measure, Panel
from smart.sandbox.synthetic.visits import Chart, Visit

_PROFILES = {
    "heart-rate": "us-core-heart-rate",
    "respiration": "us-core-respiratory-rate",
    "temperature": "us-core-body-temperature",
    "saturation": "us-core-pulse-oximetry",
    "weight": "us-core-body-weight",
    "height": "us-core-body-height",
    "bmi": "us-core-bmi",
}
_INTERPRETATIONS = {"L": "Low", "N": "Normal", "H": "High"}
_SMOKING = (
    ("266919005", "Never smoked tobacco"),
    ("8517006", "Ex-smoker"),
    ("449868002", "Smokes tobacco daily"),
)


def vital_signs(chart: Chart, visit: Visit) -> list[Resource]:
    """The vital signs of one visit, taken when it begins."""
    values = chart.course.vitals(visit.key, visit.progress, acute=visit.admitted)
    found = [_blood_pressure(chart, visit, values)]
    for key, profile in _PROFILES.items():
        codings = [coding(LOINC, VITALS[key].code, VITALS[key].display)]
        if key == "saturation":
            codings.append(coding(LOINC, "2708-6", "Oxygen saturation in Arterial blood"))
        found.append(
            _observation(
                chart,
                visit,
                VITALS[key],
                profile,
                ("vital-signs", "Vital Signs"),
                code=concept(*codings, text=VITALS[key].name),
                valueQuantity=_quantity(VITALS[key], values[key]),
            )
        )
    return found


def _blood_pressure(chart: Chart, visit: Visit, values: Values) -> Resource:
    panel = Measure("85354-9", "Blood pressure panel with all children optional", "", "", "")
    components = [
        {
            "code": concept(coding(LOINC, VITALS[key].code, VITALS[key].display)),
            "valueQuantity": _quantity(VITALS[key], values[key]),
        }
        for key in ("systolic", "diastolic")
    ]
    return _observation(
        chart,
        visit,
        panel,
        "us-core-blood-pressure",
        ("vital-signs", "Vital Signs"),
        code=concept(coding(LOINC, panel.code, panel.display), text="Blood pressure"),
        component=components,
    )


def _observation(
    chart: Chart,
    visit: Visit,
    measure: Measure,
    profile: str,
    category: tuple[str, str],
    **members: Any,
) -> Resource:
    taken = visit.start + timedelta(minutes=5)
    return resource(
        "Observation",
        f"obs-{chart.person.id}-{visit.key}-{measure.code}",
        taken,
        profile,
        status="final",
        category=[term("observation-category", *category)],
        subject=reference(chart.patient),
        encounter=reference(visit.encounter),
        effectiveDateTime=instant(taken),
        performer=[reference(chart.nurse or chart.doctor)],
        **members,
    )


def _quantity(measure: Measure, value: float) -> dict[str, Any]:
    return quantity(value, measure.unit, measure.ucum)


def panels_for(chart: Chart, visit: Visit) -> list[Panel]:
    """What is drawn at a visit: everything at every other one, else what the diseases need."""
    has = chart.course.has
    if visit.number % 2:
        keys = ["bmp", "cbc", "lipid", "hba1c", "tsh", "alt", "ast"]
    else:
        wanted = {
            "hba1c": has("diabetes"),
            "bmp": has("diabetes") or has("kidney"),
            "lipid": has("lipids"),
            "tsh": has("thyroid"),
            "cbc": has("anemia"),
        }
        keys = [key for key, is_wanted in wanted.items() if is_wanted]
    return [PANELS[key] for key in [*keys, *(["crp"] if visit.admitted else [])]]


def laboratory(chart: Chart, visit: Visit) -> list[Resource]:
    """Orders, one specimen, results and reports of a visit's laboratory work."""
    panels = panels_for(chart, visit)
    if not panels:
        return []
    values = chart.course.labs(visit.key, visit.progress, visit.start.date(), acute=visit.admitted)
    specimen = resource(
        "Specimen",
        f"spec-{chart.person.id}-{visit.key}",
        visit.start,
        status="available",
        type=concept(coding(SNOMED, "122555007", "Venous blood specimen")),
        subject=reference(chart.patient),
        collection={
            "collector": reference(chart.nurse or chart.doctor),
            "collectedDateTime": instant(visit.start + timedelta(minutes=10)),
        },
    )
    found = [specimen]
    for panel in panels:
        order = _order(chart, visit, panel)
        results = [
            _result(chart, visit, LABS[key], values[key], specimen, order) for key in panel.measures
        ]
        found += [order, *results, _report(chart, visit, panel, results, specimen, order)]
    return found


def _order(chart: Chart, visit: Visit, panel: Panel) -> Resource:
    return resource(
        "ServiceRequest",
        f"sr-{chart.person.id}-{visit.key}-{panel.key}",
        visit.start,
        "us-core-servicerequest",
        status="completed",
        intent="order",
        category=[concept(coding(SNOMED, "108252007", "Laboratory procedure"))],
        code=concept(coding(LOINC, panel.code, panel.display)),
        subject=reference(chart.patient),
        encounter=reference(visit.encounter),
        authoredOn=instant(visit.start),
        requester=reference(chart.doctor),
    )


def _result(
    chart: Chart,
    visit: Visit,
    measure: Measure,
    value: float,
    specimen: Resource,
    order: Resource,
) -> Resource:
    drawn = visit.start + timedelta(minutes=10)
    low, high = measure.range_for(chart.person.gender)
    flag = interpret(value, low, high)
    bounds = {"low": low, "high": high}
    return resource(
        "Observation",
        f"obs-{chart.person.id}-{visit.key}-{measure.code}",
        drawn + timedelta(hours=3),
        "us-core-observation-lab",
        status="final",
        category=[term("observation-category", "laboratory", "Laboratory")],
        code=concept(coding(LOINC, measure.code, measure.display), text=measure.name),
        subject=reference(chart.patient),
        encounter=reference(visit.encounter),
        effectiveDateTime=instant(drawn),
        issued=instant(drawn + timedelta(hours=3)),
        performer=[reference(chart.hospital.organization)],
        basedOn=[reference(order)],
        specimen=reference(specimen),
        valueQuantity=_quantity(measure, value),
        interpretation=[term("v3-ObservationInterpretation", flag, _INTERPRETATIONS[flag])],
        referenceRange=[
            {name: _quantity(measure, bound) for name, bound in bounds.items() if bound is not None}
        ],
    )


def interpret(value: float, low: float | None, high: float | None) -> str:
    """L, N or H for a value within its normal range."""
    if low is not None and value < low:
        return "L"
    return "H" if high is not None and value > high else "N"


def _report(
    chart: Chart,
    visit: Visit,
    panel: Panel,
    results: list[Resource],
    specimen: Resource,
    order: Resource,
) -> Resource:
    drawn = visit.start + timedelta(minutes=10)
    return resource(
        "DiagnosticReport",
        f"rep-{chart.person.id}-{visit.key}-{panel.key}",
        drawn + timedelta(hours=3),
        "us-core-diagnosticreport-lab",
        basedOn=[reference(order)],
        status="final",
        category=[
            {
                "coding": [
                    coding("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB", "Laboratory")
                ]
            }
        ],
        code=concept(coding(LOINC, panel.code, panel.display)),
        subject=reference(chart.patient),
        encounter=reference(visit.encounter),
        effectiveDateTime=instant(drawn),
        issued=instant(drawn + timedelta(hours=3)),
        performer=[reference(chart.hospital.organization)],
        specimen=[reference(specimen)],
        result=[reference(result) for result in results],
    )


def smoking_status(chart: Chart) -> Resource:
    """The smoking status, asked at the first visit."""
    choice = 1 if chart.course.has("copd") else chart.chance("smoking").choice((0, 0, 0, 1, 2))
    measure = Measure("72166-2", "Tobacco smoking status", "", "", "")
    return _observation(
        chart,
        chart.oldest(),
        measure,
        "us-core-smokingstatus",
        ("social-history", "Social History"),
        code=concept(coding(LOINC, measure.code, measure.display)),
        valueCodeableConcept=concept(coding(SNOMED, *_SMOKING[choice])),
    )


def depression_scores(chart: Chart) -> list[Resource]:
    """PHQ-9 totals of a patient with depression, falling under treatment."""
    if not chart.course.has("depression"):
        return []
    measure = Measure(
        "44261-6",
        "Patient Health Questionnaire 9 item (PHQ-9) total score [Reported]",
        "PHQ-9",
        "{score}",
        "{score}",
    )
    return [
        _observation(
            chart,
            visit,
            measure,
            "",
            ("survey", "Survey"),
            code=concept(coding(LOINC, measure.code, measure.display), text=measure.name),
            valueQuantity=_quantity(measure, round(16 - 11 * visit.progress)),
        )
        for visit in chart.visits
    ]
