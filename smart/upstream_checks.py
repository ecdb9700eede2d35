"""Is it a FHIR R4 server that AuthFI can use? Asked before a connection is kept (EHR-38)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from authfi.lib import egress
from authfi.lib.egress import Kind
from authfi.lib.outbound import Limits
from smart import upstream
from smart.scopes.resource_types import RESOURCE_TYPES
from smart.upstream import Upstream, UpstreamError

#: A CapabilityStatement may have some megabytes.
_STATEMENT = Limits(total_seconds=15, read_seconds=15, max_bytes=10 * 1024 * 1024)
_SERVED_VERSION = "4.0"

_REMEDIES = {
    Kind.UNREACHABLE: "Check the address, and that the server is running and may be reached.",
    Kind.TIMEOUT: "Check that the server is running and answers within a few seconds.",
    Kind.REFUSED: "Check the credential, the certificate, and that the address is allowed.",
    Kind.BAD_ANSWER: "Check that the address is the FHIR base itself, such as https://host/fhir.",
    Kind.TOO_LARGE: "Check that the address is the FHIR base itself, such as https://host/fhir.",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what was found, and where it failed what to do about it."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """What the checks found; the fields after `checks` are empty where one failed.

    `capabilities` maps a resource type to its `interactions` and `search_params`, and to the
    `includes` and `revincludes` it lists, if it does.
    """

    checks: tuple[Check, ...]
    software: str = ""
    fhir_version: str = ""
    capabilities: Mapping[str, Mapping[str, list[str]]] | None = None

    @property
    def ok(self) -> bool:
        """Did every check pass?"""
        return all(check.ok for check in self.checks)


def run(found: Upstream) -> Findings:
    """Check the server step by step, until one step fails. Keeps nothing of its records."""
    address = _check_address(found)
    if not address.ok:
        return Findings((address,))
    try:
        statement = upstream.document(upstream.fetch(found, "metadata", limits=_STATEMENT))
    except UpstreamError as error:
        return Findings((address, _failed("capability statement", error)))
    described = _check_statement(statement)
    if not described.ok:
        return Findings((address, described))
    read = _check_read(found)
    return Findings(
        (address, described, read),
        software=software(statement),
        fhir_version=str(statement["fhirVersion"]),
        capabilities=capabilities(statement),
    )


def _check_address(found: Upstream) -> Check:
    name = "address"
    try:
        url = egress.check_url(found.base_url, found.rules)
    except UpstreamError as error:
        return Check(name, False, str(error), "Give the https:// address of the FHIR base.")
    if "?" in url.target:
        return Check(name, False, "The URL has a query.", "Give the FHIR base without it.")
    own = urlsplit(settings.ORIGIN)
    own_port = own.port or (443 if own.scheme == "https" else 80)
    server = url.origin
    same_host = server.host == own.hostname or (
        server.is_local and egress.is_loopback(own.hostname or "")
    )
    if same_host and server.port == own_port:
        return Check(
            name, False, "The URL leads to AuthFI itself.", "Give the address of the FHIR server."
        )
    if server.scheme == "https":
        return Check(name, True, "https, with the server's certificate verified")
    return Check(name, True, "on this machine, where no TLS is needed")


def _check_statement(statement: Mapping[str, Any]) -> Check:
    name = "capability statement"
    if statement.get("resourceType") != "CapabilityStatement":
        return Check(
            name,
            False,
            "The answer to /metadata is not a CapabilityStatement.",
            _REMEDIES[Kind.BAD_ANSWER],
        )
    version = statement.get("fhirVersion")
    if not isinstance(version, str) or not (version + ".").startswith(f"{_SERVED_VERSION}."):
        said = _short(version) or "none"
        return Check(
            name,
            False,
            f"The server speaks FHIR {said}, not R4 ({_SERVED_VERSION}).",
            "Give the server's R4 base; many servers have one beside the others.",
        )
    if "read" not in capabilities(statement).get("Patient", {}).get("interactions", []):
        return Check(
            name,
            False,
            "The server does not offer reading Patient resources.",
            "Let AuthFI's credential read patients, or switch that on at the server.",
        )
    return Check(name, True, f"{software(statement) or 'a server'}, FHIR {version}")


def _check_read(found: Upstream) -> Check:
    """A search that asks for a count only: it shows that the credential opens records."""
    name = "read"
    try:
        answer = upstream.document(upstream.fetch(found, "Patient", "_summary=count"))
    except UpstreamError as error:
        return _failed(name, error)
    if answer.get("resourceType") != "Bundle":
        return Check(
            name, False, "A search did not answer with a Bundle.", _REMEDIES[Kind.BAD_ANSWER]
        )
    return Check(name, True, "a search for patients was answered")


def _failed(name: str, error: UpstreamError) -> Check:
    return Check(name, False, str(error), _REMEDIES[error.kind])


def software(statement: Mapping[str, Any]) -> str:
    """Name and version the server gives itself, shortened; empty where it gives none."""
    said = statement.get("software")
    if not isinstance(said, Mapping):
        return ""
    parts = [_short(said.get("name")), _short(said.get("version"))]
    return " ".join(part for part in parts if part)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(character for character in text if character.isprintable())[:60].strip()


def capabilities(statement: Mapping[str, Any]) -> dict[str, dict[str, list[str]]]:
    """What the server does for each resource type; what is malformed is left out.

    Search parameters that it lists for all types count for each. Only the R4 types are kept.
    """
    servers = [rest for rest in _objects(statement.get("rest")) if rest.get("mode") == "server"]
    found: dict[str, dict[str, list[str]]] = {}
    for rest in servers:
        common = _texts(rest.get("searchParam"), "name")
        for resource in _objects(rest.get("resource")):
            if resource.get("type") in RESOURCE_TYPES:
                found[resource["type"]] = _described(resource, common)
    return found


def _described(resource: Mapping[str, Any], common: list[str]) -> dict[str, list[str]]:
    optional = {
        "includes": _strings(resource.get("searchInclude")),
        "revincludes": _strings(resource.get("searchRevInclude")),
    }
    return {
        "interactions": _texts(resource.get("interaction"), "code"),
        "search_params": sorted({*common, *_texts(resource.get("searchParam"), "name")}),
        **{name: listed for name, listed in optional.items() if listed},
    }


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _strings(value: object) -> list[str]:
    return sorted({one for one in value if isinstance(one, str)}) if isinstance(value, list) else []


def _texts(value: object, member: str) -> list[str]:
    texts = [one.get(member) for one in _objects(value)]
    return sorted({text for text in texts if isinstance(text, str)})
