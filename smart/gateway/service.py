"""From a request below a FHIR base to its answer (security-checklist 4, rules a to c)."""

import asyncio
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import orjson

from audit.events import Event
from audit.record import AuditUnavailableError, arecord
from authfi import __version__
from authfi.lib.egress import Kind
from authfi.lib.tenancy import TenantRef
from smart import activation, cors, tokens, upstream
from smart.gateway import capability, fhir_request, outcomes, trail
from smart.gateway.outcomes import Answer, BadRequest, Realm, UpstreamFault
from smart.gateway.response_gate import Page, gate_read, judge_bundle
from smart.gateway.rewrite import Rewriter
from smart.models import HealthcareModule
from smart.policy.decision import decide
from smart.policy.facts import Access, Deny, Facts, Permit
from smart.policy.request import FhirInteraction, FhirRequest
from smart.tokens import AccessToken, InvalidTokenError
from smart.upstream import NotActiveError, Upstream, UpstreamError
from tenants.http import fhir_base, resource_metadata
from tenants.models import Tenant

#: The largest answer taken from an upstream, and how many answers are held at once (V3, D6).
MAX_BODY_BYTES: Final = 20 * 1024 * 1024
MAX_BODIES_HELD: Final = 8
RETRY_AFTER_SECONDS: Final = 5
_bodies = asyncio.Semaphore(MAX_BODIES_HELD)


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request below a FHIR base, nothing of it decoded."""

    method: str
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]

    def header(self, name: bytes) -> str:
        """A header's first value, or an empty text."""
        for key, value in self.headers:
            if key.lower() == name:
                return value.decode("latin-1")
        return ""


async def respond(request: Request, tenant: Tenant) -> Answer:
    """The answer to any request below the bound tenant's FHIR base."""
    origin = request.header(b"origin")
    allowed = await cors.aregistered_origins(tenant.ref) if origin else frozenset()
    if request.method == "OPTIONS":
        preflight = cors.preflight_headers(origin, allowed)
        return Answer(204, tuple(preflight.items()), b"")
    try:
        answer = await _answer(request, tenant)
    except AuditUnavailableError:
        answer = outcomes.unavailable(RETRY_AFTER_SECONDS)
    is_open = request.path == b"/metadata"
    return _with(answer, cors.cors_headers(origin, cors.ANY if is_open else allowed))


async def _answer(request: Request, tenant: Tenant) -> Answer:
    module = await activation.amodule(tenant.ref)
    if module is None:
        return outcomes.no_such_base()
    base = fhir_base(tenant)
    realm = Realm(base, resource_metadata(tenant))
    parsed = _parsed(request)
    if isinstance(parsed, BadRequest) and parsed.is_token_misuse:
        return outcomes.from_bad_request(parsed, realm)
    if isinstance(parsed, FhirRequest) and parsed.interaction is FhirInteraction.CAPABILITIES:
        return _capabilities(base, tenant.name, module)
    token = await _authenticated(request, tenant.ref, realm)
    if isinstance(token, Answer):
        return token
    if isinstance(parsed, BadRequest):
        await arecord(trail.malformed(token, reason=parsed.diagnostics, status=parsed.status))
        return outcomes.from_bad_request(parsed, realm)
    return await _decided(parsed, token, tenant.ref, realm)


def _parsed(request: Request) -> FhirRequest | BadRequest:
    try:
        return fhir_request.parse(request.method, request.path, request.query, request.headers)
    except BadRequest as error:
        return error


def _capabilities(base: str, name: str, module: HealthcareModule) -> Answer:
    document = capability.statement(
        base=base,
        name=name,
        version=__version__,
        date=module.checked_at.isoformat(timespec="seconds"),
        upstream=module.capabilities,
    )
    headers = (("content-type", outcomes.CONTENT_TYPE), ("cache-control", "public, max-age=300"))
    return Answer(200, headers, orjson.dumps(document))


async def _authenticated(request: Request, tenant: TenantRef, realm: Realm) -> AccessToken | Answer:
    """The caller's token, or a 401 (RSVR-01, RSVR-02, RSVR-05)."""
    scheme, _, raw = request.header(b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not raw.strip():
        return outcomes.unauthorized(realm, was_token_sent=bool(scheme))
    try:
        return await tokens.aauthenticate(raw.strip(), tenant=tenant, audience=realm.base)
    except InvalidTokenError as error:
        await arecord(trail.bad_token(error.reason))
        return outcomes.unauthorized(
            realm, was_token_sent=True, is_expired="expired" in error.reason
        )


async def _decided(
    request: FhirRequest, token: AccessToken, tenant: TenantRef, realm: Realm
) -> Answer:
    try:
        server = await upstream.aresolve(tenant)
    except (NotActiveError, UpstreamError) as error:
        await arecord(trail.failed(request, token, str(error)))
        return outcomes.bad_gateway()
    decision = decide(
        Facts(
            request=request,
            scopes=token.scopes,
            patient=token.patient,
            fhir_user=token.fhir_user,
            base=realm.base,
            upstream=server.base_url,
        )
    )
    if isinstance(decision, Deny):
        await arecord(trail.denied(request, token, decision))
        return outcomes.from_deny(decision, realm)
    return await _permitted(request, token, decision, server, realm.base)


async def _permitted(
    request: FhirRequest, token: AccessToken, permit: Permit, server: Upstream, base: str
) -> Answer:
    """Ask upstream, judge what comes back, store the event, and only then answer (V8)."""
    try:
        async with _bodies:
            found = await _fetched(permit, server, base)
    except (UpstreamError, UpstreamFault) as error:
        await arecord(trail.failed(request, token, str(error)))
        is_slow = isinstance(error, UpstreamError) and error.kind is Kind.TIMEOUT
        return outcomes.gateway_timeout() if is_slow else outcomes.bad_gateway()
    await arecord(_event(request, token, permit, found))
    return found.answer


@dataclass(frozen=True, slots=True)
class _Found:
    """What the upstream had that may leave: the answer and the number of its resources."""

    answer: Answer
    returned: int


def _event(request: FhirRequest, token: AccessToken, permit: Permit, found: _Found) -> Event:
    if found.answer.status == 404:
        return trail.not_found(request, token)
    return trail.allowed(request, token, permit, returned=found.returned)


async def _fetched(permit: Permit, server: Upstream, base: str) -> _Found:
    """Raises UpstreamError, UpstreamFault."""
    path, query = fhir_request.to_upstream(permit.request)
    async with await upstream.request(server, "GET", path, query) as stream:
        body = await stream.read(MAX_BODY_BYTES)
        status, headers = stream.status, list(stream.headers.items())
    if status in (404, 410):
        return _Found(outcomes.not_found(), 0)
    if status != 200:
        raise UpstreamFault(f"the upstream answered {status}")
    access = permit.access
    if access is None:
        raise UpstreamFault("there is nothing to judge this answer by")
    rewriter = _rewriter(server.base_url, base)
    if permit.request.interaction is FhirInteraction.READ:
        return _read(body, headers, access, rewriter)
    page = Page(self_url=fhir_request.public_url(base, permit.request))
    bundle = judge_bundle(body, access, rewriter, page, MAX_BODY_BYTES)
    return _Found(_ok(bundle.body), len(bundle.kept))


def _read(
    body: bytes, headers: list[tuple[str, str]], access: Access, rewriter: Rewriter
) -> _Found:
    gated = gate_read(body, access, rewriter, MAX_BODY_BYTES)
    if gated is None:
        return _Found(outcomes.not_found(), 0)
    return _Found(_ok(gated, *rewriter.headers(headers)), 1)


@lru_cache(maxsize=1024)
def _rewriter(upstream_base: str, base: str) -> Rewriter:
    return Rewriter.between(upstream_base, base)


def _ok(body: bytes, *extra: tuple[str, str]) -> Answer:
    content_type = ("content-type", outcomes.CONTENT_TYPE)
    return Answer(200, (content_type, *outcomes.PRIVATE_HEADERS, *extra), body)


def _with(answer: Answer, extra: dict[str, str]) -> Answer:
    """The answer with CORS headers; `Vary` is one header (G50)."""
    headers = dict(answer.headers)
    for name, value in extra.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    return replace(answer, headers=tuple(headers.items()))
