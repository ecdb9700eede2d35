"""What the EHR's pages show of FHIR resources: plain values for templates. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from smart.upstream import human_name

Resource = Mapping[str, Any]

TREND_WIDTH, TREND_HEIGHT, TREND_MARGIN = 96.0, 24.0, 3.0


@dataclass(frozen=True, slots=True)
class PatientLine:
    """A patient in the list and in the banner."""

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


@dataclass(frozen=True, slots=True)
class ResultLine:
    """A test or measurement: its newest value and the way it went."""

    name: str
    value: str
    at: datetime | None
    note: str
    trend: str
    trend_end: tuple[str, str]


def patient_line(patient: Resource) -> PatientLine:
    """A Patient in one line; what is not recorded stays empty."""
    numbers = [
        str(identifier.get("value", ""))
        for identifier in patient.get("identifier", [])
        if _coding(identifier.get("type"), "code") == "MR"
    ]
    return PatientLine(
        id=patient["id"],
        name=human_name(patient.get("name")) or "(no name)",
        born=_date(patient.get("birthDate")),
        sex=patient.get("gender", ""),
        mrn=numbers[0] if numbers else "",
    )


def visit_line(encounter: Resource) -> VisitLine:
    """An Encounter in one line."""
    kinds = [_text(kind) for kind in encounter.get("type", [])]
    return VisitLine(
        id=encounter["id"],
        began=_moment(encounter.get("period", {}).get("start")),
        kind=kinds[0] if kinds else "Visit",
        setting=encounter.get("class", {}).get("display", ""),
        is_open=encounter.get("status") in ("arrived", "in-progress", "triaged", "onleave"),
    )


def visit_lines(encounters: Iterable[Resource]) -> list[VisitLine]:
    """Visits, the newest first."""
    lines = [visit_line(encounter) for encounter in encounters]
    return sorted(lines, key=lambda line: str(line.began), reverse=True)


def result_lines(observations: Iterable[Resource]) -> list[ResultLine]:
    """One line a test, in the order of their names."""
    tests: dict[str, list[Resource]] = {}
    for observation in observations:
        if _numbers(observation):
            tests.setdefault(_text(observation.get("code")), []).append(observation)
    return [_result_line(name, tests[name]) for name in sorted(tests, key=str.casefold)]


def _result_line(name: str, observations: list[Resource]) -> ResultLine:
    ordered = sorted(observations, key=lambda one: str(one.get("effectiveDateTime", "")))
    newest = ordered[-1]
    points = trend_points([_numbers(observation)[0] for observation in ordered])
    notes = [_text(note) for note in newest.get("interpretation", [])]
    return ResultLine(
        name=name,
        value=_value(newest),
        at=_moment(newest.get("effectiveDateTime")),
        note=notes[0] if notes and notes[0] != "Normal" else "",
        trend=" ".join(f"{x},{y}" for x, y in points),
        trend_end=points[-1],
    )


def trend_points(values: list[float]) -> list[tuple[str, str]]:
    """Points of a line of 96 by 24 pixels through the values, the first at the left."""
    low, high = min(values), max(values)
    width, height = TREND_WIDTH - 2 * TREND_MARGIN, TREND_HEIGHT - 2 * TREND_MARGIN
    last = max(len(values) - 1, 1)
    return [
        (
            f"{TREND_MARGIN + index / last * width:.1f}",
            f"{TREND_MARGIN + (high - value) / (high - low or 1) * height:.1f}",
        )
        for index, value in enumerate(values)
    ]


def _quantities(observation: Resource) -> list[Resource]:
    parts = [observation] if "valueQuantity" in observation else observation.get("component", [])
    return [part["valueQuantity"] for part in parts if "value" in part.get("valueQuantity", {})]


def _numbers(observation: Resource) -> list[float]:
    return [float(quantity["value"]) for quantity in _quantities(observation)]


def _value(observation: Resource) -> str:
    quantities = _quantities(observation)
    values = " / ".join(str(quantity["value"]) for quantity in quantities)
    return f"{values} {quantities[0].get('unit', '')}".strip()


def _text(concept: Resource | None) -> str:
    return str(
        (concept or {}).get("text") or _coding(concept, "display") or _coding(concept, "code")
    )


def _coding(concept: Resource | None, member: str) -> str:
    codings: list[Resource] = (concept or {}).get("coding", [])
    return str(codings[0].get(member, "")) if codings else ""


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
