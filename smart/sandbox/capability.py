"""The CapabilityStatement: what this server really does (FHIR R4 capabilitystatement)."""

from typing import Any

from smart.sandbox.outcome import Resource
from smart.sandbox.parameters import DATE, PARAMETERS, REFERENCE, parameters_of
from smart.sandbox.resource_types import RESOURCE_TYPES

_INTERACTIONS = ("read", "vread", "update", "delete", "history-instance", "create", "search-type")


def capability_statement(base: str) -> Resource:
    """The statement of the server at this FHIR base."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2025-01-01",
        "kind": "instance",
        "software": {"name": "AuthFI sandbox FHIR server", "version": "1"},
        "implementation": {
            "description": "Embedded FHIR server with synthetic data; not for real patients.",
            "url": base,
        },
        "fhirVersion": "4.0.1",
        "format": ["json", "application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "documentation": "Type, id and meta are checked, profiles are not.",
                "security": {"description": "One bearer token, given to the process beside it."},
                "resource": [_describe(name) for name in sorted(RESOURCE_TYPES)],
            }
        ],
    }


def _describe(resource_type: str) -> dict[str, Any]:
    parameters = parameters_of(resource_type)
    described: dict[str, Any] = {
        "type": resource_type,
        "interaction": [{"code": code} for code in _INTERACTIONS],
        "versioning": "versioned",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": False,
        "conditionalRead": "not-match",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "searchParam": [
            {"name": "_id", "type": "token"},
            {"name": "_lastUpdated", "type": DATE},
            *({"name": p.name, "type": p.kind} for p in parameters.values()),
        ],
    }
    if includes := _references_from(resource_type):
        described["searchInclude"] = includes
    if revincludes := _REFERRING.get(resource_type):
        described["searchRevInclude"] = revincludes
    return described


def _references_from(resource_type: str) -> list[str]:
    parameters = parameters_of(resource_type).values()
    return [f"{resource_type}:{p.name}" for p in parameters if p.kind == REFERENCE]


def _referring() -> dict[str, list[str]]:
    """For each type the reference parameters that may name it; without targets, any type."""
    found: dict[str, list[str]] = {name: [] for name in RESOURCE_TYPES}
    for source, parameters in sorted(PARAMETERS.items()):
        for parameter in parameters.values():
            if parameter.kind == REFERENCE:
                for target in parameter.targets or sorted(RESOURCE_TYPES):
                    found[target].append(f"{source}:{parameter.name}")
    return found


_REFERRING = _referring()
