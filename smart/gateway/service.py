"""From a request below a FHIR base to its answer (security-checklist 4, rules a to c)."""

from dataclasses import dataclass, replace
from typing import Final

import orjson

from audit.events import Event
from audit.record import AuditUnavailableError, arecord
from authfi import __version__
from authfi.lib.egress import Kind
from authfi.lib.tenancy import TenantRef
from smart import activation, cors, tokens, upstream
from smart.gateway import body, budget, capability, fetch, fhir_request, outcomes, trail, writes
from smart.gateway.body import ReadBody
from smart.gateway.budget import Lease, OverloadedError
from smart.gateway.fetch import Found
from smart.gateway.outcomes import Answer, BadRequest, Realm, UpstreamFault
from smart.gateway.writes import Attempt
from smart.models import HealthcareModule
from smart.policy.decision import decide
from smart.policy.facts import Deny, Facts, Permit, Served
from smart.policy.request import FhirInteraction, FhirRequest
from smart.policy.write_rules import LETTERS
from smart.tokens import AccessToken, InvalidTokenError
from smart.upstream import NotActiveError, Upstream, UpstreamError
from tenants.http import fhir_base, resource_metadata
from tenants.models import Tenant

RETRY_AFTER_SECONDS: Final = 5
#: The one path open to everyone, on errors too (RSVR-15, CORS-01).
METADATA: Final = b"/metadata"


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request below a FHIR base, nothing of it decoded, its body not yet taken in."""

    method: str
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    read_body: ReadBody = body.nothing

    def header(self, name: bytes) -> str:
        """A header's value, or an empty text; repeated ones make one list (RFC 9110 5.3)."""
        values = [value.decode("latin-1") for key, value in self.headers if key.lower() == name]
        return ", ".join(values)


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
    readable: cors.Allowed = cors.ANY if request.path == METADATA else allowed
    return _with(answer, cors.cors_headers(origin, readable))


async def _answer(request: Request, tenant: Tenant) -> Answer:
    module = await activation.amodule(tenant.ref)
    if module is None:
        return outcomes.no_such_base()
    base = fhir_base(tenant)
    realm = Realm(base, resource_metadata(tenant))
    parsed = _parsed(request)
    is_open = request.path == METADATA
    if isinstance(parsed, BadRequest) and parsed.is_token_misuse:
        await arecord(trail.misplaced_token(parsed.diagnostics))
        return outcomes.from_bad_request(parsed, realm)
    if isinstance(parsed, BadRequest) and is_open:
        return outcomes.from_bad_request(parsed, realm)
    if isinstance(parsed, FhirRequest) and parsed.interaction is FhirInteraction.CAPABILITIES:
        return _capabilities(base, tenant.name, module)
    caller = await _authenticated(request, tenant.ref, realm, module)
    if isinstance(caller, Answer):
        return caller
    if isinstance(parsed, BadRequest):
        await arecord(_malformed(request, caller.token, parsed))
        return outcomes.from_bad_request(parsed, realm)
    if parsed.interaction in LETTERS:
        return await writes.respond(_attempt(parsed, caller, request))
    return await _decided(parsed, caller)


def _attempt(parsed: FhirRequest, caller: "_Caller", request: Request) -> Attempt:
    return Attempt(
        request=parsed,
        raw_token=caller.raw,
        token=caller.token,
        tenant=caller.tenant,
        realm=caller.realm,
        module=caller.module,
        headers=request.headers,
        read_body=request.read_body,
    )


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
    headers = (
        ("content-type", outcomes.CONTENT_TYPE),
        ("cache-control", "public, max-age=300"),
        ("x-content-type-options", "nosniff"),
    )
    return Answer(200, headers, orjson.dumps(document))


def _malformed(request: Request, token: AccessToken, error: BadRequest) -> Event:
    url = request.path + (b"?" + request.query if request.query else b"")
    return trail.malformed(
        token,
        method=request.method,
        url=url.decode("latin-1"),
        reason=error.diagnostics,
        status=error.status,
    )


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who asks where: the token as it was sent and as it was verified, the server it is for."""

    raw: str
    token: AccessToken
    tenant: TenantRef
    realm: Realm
    module: HealthcareModule


async def _authenticated(
    request: Request, tenant: TenantRef, realm: Realm, module: HealthcareModule
) -> _Caller | Answer:
    """The caller by the token, or a 401 (RSVR-01, RSVR-02, RSVR-05)."""
    scheme, _, raw = request.header(b"authorization").partition(" ")
    raw = raw.strip()
    is_bearer = scheme.lower() == "bearer"
    if not (is_bearer and raw):
        return outcomes.unauthorized(realm, was_token_sent=is_bearer)
    try:
        token = await tokens.aauthenticate(raw, tenant=tenant, audience=realm.base)
    except InvalidTokenError as error:
        await arecord(trail.bad_token(error.reason))
        return _invalid(error, realm)
    return _Caller(raw, token, tenant, realm, module)


def _invalid(error: InvalidTokenError, realm: Realm) -> Answer:
    return outcomes.unauthorized(realm, was_token_sent=True, is_expired=error.is_expired)


async def _decided(request: FhirRequest, caller: _Caller) -> Answer:
    token = caller.token
    try:
        server = await upstream.aresolve(caller.tenant)
    except (NotActiveError, UpstreamError) as error:
        await _told(trail.failed(request, token, str(error)), request, caller)
        return outcomes.bad_gateway()
    decision = decide(
        Facts(
            request=request,
            scopes=token.scopes,
            patient=token.patient,
            fhir_user=token.fhir_user,
            base=caller.realm.base,
            upstream=server.base_url,
            served=_served(caller.module, request),
        )
    )
    if isinstance(decision, Deny):
        await _told(trail.denied(request, token, decision), request, caller)
        return outcomes.from_deny(decision, caller.realm)
    with budget.lease() as lease:
        return await _permitted(request, caller, decision, server, lease)


def _served(module: HealthcareModule, request: FhirRequest) -> Served:
    return Served.of(module.capabilities.get(request.resource_type, {}))


async def _permitted(
    request: FhirRequest, caller: _Caller, permit: Permit, server: Upstream, lease: Lease
) -> Answer:
    """Ask upstream, judge what comes back, store the event, and only then answer (V8).

    The upstream may have been slow: the token is asked once more before its answer leaves (G51).
    """
    token, realm = caller.token, caller.realm
    try:
        found = await fetch.fetch(permit, server, realm.base, lease)
        await tokens.aauthenticate(caller.raw, tenant=caller.tenant, audience=realm.base)
    except (UpstreamError, UpstreamFault, OverloadedError) as error:
        await _told(trail.failed(request, token, str(error)), request, caller)
        return _failure(error)
    except InvalidTokenError as error:
        await _told(trail.ended(request, token, error.reason), request, caller)
        return _invalid(error, realm)
    await _told(_event(request, token, permit, found), request, caller)
    return found.answer


async def _told(event: Event, request: FhirRequest, caller: _Caller) -> None:
    """Store the event, under every patient it is about, in one commit (D7)."""
    await arecord(*trail.per_patient(event, request, caller.realm.base))


def _failure(error: Exception) -> Answer:
    if isinstance(error, OverloadedError):
        return outcomes.unavailable(RETRY_AFTER_SECONDS)
    is_slow = isinstance(error, UpstreamError) and error.kind is Kind.TIMEOUT
    return outcomes.gateway_timeout() if is_slow else outcomes.bad_gateway()


def _event(request: FhirRequest, token: AccessToken, permit: Permit, found: Found) -> Event:
    if found.fault:
        return trail.failed(request, token, found.fault)
    if found.answer.status == 404:
        return trail.not_found(request, token)
    return trail.allowed(request, token, permit, returned=found.returned)


def _with(answer: Answer, extra: dict[str, str]) -> Answer:
    """The answer with CORS headers; `Vary` is one header (G50)."""
    headers = dict(answer.headers)
    for name, value in extra.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    return replace(answer, headers=tuple(headers.items()))
