"""Asking the FHIR server behind, and judging what it answers (security-checklist 4, b; G36)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

from django.utils import timezone

from authfi.lib.outbound import Stream
from smart import upstream
from smart.gateway import fhir_request, outcomes
from smart.gateway.budget import Lease
from smart.gateway.outcomes import Answer, UpstreamFault
from smart.gateway.response_gate import Page, gate_read, judge_bundle
from smart.gateway.rewrite import Rewriter
from smart.policy.facts import Access, Permit
from smart.policy.request import FhirInteraction
from smart.upstream import Upstream

#: The largest answer taken from an upstream (V3).
MAX_BODY_BYTES: Final = 20 * 1024 * 1024
LIMITS: Final = replace(upstream.GATEWAY, max_bytes=MAX_BODY_BYTES)
#: A parameter that the upstream does not know is an error, not a wider search (G6, R4 3.1.1.2).
_STRICT: Final = {"prefer": "handling=strict"}
#: Held for an answer whose length is not known beforehand, until more comes.
_FIRST_BYTES: Final = 256 * 1024
#: What to tell apps when a busy upstream names no time, and the longest it may name.
_RETRY_SECONDS: Final = 5
_RETRY_MAX_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Found:
    """The answer that may leave, how many resources it holds, and what the upstream did wrong."""

    answer: Answer
    returned: int = 0
    fault: str = ""


async def fetch(permit: Permit, server: Upstream, base: str, lease: Lease) -> Found:
    """What the upstream has for a permitted request, judged; `base` is the public FHIR base.

    Raises UpstreamError, UpstreamFault, OverloadedError.
    """
    path, query = fhir_request.to_upstream(permit.request)
    asking = upstream.request(server, "GET", path, query, _STRICT, limits=LIMITS)
    async with await asking as stream:
        if stream.status != 200:
            return _without(stream.status, stream.headers, permit)
        body, headers = await whole_body(stream, lease), list(stream.headers.items())
    access = permit.access
    if access is None:
        raise UpstreamFault("there is nothing to judge this answer by")
    rewriter = rewriter_of(server.base_url, base)
    if permit.request.interaction is FhirInteraction.READ:
        return _read(body, headers, access, rewriter)
    page = Page(self_url=fhir_request.public_url(base, permit.request))
    bundle = judge_bundle(body, access, rewriter, page, MAX_BODY_BYTES)
    return Found(_ok(bundle.body), len(bundle.kept))


async def whole_body(stream: Stream, lease: Lease) -> bytes:
    """The whole body of an upstream's answer, held against the process's budget before it is here.

    Raises UpstreamError, OverloadedError.
    """
    said = stream.headers.get("content-length", "")
    expected = int(said[:12]) if said.isascii() and said.isdecimal() else _FIRST_BYTES
    await lease.take(min(expected, MAX_BODY_BYTES))
    chunks, size = [], 0
    async for chunk in stream.chunks():
        size += len(chunk)
        lease.grow_to(size)
        chunks.append(chunk)
    return b"".join(chunks)


def _without(status: int, headers: Mapping[str, str], permit: Permit) -> Found:
    """An answer other than 200: its status is read, its body is not (G36, EHR-35).

    A read sends nothing but an id of proper form: who calls that a bad request has no such id.
    """
    is_read = permit.request.interaction is FhirInteraction.READ
    if status in (404, 410) or (is_read and status == 400):
        return Found(outcomes.not_found())
    fault = f"the upstream answered {status}"
    if status in (400, 422) and not is_read:
        return Found(outcomes.unsupported_search(), fault=fault)
    if status in (429, 503):
        seconds = retry_after(headers.get("retry-after", ""))
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


def _read(body: bytes, headers: list[tuple[str, str]], access: Access, rewriter: Rewriter) -> Found:
    gated = gate_read(body, access, rewriter, MAX_BODY_BYTES)
    if gated is None:
        return Found(outcomes.not_found())
    return Found(_ok(gated, *rewriter.headers(headers)), 1)


@lru_cache(maxsize=1024)
def rewriter_of(upstream_base: str, base: str) -> Rewriter:
    """The rewriter between two base URLs, made once."""
    return Rewriter.between(upstream_base, base)


def _ok(body: bytes, *extra: tuple[str, str]) -> Answer:
    content_type = ("content-type", outcomes.CONTENT_TYPE)
    return Answer(200, (content_type, *outcomes.PRIVATE_HEADERS, *extra), body)
