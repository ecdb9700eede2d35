"""From a request below a FHIR base to its answer (security-checklist 4, rules a to c)."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from audit.events import Event
from audit.record import AuditUnavailableError, arecord
from authfi import __version__
from authfi.lib.tenancy import TenantRef
from smart import activation, cors, smart1_apps, tokens
from smart.gateway import (
    body,
    budget,
    capability,
    fhir_request,
    outcomes,
    queries,
    throttle,
    trail,
    writes,
)
from smart.gateway import headers as header_rules
from smart.gateway.body import ReadBody
from smart.gateway.budget import OverloadedError
from smart.gateway.outcomes import Answer, BadRequest, Realm
from smart.gateway.queries import Caller
from smart.gateway.write_attempt import Attempt
from smart.models import HealthcareModule
from smart.policy.request import FhirInteraction, FhirRequest
from smart.policy.write_rules import LETTERS
from smart.tokens import AccessToken, InvalidTokenError
from tenants.http import fhir_base, resource_metadata
from tenants.models import Tenant

#: The one path open to everyone, on errors too (RSVR-15, CORS-01).
METADATA = b"/metadata"


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request below a FHIR base, nothing of it decoded, its body not yet taken in.

    Names of `headers` are in lower case.
    """

    method: str
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    read_body: ReadBody = body.nothing

    def header(self, name: bytes) -> str:
        """A header's value, or an empty text; repeated ones make one list (RFC 9110 5.3)."""
        values = [value for key, value in self.headers if key == name]
        return b", ".join(values).decode("latin-1") if values else ""


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
        answer = outcomes.unavailable()
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
        return await _stranger(
            trail.misplaced_token(parsed.diagnostics), outcomes.from_bad_request(parsed, realm)
        )
    if isinstance(parsed, BadRequest) and is_open:
        return outcomes.from_bad_request(parsed, realm)
    if isinstance(parsed, FhirRequest) and parsed.interaction is FhirInteraction.CAPABILITIES:
        return _capabilities(base, tenant, module, await smart1_apps.aoauth_uris(tenant.ref))
    caller = await _authenticated(request, tenant.ref, realm, module)
    if isinstance(caller, Answer):
        return caller
    if isinstance(parsed, BadRequest):
        await arecord(_malformed(request, caller.token, parsed))
        return outcomes.from_bad_request(parsed, realm)
    if fhir_request.takes_form(request.method, parsed):
        searched = await _with_form(parsed, request, caller)
        if isinstance(searched, Answer):
            return searched
        parsed = searched
    if parsed.interaction in LETTERS:
        return await writes.respond(_attempt(parsed, caller, request))
    return await queries.respond(parsed, caller)


async def _with_form(parsed: FhirRequest, request: Request, caller: Caller) -> FhirRequest | Answer:
    """The search with the parameters in its body, or a refusal (G7, G38, RSVR-07)."""
    try:
        header_rules.check_form(request.headers)
        with budget.lease() as lease:
            return fhir_request.with_form(parsed, await request.read_body(lease))
    except OverloadedError:
        return outcomes.unavailable()
    except BadRequest as error:
        misused = trail.misplaced_token(error.diagnostics)
        malformed = _malformed(request, caller.token, error)
        await arecord(misused if error.is_token_misuse else malformed)
        return outcomes.from_bad_request(error, caller.realm)


def _attempt(parsed: FhirRequest, caller: Caller, request: Request) -> Attempt:
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


def _capabilities(
    base: str, tenant: Tenant, module: HealthcareModule, oauth_uris: Mapping[str, str]
) -> Answer:
    document = capability.statement(
        base=base,
        name=tenant.name,
        version=__version__,
        date=module.checked_at.isoformat(timespec="seconds"),
        upstream=module.capabilities,
        oauth_uris=oauth_uris,
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


async def _authenticated(
    request: Request, tenant: TenantRef, realm: Realm, module: HealthcareModule
) -> Caller | Answer:
    """The caller by the token, or a 401 (RSVR-01, RSVR-02, RSVR-05)."""
    scheme, _, raw = request.header(b"authorization").partition(" ")
    raw = raw.strip()
    is_bearer = scheme.lower() == "bearer"
    if not (is_bearer and raw):
        return outcomes.unauthorized(realm, was_token_sent=is_bearer)
    try:
        token = await tokens.aauthenticate(raw, tenant=tenant, audience=realm.base)
    except InvalidTokenError as error:
        event, answer = trail.bad_token(error.reason), _invalid(error, realm)
        return await _stranger(event, answer, error.client_id)
    if seconds := await throttle.request(token):
        return outcomes.throttled(seconds)
    return Caller(raw, token, tenant, realm, module)


async def _stranger(event: Event, answer: Answer, client_id: str = "") -> Answer:
    """The refusal of somebody without a good token: recorded, up to a limit (V1).

    `client_id` is the app of a token that was good once.
    """
    if seconds := await throttle.refusal(client_id):
        return outcomes.throttled(seconds)
    await arecord(event)
    return answer


def _invalid(error: InvalidTokenError, realm: Realm) -> Answer:
    return outcomes.unauthorized(realm, was_token_sent=True, is_expired=error.is_expired)


def _with(answer: Answer, extra: dict[str, str]) -> Answer:
    """The answer with CORS headers; `Vary` is one header (G50)."""
    if not extra:
        return answer
    headers = dict(answer.headers)
    for name, value in extra.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    return Answer(answer.status, tuple(headers.items()), answer.body)
