"""The CapabilityStatement: what the upstream has and the gateway lets through (G48, RSVR-21)."""

from collections.abc import Mapping, Sequence
from typing import Any

from smart.policy import include_rules, search_parameters, write_rules
from smart.policy.compartment import READ_LIST, TABLE
from smart.policy.owners import names_of

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
        includes = _includes(has.get("includes", ()), "_include", resource_type)
        revincludes = _includes(has.get("revincludes", ()), "_revinclude", resource_type)
        described |= {
            **({"searchInclude": includes} if includes else {}),
            **({"searchRevInclude": revincludes} if revincludes else {}),
            "searchParam": _search_parameters(resource_type, has["search_params"]),
        }
    return described


def _served(resource_type: str) -> tuple[str, ...]:
    """The interactions on a type that some scope opens, if the upstream has them."""
    if resource_type not in TABLE and resource_type not in READ_LIST:
        return ()
    is_searched = resource_type in READ_LIST or bool(names_of(resource_type))
    searches = ("search-type",) if is_searched else ()
    return ("read", "vread", "history-instance", *_writes(resource_type), *searches)


def _writes(resource_type: str) -> tuple[str, ...]:
    if resource_type == "Patient":
        return ("update",)
    is_written = resource_type in write_rules.WRITABLE
    return ("create", "update", "delete") if is_written else ()


def _includes(listed: Sequence[str], name: str, resource_type: str) -> list[str]:
    """Of the includes that the upstream lists those that are let through (G4)."""
    found = {include_rules.parse(one.replace(".", ":", 1)) for one in listed if one != "*"}
    return sorted(
        {
            f"{one.source}:{one.parameter}"
            for one in found
            if include_rules.fits(name, one, resource_type) and include_rules.types_of(name, one)
        }
    )


def _search_parameters(resource_type: str, supported: Sequence[str]) -> list[dict[str, str]]:
    found = []
    for name in sorted(set(supported)):
        definition = search_parameters.find(resource_type, name)
        if definition and name not in search_parameters.UNBOUNDED_PARAMETERS:
            found.append({"name": name, "type": definition.type})
    return found
