"""How much of its resources an answer shows: `_summary`, `_elements` and counts (G14, G15).

FHIR R4 search 3.1.1.5.8 and 3.1.1.5.9. The gateway applies these itself, after every resource was
judged whole: a server that left elements out could leave out what a decision hangs on.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from smart.policy.request import FhirRequest

#: Parameters that shape the answer and are never sent upstream.
PARAMETERS: Final = frozenset({"_elements", "_summary"})
#: Members every resource keeps, whatever its type (R4 resource, domainresource).
_ALWAYS: Final = ("resourceType", "id", "meta", "implicitRules", "modifierExtension")


@dataclass(frozen=True, slots=True)
class Elements:
    """Top-level elements of a type: those never left out, being mandatory or modifiers, and those
    of its summary. `value` stands for `value[x]`."""

    kept: frozenset[str]
    summary: frozenset[str]


@dataclass(frozen=True, slots=True)
class Shape:
    """`summary` is a value of `_summary`; `elements` those asked for, none meaning all."""

    summary: str = "false"
    elements: tuple[str, ...] = ()

    @property
    def is_count(self) -> bool:
        """Whether the number of matches is all that was asked for."""
        return self.summary == "count"

    @property
    def is_whole(self) -> bool:
        """Whether resources leave as they are."""
        return self.summary == "false" and not self.elements

    def shows(self, resource_type: str, member: str) -> bool:
        """Whether a member of a resource stays in it."""
        name = member.removeprefix("_")
        if self.summary == "data":
            return name != "text"
        found = elements_of(resource_type)
        if name in _ALWAYS or _is_named(name, found.kept):
            return True
        if self.summary == "text":
            return name == "text"
        wanted = self.elements or found.summary
        return _is_named(name, wanted)


def shape_of(request: FhirRequest) -> Shape:
    """The shape a search asks for; `_count=0` asks for a count (R4 3.1.1.5.7)."""
    summary = next((one.text for one in request.named("_summary")), "false")
    if any(int(one.text) == 0 for one in request.named("_count")):
        summary = "count"
    return Shape(summary, tuple(name for one in request.named("_elements") for name in one.values))


def elements_of(resource_type: str) -> Elements:
    """The elements of an R4 type. Raises KeyError for others."""
    return _table()[resource_type]


def _is_named(name: str, elements: "frozenset[str] | tuple[str, ...]") -> bool:
    """By its own name, or as a choice of types: `valueQuantity` is `value`."""
    return name in elements or any(
        name.startswith(one) and name[len(one) : len(one) + 1].isupper() for one in elements
    )


@cache
def _table() -> dict[str, Elements]:
    text = resources.files(__package__).joinpath("resource_elements.json").read_text("utf-8")
    table: dict[str, dict[str, str]] = json.loads(text)
    return {
        resource_type: Elements(frozenset(row["kept"].split()), frozenset(row["summary"].split()))
        for resource_type, row in table.items()
    }
