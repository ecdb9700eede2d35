"""A tenant's FHIR server, as its healthcare module names it (ehr-connectors 2, 7, 10; T8).

The gateway asks it asynchronously through `request`; pages ask for single facts through `read`,
`search` and `patient_name`. Nothing here decides who may see an answer.
"""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from django.conf import settings

from authfi.lib import database, outbound, requestinfo, tenancy
from authfi.lib.egress import Kind, OutboundError, Rules
from authfi.lib.outbound import Limits, Response, Stream
from authfi.lib.tenancy import TenantRef
from authfi.lib.ttl import Ttl
from smart.models import HealthcareModule
from smart.policy.references import is_id

FHIR_JSON = "application/fhir+json"
GATEWAY = Limits(total_seconds=30, read_seconds=15, max_bytes=50 * 1024 * 1024)
PAGES = Limits(total_seconds=5, read_seconds=5, max_bytes=2 * 1024 * 1024)

#: What of a request's headers may reach the upstream (EHR-31, EHR-32).
PASSED_ON = frozenset(
    {
        *("accept", "content-type", "prefer", "if-match", "if-none-match"),
        *("if-modified-since", "if-none-exist"),
    }
)

_NAME_USES = ("official", "usual", "nickname", "temp", "", "anonymous", "maiden", "old")

#: One error for all of it: `kind` says what went wrong, the text names no address.
UpstreamError = OutboundError


class NotActiveError(LookupError):
    """The tenant has no healthcare module."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the FHIR server is (base URL without a trailing slash) and what opens it.

    `source` is the file it was read from, where a server writes one at every start (the sandbox),
    and `stamp` tells whether that file is still the same.
    """

    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    rules: Rules
    source: Path | None = None
    stamp: tuple[int, int] | None = None

    @property
    def is_current(self) -> bool:
        """False once the sandbox was started anew."""
        return self.source is None or _stamp(self.source) == self.stamp


_cache: Ttl[UUID, Upstream] = Ttl(3.0)


def resolve() -> Upstream:
    """The bound tenant's FHIR server. Raises NotActiveError, UpstreamError."""
    tenant = tenancy.current()
    if (hit := _cached(tenant.id)) is not None:
        return hit
    asked_at = time.monotonic()
    module = HealthcareModule.objects.first()
    if module is None:
        raise NotActiveError("The organization has no FHIR server connected.")
    found = connect(tenant, module.preset, module.connection)
    return _cache.put(tenant.id, found, asked_at)


async def aresolve(tenant: TenantRef) -> Upstream:
    """`resolve` for async code: from memory, else with one thread hop. Raises as `resolve`."""
    hit = _cached(tenant.id)
    return hit if hit is not None else await database.run(tenant, resolve)


def forget(tenant_id: UUID) -> None:
    """Read the connection anew at the next call."""
    _cache.forget(tenant_id)


def connect(tenant: TenantRef, preset: str, connection: Mapping[str, Any]) -> Upstream:
    """The upstream that a connection describes; asks nobody. Raises UpstreamError.

    `connection` is `{"fhir_base", "auth": {"mode", ...}}`; the sandbox's is read from its file.
    """
    if preset == "sandbox":
        return _sandbox(tenant)
    return Upstream(
        base_url=str(connection["fhir_base"]).rstrip("/"),
        headers=_credential(connection["auth"]),
        rules=Rules(any_port=True, loopback=not settings.PRODUCTION),
    )


def _sandbox(tenant: TenantRef) -> Upstream:
    """Port and bearer are those of the process that runs now (D6)."""
    source = Path(settings.DATA_DIR) / f"sandbox-{tenant.slug}.json"
    stamp = _stamp(source)
    try:
        said = json.loads(source.read_bytes())
        port, bearer = int(said["port"]), str(said["bearer"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UpstreamError(Kind.UNREACHABLE, "The sandbox FHIR server is not running.") from None
    return Upstream(
        base_url=f"http://127.0.0.1:{port}/fhir",
        headers=_credential({"mode": "static_bearer", "token": bearer}),
        rules=Rules(any_port=True, loopback=True),
        source=source,
        stamp=stamp,
    )


def _stamp(path: Path) -> tuple[int, int] | None:
    """Tells one writing of a file from the next; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _credential(auth: Mapping[str, str]) -> dict[str, str]:
    if auth["mode"] == "basic":
        pair = f"{auth['username']}:{auth['password']}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    if auth["mode"] == "static_bearer":
        return {"Authorization": f"Bearer {auth['token']}"}
    return {}


def _cached(tenant_id: UUID) -> Upstream | None:
    hit = _cache.get(tenant_id)
    return hit.value if hit and hit.value.is_current else None


async def request(
    upstream: Upstream,
    method: str,
    path: str,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    *,
    limits: Limits = GATEWAY,
) -> Stream:
    """Ask the FHIR server for `path` below its base; close what is returned.

    `path` and `query` are sent as they are, of `headers` only those in PASSED_ON. Raises
    UpstreamError.
    """
    return await outbound.send(
        method,
        _url(upstream, path, query),
        headers=_headers(upstream, headers or {}),
        body=body,
        rules=upstream.rules,
        limits=limits,
    )


def read(resource_type: str, resource_id: str) -> dict[str, Any] | None:
    """A resource of the bound tenant's server, or None. Raises NotActiveError, UpstreamError."""
    if not is_id(resource_id):
        return None
    answer = fetch(resolve(), f"{resource_type}/{resource_id}")
    if answer.status in (404, 410):
        return None
    resource = document(answer)
    if (resource.get("resourceType"), resource.get("id")) != (resource_type, resource_id):
        raise UpstreamError(Kind.BAD_ANSWER, "The FHIR server answered with another resource.")
    return resource


def search(resource_type: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
    """The first page of a search, resources of that type only. Raises as `read`."""
    bundle = document(fetch(resolve(), resource_type, urlencode(params)))
    entries = bundle.get("entry", [])
    if bundle.get("resourceType") != "Bundle" or not isinstance(entries, list):
        raise UpstreamError(Kind.BAD_ANSWER, "The FHIR server did not answer with a Bundle.")
    resources = [entry.get("resource") for entry in entries if isinstance(entry, dict)]
    return [
        resource
        for resource in resources
        if isinstance(resource, dict) and resource.get("resourceType") == resource_type
    ]


def patient_name(patient_id: str) -> str | None:
    """A patient's name for a page, or None where the server does not tell it."""
    try:
        patient = read("Patient", patient_id)
    except (NotActiveError, UpstreamError):
        return None
    return human_name(patient.get("name")) if patient else None


def human_name(names: object) -> str | None:
    """The name to show of a list of FHIR HumanName: the official one first."""
    if not isinstance(names, list):
        return None
    known = [name for name in names if isinstance(name, dict)]
    for name in sorted(known, key=_name_rank):
        given = name.get("given")
        parts = [*(given if isinstance(given, list) else []), name.get("family")]
        joined = " ".join(part for part in parts if isinstance(part, str) and part)
        text = name.get("text")
        if shown := text if isinstance(text, str) and text else joined:
            return shown
    return None


def _name_rank(name: Mapping[str, Any]) -> int:
    use = name.get("use", "")
    return _NAME_USES.index(use) if use in _NAME_USES else len(_NAME_USES)


def fetch(upstream: Upstream, path: str, query: str = "", *, limits: Limits = PAGES) -> Response:
    """GET below the base, for code that is not async. Raises UpstreamError."""
    return outbound.fetch(
        _url(upstream, path, query),
        headers=_headers(upstream, {}),
        rules=upstream.rules,
        limits=limits,
    )


def document(answer: Response) -> dict[str, Any]:
    """The JSON object of a 200 answer. Raises UpstreamError."""
    if answer.status in (401, 403):
        raise UpstreamError(Kind.REFUSED, "The FHIR server refuses AuthFI's credential.")
    if answer.status != 200:
        text = f"The FHIR server answered with status {answer.status}."
        raise UpstreamError(Kind.BAD_ANSWER, text)
    try:
        parsed = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise UpstreamError(Kind.BAD_ANSWER, "The FHIR server's answer is not a JSON object.")
    return parsed


def _url(upstream: Upstream, path: str, query: str) -> str:
    below = f"/{path}" if path else ""
    return f"{upstream.base_url}{below}" + (f"?{query}" if query else "")


def _headers(upstream: Upstream, asked: Mapping[str, str]) -> dict[str, str]:
    """EHR-31: a request of our own; the caller adds only what FHIR needs.

    Answers are asked for anew: servers reuse the result of an equal search for a minute, so that a
    search would miss what was just written, and find who has just left a care team.
    """
    sent = {"accept": FHIR_JSON, "cache-control": "no-cache"}
    sent |= {name.lower(): value for name, value in asked.items() if name.lower() in PASSED_ON}
    if request_id := requestinfo.current().request_id:
        sent["x-request-id"] = request_id
    return sent | dict(upstream.headers)
