"""The search parameters of FHIR R4 4.0.1 and US Core, per resource type (design D6).

The table is data: `search_parameters.json` maps a type (`*` for all) to its parameters, each with
its search type and, for references, the types it may point to (`*` for any).
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

#: Parameters that shape or page the result and do not choose resources (FHIR R4 search 3.1.1.5).
RESULT_PARAMETERS: Final = frozenset(
    {
        "_contained",
        "_containedType",
        "_count",
        "_elements",
        "_include",
        "_revinclude",
        "_sort",
        "_summary",
        "_total",
    }
)
#: Searches whose reach a request gate cannot bound (security-checklist G3, G5).
UNBOUNDED_PARAMETERS: Final = frozenset(
    {"_content", "_filter", "_has", "_list", "_query", "_text", "_type"}
)
#: Modifiers that ask the server's terminology or hierarchy (G5).
UNBOUNDED_MODIFIERS: Final = frozenset({"in", "not-in", "above", "below", "of-type"})
#: Modifiers by search type (FHIR R4 search 3.1.1.5.5). References also take a type name,
#: and `not`, which R5 adds and R4 servers already know.
MODIFIERS: Final = {
    "date": frozenset({"missing"}),
    "number": frozenset({"missing"}),
    "quantity": frozenset({"missing"}),
    "composite": frozenset({"missing"}),
    "special": frozenset({"missing"}),
    "string": frozenset({"missing", "exact", "contains"}),
    "token": frozenset({"missing", "text", "not"}) | UNBOUNDED_MODIFIERS,
    "uri": frozenset({"missing", "above", "below"}),
    "reference": frozenset({"missing", "identifier", "not", "above", "below"}),
}


@dataclass(frozen=True, slots=True)
class Definition:
    """A search parameter's search type and, for references, the types it may name."""

    type: str
    target: frozenset[str] = frozenset()

    def may_name(self, resource_type: str) -> bool:
        """Whether a reference parameter may point to that type."""
        return resource_type in self.target or "*" in self.target


@cache
def definitions() -> dict[str, dict[str, Definition]]:
    """The whole table, read once: type to parameter name to definition, common ones included."""
    text = resources.files(__package__).joinpath("search_parameters.json").read_text("utf-8")
    table: dict[str, dict[str, dict[str, str | list[str]]]] = json.loads(text)
    common = table.pop("*")
    return {
        resource_type: {
            name: Definition(str(row["type"]), frozenset(row.get("target", ())))
            for name, row in (common | own).items()
        }
        for resource_type, own in table.items()
    }


def find(resource_type: str, name: str) -> Definition | None:
    """The definition of a parameter on a type; None when neither R4 nor US Core has it."""
    return definitions().get(resource_type, {}).get(name)
