"""Synthetic hospitals: deterministic, clinically plausible records of invented people."""

from datetime import UTC, date, datetime, time

from smart.sandbox.outcome import Resource
from smart.sandbox.synthetic import measurements, planning, records
from smart.sandbox.synthetic.course import course_of
from smart.sandbox.synthetic.notes import notes
from smart.sandbox.synthetic.people import (
    CASTS,
    Cast,
    Hospital,
    Person,
    hospital_of,
    patient_resource,
    patients_of,
    related_person,
)
from smart.sandbox.synthetic.visits import Chart, visits_of

SEEDS = tuple(CASTS)
# The chart that the demo opens: patient, and the hospital stay that goes on.
DEMO_PATIENT = "456"
DEMO_ENCOUNTER = "enc-456-1"
_NOTED_VISITS = 3


def generate(seed: str, anchor: date) -> list[Resource]:
    """Every resource of a seed, the same for the same day; all lies before `anchor`.

    Raises KeyError for an unknown seed.
    """
    cast = CASTS[seed]
    moment = datetime.combine(anchor, time(), UTC)
    hospital = hospital_of(cast, moment)
    found = [*hospital.resources(), *records.stocked_medications(moment)]
    diabetics = []
    for index, person in enumerate(patients_of(cast)):
        chart = _open_chart(cast, person, hospital, index, moment)
        found += _record(chart)
        if "diabetes" in person.diseases:
            diabetics.append(chart.patient)
    found.append(planning.diabetes_register(cast.slug, diabetics, moment))
    return found


def _open_chart(
    cast: Cast, person: Person, hospital: Hospital, index: int, anchor: datetime
) -> Chart:
    doctors = hospital.doctors()
    is_named = person in cast.named
    doctor = doctors[0] if is_named else doctors[index % len(doctors)]
    # Every other patient has the nurse, so that care-team rules have something to refuse.
    nurse = hospital.nurse() if index % 2 == 0 or index == 1 else None
    patient = patient_resource(cast, person, hospital, doctor)
    course = course_of(cast.slug, person)
    visits = visits_of(course, patient, hospital, doctor, anchor)
    return Chart(person, course, patient, hospital, doctor, nurse, visits, anchor)


def _record(chart: Chart) -> list[Resource]:
    """Everything about one patient, what is referred to before what refers."""
    problems = records.conditions(chart)
    team = planning.care_team(chart)
    aims = planning.goals(chart, problems)
    optional = [planning.care_plan(chart, team, aims), planning.device(chart)]
    found = [
        chart.patient,
        *([related_person(chart.person, chart.patient)] if chart.person.partner else []),
        *(visit.encounter for visit in chart.visits),
        *problems.values(),
        *records.allergies(chart),
        *records.medication(chart, problems),
        *records.immunizations(chart),
        *records.procedures(chart),
        team,
        *aims,
        *(part for part in optional if part is not None),
        planning.coverage(chart),
        planning.problem_list(chart, problems),
        measurements.smoking_status(chart),
        *measurements.depression_scores(chart),
    ]
    for visit in chart.visits:
        found += measurements.vital_signs(chart, visit)
        found += measurements.laboratory(chart, visit)
        if visit.number <= _NOTED_VISITS:
            written = notes(chart, visit)
            found += [*written, planning.provenance(chart, written[0], chart.doctor)]
    return found
