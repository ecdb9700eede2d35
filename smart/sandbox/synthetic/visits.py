"""Visits of a patient over three years, as Encounter resources."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from smart.sandbox.outcome import Resource
from smart.sandbox.synthetic.build import (
    SNOMED,
    TERMINOLOGY,
    coding,
    concept,
    instant,
    reference,
    resource,
    term,
)
from smart.sandbox.synthetic.course import Course
from smart.sandbox.synthetic.people import Hospital, Person

_CHECK_UP = ("185349003", "Encounter for check up")
_FOLLOW_UP = ("390906007", "Follow-up encounter")
_SYMPTOM = ("185345009", "Encounter for symptom")
_ADMISSION = ("32485007", "Hospital admission")
_SPAN_DAYS = 3 * 365


@dataclass(frozen=True)
class Visit:
    """One encounter; number 1 is the newest, `progress` runs from 0 (oldest) to 1 (newest)."""

    number: int
    start: datetime
    progress: float
    admitted: bool
    encounter: Resource

    @property
    def key(self) -> str:
        """The visit within the patient's record, as part of ids."""
        return str(self.number)


@dataclass(frozen=True)
class Chart:
    """What every part of a patient's record is made from."""

    person: Person
    course: Course
    patient: Resource
    hospital: Hospital
    doctor: Resource
    nurse: Resource | None
    visits: tuple[Visit, ...]
    anchor: datetime

    def chance(self, purpose: str) -> random.Random:
        """Chance that is the same on every run for the same patient and purpose."""
        return random.Random(f"{self.course.seed}/{purpose}")

    def oldest(self) -> Visit:
        """The first visit of the record."""
        return self.visits[-1]


def visits_of(
    course: Course, patient: Resource, hospital: Hospital, doctor: Resource, anchor: datetime
) -> tuple[Visit, ...]:
    """The visits, newest first; patient 456 of the general hospital is in hospital now."""
    chance = random.Random(f"{course.seed}/visits")
    count = chance.randint(7, 9) if course.person.diseases else chance.randint(5, 6)
    admitted = is_admitted(course.person, hospital)
    visits = []
    for index in range(count):
        back = 1 if admitted and index == 0 else chance.randint(6, 26) + index * _SPAN_DAYS // count
        start = anchor - timedelta(
            days=back, hours=-chance.randint(8, 16), minutes=-15 * index % 60
        )
        progress = 1 - index / (count - 1)
        in_ward = admitted and index == 0
        kind = _ADMISSION if in_ward else _kind(index, chance)
        encounter = _encounter(index + 1, start, kind, patient, hospital, doctor)
        visits.append(Visit(index + 1, start, progress, in_ward, encounter))
    return tuple(visits)


def is_admitted(person: Person, hospital: Hospital) -> bool:
    """Whether the patient lies in the ward: the one of the demo launch."""
    return person.id == "456" and hospital.organization["id"] == "general-hospital"


def _kind(index: int, chance: random.Random) -> tuple[str, str]:
    if index % 4 == 0:
        return _CHECK_UP
    return chance.choice((_FOLLOW_UP, _FOLLOW_UP, _SYMPTOM))


def _encounter(
    number: int,
    start: datetime,
    kind: tuple[str, str],
    patient: Resource,
    hospital: Hospital,
    doctor: Resource,
) -> Resource:
    in_ward = kind == _ADMISSION
    end = None if in_ward else start + timedelta(minutes=40)
    code, display = ("IMP", "inpatient encounter") if in_ward else ("AMB", "ambulatory")
    period = {"start": instant(start)} | ({"end": instant(end)} if end else {})
    return resource(
        "Encounter",
        f"enc-{patient['id']}-{number}",
        end or start,
        "us-core-encounter",
        identifier=[
            {
                "system": f"https://{hospital.organization['id']}.example/encounter",
                "value": f"{patient['id']}-{number}",
            }
        ],
        status="in-progress" if in_ward else "finished",
        **{"class": coding(TERMINOLOGY + "v3-ActCode", code, display)},
        type=[concept(coding(SNOMED, *kind))],
        subject=reference(patient),
        participant=[
            {
                "type": [term("v3-ParticipationType", "ATND", "attender")],
                "period": period,
                "individual": reference(doctor),
            }
        ],
        period=period,
        location=[{"location": reference(hospital.wards[0 if in_ward else 1])}],
        serviceProvider=reference(hospital.organization),
    )
