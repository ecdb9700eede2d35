"""What an app is told of a write (FHIR R4 http 3.1.0.1.5 to 3.1.0.8; security-checklist G35, G36).

The stored resource leaves only if it would pass as an answer to the app; its address is built from
its id, never taken from the upstream.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

import orjson

from smart.gateway import fetch, outcomes, write_upstream
from smart.gateway.headers import Headers
from smart.gateway.outcomes import CONTENT_TYPE, PRIVATE_HEADERS, Answer, UpstreamFault
from smart.gateway.rewrite import Rewriter
from smart.gateway.write_headers import is_etag
from smart.gateway.write_upstream import Reply, Result
from smart.policy.facts import AnyOf
from smart.policy.references import ID_PATTERN, Bases
from smart.policy.request import FhirInteraction, FhirRequest
from smart.policy.write_rules import subject_of
from smart.scopes import match

_STATUS: Final = {
    FhirInteraction.CREATE: 201,
    FhirInteraction.UPDATE: 200,
    FhirInteraction.DELETE: 204,
}
_DONE: Final = "The change was made."
_address = re.compile(
    rf"(?:^|/)([A-Z][A-Za-z]+)/({ID_PATTERN})(?:/_history/{ID_PATTERN})?\Z"
).search
_http_date = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT").fullmatch


@dataclass(frozen=True, slots=True)
class Reader:
    """Who the answer is for: whose record it is, the scopes it must match, both base URLs."""

    patient: str
    scopes: AnyOf
    bases: Bases
    base: str
    rewriter: Rewriter


@dataclass(frozen=True, slots=True)
class Stored:
    """The resource as the upstream says it stands now, as far as it may be told."""

    resource_id: str | None
    version: str | None
    body: bytes | None
    headers: tuple[tuple[str, str], ...]


def reader_of(patient: str, scopes: AnyOf, bases: Bases, base: str, upstream_base: str) -> Reader:
    """A reader, from what the write was judged by."""
    return Reader(patient, scopes, bases, base, fetch.rewriter_of(upstream_base, base))


def preferred(headers: Headers) -> str:
    """What the app wants back: `minimal`, `representation` or `OperationOutcome` (RFC 7240)."""
    values = [value.decode("latin-1") for name, value in headers if name.lower() == b"prefer"]
    wanted = [part.strip().lower() for value in values for part in re.split("[,;]", value)]
    known = {"return=minimal": "minimal", "return=operationoutcome": "OperationOutcome"}
    return next((known[one] for one in wanted if one in known), "representation")


def stored(reply: Reply, request: FhirRequest, reader: Reader) -> Stored:
    """What is known of the resource after a change that was made."""
    resource = write_upstream.parsed(reply.body, request.resource_type) or {}
    resource_id = request.resource_id or _located(reply, request) or resource.get("id")
    meta = resource.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    etag = _kept(reply.headers.get("etag", ""), is_etag, reader) or _tag(meta.get("versionId"))
    date = _kept(reply.headers.get("last-modified", ""), _http_date, reader)
    headers = {"etag": etag, "last-modified": date or _date(meta.get("lastUpdated"))}
    is_same = bool(resource) and resource["id"] == resource_id
    return Stored(
        resource_id,
        etag.removeprefix("W/").strip('"') or None,
        _body(reply.body, resource, reader) if is_same else None,
        tuple((name, value) for name, value in headers.items() if value),
    )


def done(request: FhirRequest, after: Stored, wanted: str, base: str) -> Answer:
    """The answer to a change that was made."""
    status, headers = _STATUS[request.interaction], list(after.headers)
    if request.interaction is FhirInteraction.CREATE:
        version = f"/_history/{after.version}" if after.version else ""
        address = f"{base}/{request.resource_type}/{after.resource_id}{version}"
        headers.append(("location", address))
    if request.interaction is FhirInteraction.DELETE and wanted != "OperationOutcome":
        return Answer(204, (*PRIVATE_HEADERS, *headers), b"")
    if wanted == "minimal":
        return Answer(status, (*PRIVATE_HEADERS, *headers), b"")
    body = after.body if wanted == "representation" else None
    if body is None:
        body = orjson.dumps(outcomes.operation_outcome("informational", _DONE, "information"))
    content = (("content-type", CONTENT_TYPE), *PRIVATE_HEADERS, *headers)
    return Answer(200 if status == 204 else status, content, body)


def not_done(reply: Reply) -> Answer:
    """The answer to a change that was not made, or of which nobody knows."""
    match reply.result:
        case Result.CONFLICT:
            return outcomes.changed_meanwhile()
        case Result.UNAVAILABLE:
            seconds = fetch.retry_after(reply.headers.get("retry-after", ""))
            return outcomes.busy_upstream(reply.status, seconds)
        case Result.REFUSED if write_upstream.is_for_the_app(reply):
            return outcomes.refused_upstream()
        case Result.REFUSED:
            return outcomes.bad_gateway()
    return outcomes.unknown_outcome()


def _located(reply: Reply, request: FhirRequest) -> str | None:
    """The id in the upstream's Location header."""
    found = _address(reply.headers.get("location", ""))
    return found[2] if found and found[1] == request.resource_type else None


def _body(raw: bytes, resource: Mapping[str, Any], reader: Reader) -> bytes | None:
    """The resource to send, or None where it may not leave as it is."""
    if subject_of(dict(resource), reader.bases) != reader.patient:
        return None
    if not match.admits_any(reader.scopes, resource):
        return None
    try:
        return reader.rewriter.json(raw)
    except UpstreamFault:
        return None


def _kept(value: str, form: Callable[[str], object], reader: Reader) -> str:
    """A header of the upstream's, if it is of the proper form and shows no address."""
    try:
        return reader.rewriter.url(value) if form(value) else ""
    except UpstreamFault:
        return ""


def _tag(version: object) -> str:
    return f'W/"{version}"' if isinstance(version, str) and is_etag(f'"{version}"') else ""


def _date(instant: object) -> str:
    """An HTTP date of a FHIR instant."""
    try:
        at = datetime.fromisoformat(str(instant))
    except ValueError:
        return ""
    return format_datetime(at.astimezone(UTC), usegmt=True) if at.tzinfo else ""
