"""Asking the FHIR server behind, and judging what it answers (security-checklist 4, b; G36)."""

from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, Literal

from django.utils import timezone

from authfi.lib.outbound import Stream
from smart import upstream
from smart.gateway import bundles, fhir_request, outcomes
from smart.gateway.budget import Lease
from smart.gateway.bundles import Opened
from smart.gateway.exchange import Exchange, Found
from smart.gateway.outcomes import Answer, UpstreamFault
from smart.gateway.rewrite import Rewriter
from smart.policy.request import FhirRequest, SearchParameter
from smart.policy.search_parameters import find
from smart.upstream_search import at_base

#: The largest answer taken from an upstream (V3).
MAX_BODY_BYTES: Final = 20 * 1024 * 1024
LIMITS: Final = replace(upstream.GATEWAY, max_bytes=MAX_BODY_BYTES)
#: A parameter that the upstream does not know is an error, not a wider search (G6, R4 3.1.1.2).
_STRICT: Final = {"prefer": "handling=strict"}
_FORM: Final = {**_STRICT, "content-type": "application/x-www-form-urlencoded"}
#: A longer query goes upstream as a form: servers take URLs of some kilobytes only.
_MAX_QUERY: Final = 3000
#: Held for an answer whose length is not known beforehand, until more comes.
_FIRST_BYTES: Final = 256 * 1024
#: What to tell apps when a busy upstream names no time, and the longest it may name.
_RETRY_SECONDS: Final = 5
_RETRY_MAX_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Reply:
    """What the upstream answered: a body only where it was a 200 (G36, EHR-35).

    `path` is what was asked for, below the base.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    path: str = ""


async def ask(exchange: Exchange, path: str, query: str) -> Reply:
    """GET below the upstream's base. Raises UpstreamError, UpstreamFault, OverloadedError."""
    method, form, sent, asked = "GET", None, _STRICT, path
    if len(query) > _MAX_QUERY and "/" not in path and path:
        method, path, query, form, sent = "POST", f"{path}/_search", "", query.encode(), _FORM
    asking = upstream.request(exchange.server, method, path, query, sent, form, limits=LIMITS)
    async with await asking as stream:
        headers = list(stream.headers.items())
        if stream.status != 200:
            return Reply(stream.status, headers, b"")
        body = await whole_body(stream, exchange.lease)
    if len(body) > MAX_BODY_BYTES:
        raise UpstreamFault("the answer is too large")
    return Reply(200, headers, body, asked)


def opened(exchange: Exchange, reply: Reply, kind: Literal["searchset", "history"]) -> Opened:
    """The answer's bundle, with its link onward below the base that was asked. Raises
    UpstreamFault for what is no bundle of that kind."""
    found = bundles.open_bundle(reply.body, kind)
    if found.onward is None:
        return found
    base = exchange.server.base_url
    return replace(found, onward=at_base(found.onward, found.own, base, reply.path))


async def ask_permitted(exchange: Exchange) -> Reply:
    """What the upstream says to the permitted request, or to the page it goes on with."""
    if exchange.onward is not None:
        return await ask(exchange, exchange.onward.path, exchange.onward.query)
    rewriter = rewriter_of(exchange.server.base_url, exchange.base)
    return await ask(
        exchange, *fhir_request.to_upstream(_behind(exchange.permit.request, rewriter))
    )


def _behind(request: FhirRequest, rewriter: Rewriter) -> FhirRequest:
    """The search by the identifier systems and URLs that the upstream knows (G35)."""
    if not request.parameters:
        return request
    return replace(
        request,
        parameters=tuple(
            replace(one, values=tuple(rewriter.back(value) for value in one.values))
            if _holds_urls(request, one)
            else one
            for one in request.parameters
        ),
    )


def _holds_urls(request: FhirRequest, parameter: SearchParameter) -> bool:
    """References are none of them: what they name was decided upon as it is."""
    definition = find(request.resource_type or "", parameter.name)
    return definition is not None and definition.type in ("token", "uri")


async def whole_body(stream: Stream, lease: Lease) -> bytes:
    """The whole body of an upstream's answer, held against the process's budget before it is here.

    Raises UpstreamError, OverloadedError.
    """
    said = stream.headers.get("content-length", "")
    expected = int(said[:12]) if said.isascii() and said.isdecimal() else _FIRST_BYTES
    await lease.take(min(expected, MAX_BODY_BYTES))
    chunks, size = [], 0
    while chunk := await stream.chunk():
        size += len(chunk)
        lease.grow_to(size)
        chunks.append(chunk)
    return b"".join(chunks)


def without(reply: Reply, *, is_read: bool) -> Found:
    """An answer other than 200: its status is read, its body is not (G36, EHR-35).

    A read sends nothing but an id of proper form: who calls that a bad request has no such id.
    Raises UpstreamFault.
    """
    status = reply.status
    if status in (404, 410) or (is_read and status == 400):
        return Found(outcomes.not_found())
    fault = f"the upstream answered {status}"
    if status in (400, 422) and not is_read:
        return Found(outcomes.unsupported_search(), fault=fault)
    if status in (429, 503):
        seconds = retry_after(_header(reply, "retry-after"))
        return Found(outcomes.busy_upstream(status, seconds), fault=fault)
    raise UpstreamFault(fault)


def retry_after(value: str) -> int:
    """Seconds from now of a Retry-After header (RFC 9110 10.2.3), within an hour."""
    if value.isascii() and value.isdecimal():
        return min(int(value[:9]), _RETRY_MAX_SECONDS)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return _RETRY_SECONDS
    seconds = (at.replace(tzinfo=at.tzinfo or UTC) - timezone.now()).total_seconds()
    return min(max(round(seconds), 0), _RETRY_MAX_SECONDS)


@lru_cache(maxsize=1024)
def rewriter_of(upstream_base: str, base: str) -> Rewriter:
    """The rewriter between two base URLs, made once."""
    return Rewriter.between(upstream_base, base)


def ok(body: bytes, *extra: tuple[str, str]) -> Answer:
    """200 with FHIR JSON that depends on a token."""
    content_type = ("content-type", outcomes.CONTENT_TYPE)
    return Answer(200, (content_type, *outcomes.PRIVATE_HEADERS, *extra), body)


def _header(reply: Reply, wanted: str) -> str:
    return next((value for name, value in reply.headers if name.lower() == wanted), "")
