"""The CapabilityStatement: what the upstream has and the gateway lets through (G48, RSVR-21)."""

from collections.abc import Mapping, Sequence
from typing import Any

from smart.policy import search_parameters
from smart.policy.compartment import READ_LIST, TABLE

#: Where SMART 1 apps look for endpoints; deprecated, so only where there are such apps (DISC-25).
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


def statement(
    *,
    base: str,
    name: str,
    version: str,
    date: str,
    upstream: Mapping[str, Any],
    oauth_uris: Mapping[str, str],
) -> dict[str, Any]:
    """The document served at `{base}/metadata`.

    `upstream` maps a resource type to its `interactions` and `search_params`, as the activation
    found them; `date` is when, in RFC 3339; `oauth_uris` are told where there are any.
    """
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "AuthFI", "version": version},
        "implementation": {"description": f"FHIR API of {name}", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "security": _security(base, oauth_uris),
                "resource": [
                    resource
                    for resource_type in sorted(upstream)
                    if (resource := _resource(resource_type, upstream[resource_type]))
                ],
            }
        ],
    }


def _security(base: str, oauth_uris: Mapping[str, str]) -> dict[str, Any]:
    extension = {
        "url": OAUTH_URIS,
        "extension": [{"url": name, "valueUri": uri} for name, uri in oauth_uris.items()],
    }
    return {
        **({"extension": [extension]} if oauth_uris else {}),
        "cors": True,
        "service": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                        "code": "SMART-on-FHIR",
                    }
                ]
            }
        ],
        "description": f"SMART App Launch; see {base}/.well-known/smart-configuration",
    }


def _resource(resource_type: str, has: Mapping[str, Sequence[str]]) -> dict[str, Any] | None:
    """What is offered of a type; None when nothing is."""
    interactions = [one for one in _served(resource_type) if one in has["interactions"]]
    if not interactions:
        return None
    described: dict[str, Any] = {
        "type": resource_type,
        "interaction": [{"code": one} for one in interactions],
    }
    if "search-type" in interactions:
        described["searchParam"] = _search_parameters(resource_type, has["search_params"])
    return described


def _served(resource_type: str) -> tuple[str, ...]:
    if resource_type == "Patient" or (resource_type in TABLE and TABLE[resource_type].search):
        return "read", "search-type"
    if resource_type in TABLE or resource_type in READ_LIST:
        return ("read",)
    return ()


def _search_parameters(resource_type: str, supported: Sequence[str]) -> list[dict[str, str]]:
    found = []
    for name in sorted(set(supported)):
        definition = search_parameters.find(resource_type, name)
        if definition and name not in search_parameters.UNBOUNDED_PARAMETERS:
            found.append({"name": name, "type": definition.type})
    return found
