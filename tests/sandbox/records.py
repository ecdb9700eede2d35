"""Finding things in generated resources."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

Resources = list[dict[str, Any]]


def of_type(resources: Resources, resource_type: str) -> Resources:
    return [r for r in resources if r["resourceType"] == resource_type]


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a value."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from walk(part)
    elif isinstance(value, list):
        for part in value:
            yield from walk(part)


def by_patient(resources: Resources, code: str) -> dict[str, list[float]]:
    """Values of a LOINC code per patient, oldest first."""
    found: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for r in of_type(resources, "Observation"):
        if r["code"]["coding"][0]["code"] == code:
            found[r["subject"]["reference"]].append(
                (r["effectiveDateTime"], r["valueQuantity"]["value"])
            )
    return {name: [value for _, value in sorted(pairs)] for name, pairs in found.items()}


def with_problem(resources: Resources, code: str) -> set[str]:
    return {
        r["subject"]["reference"]
        for r in of_type(resources, "Condition")
        if r["code"]["coding"][0]["code"] == code
    }
