"""Patients and visits in one line each, for pages that list them. Pure; takes odd resources."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from smart.upstream import human_name

Resource = Mapping[str, Any]

_OPEN = ("arrived", "in-progress", "triaged", "onleave")


@dataclass(frozen=True, slots=True)
class PatientLine:
    """A patient in a list and in a banner."""

    id: str
    name: str
    born: date | None
    sex: str
    mrn: str


@dataclass(frozen=True, slots=True)
class VisitLine:
    """An encounter."""

    id: str
    began: datetime | None
    kind: str
    setting: str
    is_open: bool


def patient_line(patient: Resource) -> PatientLine:
    """A Patient in one line; what is not recorded stays empty."""
    numbers = [
        text(identifier.get("value"))
        for identifier in objects(patient.get("identifier"))
        if coding(identifier.get("type"), "code") == "MR"
    ]
    return PatientLine(
        id=text(patient.get("id")),
        name=human_name(patient.get("name")) or "(no name)",
        born=_date(text(patient.get("birthDate"))),
        sex=text(patient.get("gender")),
        mrn=numbers[0] if numbers else "",
    )


def visit_line(encounter: Resource) -> VisitLine:
    """An Encounter in one line."""
    kinds = [concept(kind) for kind in objects(encounter.get("type"))]
    period, setting = encounter.get("period"), encounter.get("class")
    return VisitLine(
        id=text(encounter.get("id")),
        began=moment(text(period.get("start")) if isinstance(period, Mapping) else ""),
        kind=kinds[0] if kinds and kinds[0] else "Visit",
        setting=text(setting.get("display")) if isinstance(setting, Mapping) else "",
        is_open=encounter.get("status") in _OPEN,
    )


def visit_lines(encounters: Iterable[Resource]) -> list[VisitLine]:
    """Visits, the newest first; those without a date come last."""
    lines = [visit_line(encounter) for encounter in encounters]
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(lines, key=lambda line: line.began or never, reverse=True)


def concept(value: object) -> str:
    """A CodeableConcept in words: its text, else the display or code of its first coding."""
    said = text(value.get("text")) if isinstance(value, Mapping) else ""
    return said or coding(value, "display") or coding(value, "code")


def coding(value: object, member: str) -> str:
    """A member of a CodeableConcept's first coding."""
    codings = objects(value.get("coding")) if isinstance(value, Mapping) else []
    return text(codings[0].get(member)) if codings else ""


def moment(said: str) -> datetime | None:
    """A FHIR dateTime as a moment; one without a time zone counts as UTC, a bad one is None."""
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def objects(value: object) -> list[Resource]:
    """The objects of a list; of anything else none."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def text(value: object) -> str:
    """A text as it is; anything else is empty."""
    return value if isinstance(value, str) else ""


def _date(said: str) -> date | None:
    try:
        return date.fromisoformat(said)
    except ValueError:
        return None
