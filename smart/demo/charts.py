"""What the EHR's pages show of FHIR resources: plain values for templates. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from smart.record_lines import concept, moment, text

Resource = Mapping[str, Any]

TREND_WIDTH, TREND_HEIGHT, TREND_MARGIN = 96.0, 24.0, 3.0


@dataclass(frozen=True, slots=True)
class ResultLine:
    """A test or measurement: its newest value and the way it went."""

    name: str
    value: str
    at: datetime | None
    note: str
    trend: str
    trend_end: tuple[str, str]


def result_lines(observations: Iterable[Resource]) -> list[ResultLine]:
    """One line a test, in the order of their names."""
    tests: dict[str, list[Resource]] = {}
    for observation in observations:
        if _numbers(observation):
            tests.setdefault(concept(observation.get("code")), []).append(observation)
    return [_result_line(name, tests[name]) for name in sorted(tests, key=str.casefold)]


def _result_line(name: str, observations: list[Resource]) -> ResultLine:
    ordered = sorted(observations, key=lambda one: str(one.get("effectiveDateTime", "")))
    newest = ordered[-1]
    points = trend_points([_numbers(observation)[0] for observation in ordered])
    notes = [concept(note) for note in newest.get("interpretation", [])]
    return ResultLine(
        name=name,
        value=_value(newest),
        at=moment(text(newest.get("effectiveDateTime"))),
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
