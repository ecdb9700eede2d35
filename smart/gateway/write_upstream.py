"""The two calls of a write to the FHIR server behind: what is there now, and the change itself.

Security-checklist G26, G36, V9. A change is sent once, under the version that was judged. What
came of it is one of five results; `UNKNOWN` is everything that does not say.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from smart import upstream
from smart.gateway import fetch, strict_json
from smart.gateway.budget import Lease, OverloadedError
from smart.gateway.outcomes import UpstreamFault
from smart.gateway.write_headers import is_etag
from smart.policy.references import is_id
from smart.policy.request import FhirInteraction, FhirRequest
from smart.upstream import FHIR_JSON, Upstream, UpstreamError

_METHODS: Final = {
    FhirInteraction.CREATE: "POST",
    FhirInteraction.UPDATE: "PUT",
    FhirInteraction.DELETE: "DELETE",
}
#: Statuses that say the server does not do this at all, rather than not with this resource.
_NOT_DONE_HERE: Final = frozenset({401, 403, 405, 407, 501})
_GONE: Final = frozenset({404, 410})


class Result(StrEnum):
    """What came of a change."""

    DONE = "done"
    REFUSED = "refused"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


class BusyError(RuntimeError):
    """The upstream takes no requests now: status 429 or 503, and when to ask again."""

    def __init__(self, status: int, seconds: int) -> None:
        super().__init__(f"the upstream answered {status}")
        self.status = status
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Current:
    """A resource as it stands: parsed, its version as If-Match takes it, the body's digest."""

    resource: dict[str, Any]
    etag: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the upstream said of a change; without headers and body where it is not DONE."""

    result: Result
    status: int = 0
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def digest(text: bytes) -> str:
    """What the audit trail keeps of a body (A2)."""
    return hashlib.sha256(text).hexdigest()


async def current(server: Upstream, request: FhirRequest, lease: Lease) -> Current | None:
    """The resource to change, or None where there is none.

    Raises UpstreamError, UpstreamFault, BusyError, OverloadedError.
    """
    asking = upstream.request(server, "GET", _path(request), limits=fetch.LIMITS)
    async with await asking as stream:
        if stream.status in _GONE or stream.status == 400:
            return None
        if stream.status in (429, 503):
            seconds = fetch.retry_after(stream.headers.get("retry-after", ""))
            raise BusyError(stream.status, seconds)
        if stream.status != 200:
            raise UpstreamFault(f"the upstream answered {stream.status}")
        body, etag = await fetch.whole_body(stream, lease), stream.headers.get("etag", "")
    resource = parsed(body, request.resource_type)
    if resource is None or resource.get("id") != request.resource_id:
        raise UpstreamFault("the upstream answered with another resource")
    return Current(resource, _version(etag, resource), digest(body))


async def send(
    server: Upstream, request: FhirRequest, text: bytes | None, etag: str | None, lease: Lease
) -> Reply:
    """Make the change, once. Never raises: what went wrong is in the reply."""
    headers = {"prefer": "return=representation"}
    if text is not None:
        headers["content-type"] = FHIR_JSON
    if etag is not None:
        headers["if-match"] = etag
    method = _METHODS[request.interaction]
    try:
        stream = await upstream.request(
            server, method, _path(request), "", headers, text, limits=fetch.LIMITS
        )
    except UpstreamError as error:
        return Reply(Result.UNKNOWN, reason=str(error))
    async with stream:
        result, status = _result(stream.status, request), stream.status
        if result is not Result.DONE:
            reason = f"the upstream answered {status}"
            return Reply(result, status, reason, dict(stream.headers))
        try:
            body = await fetch.whole_body(stream, lease)
        except (UpstreamError, OverloadedError):
            body = b""  # the status has said that the change is made
        return Reply(result, status, headers=stream.headers.copy(), body=body)


def parsed(body: bytes, resource_type: str | None) -> dict[str, Any] | None:
    """The resource of that type in an upstream's body, or None."""
    try:
        resource = strict_json.loads(body)
    except ValueError:
        return None
    if not isinstance(resource, dict) or resource.get("resourceType") != resource_type:
        return None
    return resource if is_id(resource.get("id")) else None


def _path(request: FhirRequest) -> str:
    if request.interaction is FhirInteraction.CREATE:
        return str(request.resource_type)
    return f"{request.resource_type}/{request.resource_id}"


def _version(etag: str, resource: dict[str, Any]) -> str | None:
    """The resource's version as an entity tag; None where the server tells none."""
    if is_etag(etag):
        return etag
    meta = resource.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    return f'W/"{version}"' if is_id(version) else None


def _result(status: int, request: FhirRequest) -> Result:
    if status in (200, 201, 204):
        return Result.DONE
    if status in (429, 503):
        return Result.UNAVAILABLE
    if not 400 <= status < 500 and status not in _NOT_DONE_HERE:
        return Result.UNKNOWN
    is_change = request.interaction is not FhirInteraction.CREATE
    if is_change and (status in (409, 412) or status in _GONE):
        return Result.CONFLICT
    return Result.REFUSED


def is_for_the_app(reply: Reply) -> bool:
    """Whether a refusal is about the resource, and not about this server's own access."""
    return reply.status not in _NOT_DONE_HERE
