"""Who cares for a patient and to what end: care team, plan, goals, coverage, device, lists."""

from datetime import datetime, timedelta
from typing import Any

from smart.sandbox.outcome import Resource
from smart.sandbox.synthetic.build import (
    LOINC,
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
from smart.sandbox.synthetic.visits import Chart

_ACHIEVEMENT = ("goal-achievement", "improving", "Improving")


def care_team(chart: Chart) -> Resource:
    """The care team: the doctor, the nurse if the patient has one, the patient."""
    members = [("446050000", "Primary care provider", chart.doctor)]
    if chart.nurse is not None:
        members.append(("224535009", "Registered nurse", chart.nurse))
    members.append(("116154003", "Patient", chart.patient))
    return resource(
        "CareTeam",
        f"team-{chart.person.id}",
        chart.oldest().start,
        "us-core-careteam",
        status="active",
        name=f"Care team of {chart.person.given} {chart.person.family}",
        subject=reference(chart.patient),
        period={"start": day(chart.oldest().start)},
        participant=[
            {"role": [concept(coding(SNOMED, code, display))], "member": reference(member)}
            for code, display, member in members
        ],
        managingOrganization=[reference(chart.hospital.organization)],
    )


def goals(chart: Chart, problems: dict[str, Resource]) -> list[Resource]:
    """Measured goals of diabetes and hypertension."""
    aims = {
        "diabetes": ("Keep HbA1c below 7.0 %", "4548-4", quantity(7.0, "%", "%")),
        "hypertension": (
            "Keep systolic blood pressure below 130 mmHg",
            "8480-6",
            quantity(130, "mmHg", "mm[Hg]"),
        ),
    }
    return [
        resource(
            "Goal",
            f"goal-{chart.person.id}-{key}",
            chart.oldest().start,
            "us-core-goal",
            lifecycleStatus="active",
            achievementStatus=term(*_ACHIEVEMENT),
            description={"text": text},
            subject=reference(chart.patient),
            startDate=day(chart.oldest().start),
            target=[
                {
                    "measure": concept(coding(LOINC, code)),
                    "detailQuantity": {**limit, "comparator": "<"},
                    "dueDate": day(chart.anchor + timedelta(days=180)),
                }
            ],
            addresses=[reference(problems[key])],
        )
        for key, (text, code, limit) in aims.items()
        if key in problems
    ]


def care_plan(chart: Chart, team: Resource, aims: list[Resource]) -> Resource | None:
    """A plan for a patient who has goals."""
    if not aims:
        return None
    lines = "".join(f"<li>{aim['description']['text'].replace('<', '&lt;')}</li>" for aim in aims)
    text = {
        "status": "generated",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><ul>{lines}</ul></div>',
    }
    return resource(
        "CarePlan",
        f"plan-{chart.person.id}",
        chart.oldest().start,
        "us-core-careplan",
        text=text,
        status="active",
        intent="plan",
        category=[
            concept(
                coding(
                    "http://hl7.org/fhir/us/core/CodeSystem/careplan-category",
                    "assess-plan",
                    "Assessment and Plan of Treatment",
                )
            )
        ],
        subject=reference(chart.patient),
        encounter=reference(chart.oldest().encounter),
        period={"start": day(chart.oldest().start)},
        careTeam=[reference(team)],
        addresses=[link for aim in aims for link in aim["addresses"]],
        goal=[reference(aim) for aim in aims],
    )


def coverage(chart: Chart) -> Resource:
    """The health insurance."""
    age = (chart.anchor.date() - chart.person.birth).days // 365
    kind = ("PUBLICPOL", "public healthcare") if age >= 65 else ("EHCPOL", "extended healthcare")
    return resource(
        "Coverage",
        f"cov-{chart.person.id}",
        chart.oldest().start,
        "us-core-coverage",
        status="active",
        type=term("v3-ActCode", *kind),
        subscriberId=f"S{int(chart.person.id):06d}",
        beneficiary=reference(chart.patient),
        relationship=term("subscriber-relationship", "self", "Self"),
        period={"start": day(chart.oldest().start)},
        payor=[reference(chart.hospital.payer)],
    )


def device(chart: Chart) -> Resource | None:
    """The glucose meter of a patient with diabetes."""
    if not chart.course.has("diabetes"):
        return None
    return resource(
        "Device",
        f"dev-{chart.person.id}",
        chart.oldest().start,
        status="active",
        type=concept(coding(SNOMED, "337414009", "Blood glucose meter")),
        patient=reference(chart.patient),
        owner=reference(chart.hospital.organization),
    )


def problem_list(chart: Chart, problems: dict[str, Resource]) -> Resource:
    """The problems as a List."""
    entries: dict[str, Any] = {"entry": [{"item": reference(p)} for p in problems.values()]}
    return resource(
        "List",
        f"list-{chart.person.id}",
        chart.visits[0].start,
        status="current",
        mode="working",
        title="Problem list",
        code=concept(coding(LOINC, "11450-4", "Problem list - Reported")),
        subject=reference(chart.patient),
        date=instant(chart.visits[0].start),
        source=reference(chart.doctor),
        **(entries if problems else {"emptyReason": term("list-empty-reason", "nilknown")}),
    )


def diabetes_register(slug: str, patients: list[Resource], anchor: datetime) -> Resource:
    """The hospital's Group of patients with diabetes."""
    return resource(
        "Group",
        f"{slug}-diabetes",
        anchor,
        type="person",
        actual=True,
        active=True,
        name="Diabetes register",
        quantity=len(patients),
        member=[{"entity": reference(patient)} for patient in patients],
    )


def provenance(chart: Chart, target: Resource, author: Resource) -> Resource:
    """Who made a resource, for whom."""
    return resource(
        "Provenance",
        f"prov-{target['id']}",
        datetime.fromisoformat(target["meta"]["lastUpdated"]),
        "us-core-provenance",
        target=[reference(target)],
        recorded=target["meta"]["lastUpdated"],
        agent=[
            {
                "type": term("provenance-participant-type", "author", "Author"),
                "who": reference(author),
                "onBehalfOf": reference(chart.hospital.organization),
            }
        ],
    )
