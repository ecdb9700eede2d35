"""Machine endpoints as plain functions from a parsed form to an answer (D15; O12, CACH-01).

`serve` reads the HTTP request for whichever lane carries it: Django, by `FormView`, or
`smart.server.lane`.
"""

from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

import orjson
from django.core.exceptions import RequestDataTooBig
from django.http import HttpResponse, UnreadablePostError

from audit import events, record
from audit.record import AuditUnavailableError
from authfi.lib import outbound
from authfi.lib.tenancy import TenantRef
from smart import cors
from smart.policy.clinician_access import Verdict
from smart.server import throttle
from smart.server.errors import (
    InvalidRequest,
    OAuthError,
    TemporarilyUnavailable,
    body_of,
    status_of,
)
from tenants import limits
from tenants.http import TenantRequest

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
MAX_BODY_BYTES: Final = 65_536
MAX_FIELDS: Final = 50
NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


Told = Mapping[str, Verdict]


class ToAskError(Exception):
    """A handler needs what another server says: it changed nothing, and holds nothing meanwhile.

    Await `ask()` where no database thread waits for it, and call the handler once more with what
    it returned as `told`: verdicts by the ids of patients.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Told]]) -> None:
        super().__init__()
        self.ask = ask


@dataclass(frozen=True, slots=True)
class OAuthRequest:
    """A form that was sent: parameters without a value are left out (RFC 6749 3.2).

    `told` is what was asked after a ToAskError; None the first time.
    """

    tenant: TenantRef
    form: Mapping[str, str]
    repeated: frozenset[str] = frozenset()
    authorization: str = ""
    origin: str = ""
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class OAuthResponse:
    """What is answered; `headers` come on top of JSON and `no-store`."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[OAuthRequest], OAuthResponse]
#: What a handler would answer and record from memory alone, or None.
Memory = Callable[[OAuthRequest], tuple[OAuthResponse, events.Event] | None]


def serve(
    handler: Handler,
    *,
    refusal_code: events.Code,
    limit: str,
    tenant: TenantRef,
    method: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes | None,
    told: Told | None = None,
) -> OAuthResponse:
    """Answer one HTTP request with a handler: only a form by POST gets there (TOKN-01).

    `headers` are looked up by their usual spelling ("Content-Type"), so give a mapping that
    ignores case; `body` is None where it could not be read. Every answer carries its CORS headers
    (CORS-04). What is refused before the handler is recorded as `refusal_code`; the handler
    records the rest. `limit` names the limit of each app's calls (V1). `told` is for the
    second call after a ToAskError.
    """
    origin = headers.get("Origin", "")
    if method == "OPTIONS":
        allowed = cors.registered_origins(tenant)
        return OAuthResponse(204, {}, cors.preflight_headers(origin, allowed))
    try:
        asked = _request(tenant, method, query, headers, body)
        form = asked.form if isinstance(asked, OAuthRequest) else {}
        asking = throttle.caller(headers.get("Authorization", ""), form)
        seconds = throttle.seconds_to_wait(limit, asking) if told is None else 0
        if seconds:
            return _with_cors(_too_many(seconds), tenant, origin)
        if isinstance(asked, OAuthRequest):
            response = handler(asked if told is None else replace(asked, told=told))
        else:
            record.record(_denied(asked, refusal_code))
            response = _with_cors(_refusal(asked, method), tenant, origin)
        if 400 <= response.status < 500:
            throttle.count_refusal(asking)
        return response
    except AuditUnavailableError:
        busy = error_response(TemporarilyUnavailable("try again in a moment"))
        return _with_cors(busy, tenant, origin)


def error_response(error: OAuthError, headers: Mapping[str, str] | None = None) -> OAuthResponse:
    """The JSON answer to an error (RFC 6749 5.2)."""
    retry = {"Retry-After": "5"} if isinstance(error, TemporarilyUnavailable) else {}
    return OAuthResponse(status_of(error.error), body_of(error), {**retry, **(headers or {})})


def _too_many(seconds: int) -> OAuthResponse:
    """429 with the one registered error that says "later" (ERRS-06, RFC 6585 4)."""
    error = TemporarilyUnavailable("too many requests, try again later")
    return OAuthResponse(429, body_of(error), {"Retry-After": str(seconds)})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer ready to be sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class FormView:
    """A handler where it is served: a Django view, and what the slim lane looks for (D15)."""

    handler: Handler
    refusal_code: events.Code
    limit: str
    memory: Memory | None = None

    csrf_exempt: ClassVar = True

    def __call__(self, request: TenantRequest) -> HttpResponse:
        """Django's adapter."""
        try:
            body: bytes | None = request.body
        except (RequestDataTooBig, UnreadablePostError):
            body = None
        query = request.META.get("QUERY_STRING", "")
        method = request.method or ""
        asked = request.tenant.ref, method, query, request.headers, body
        try:
            reply = self.reply(*asked)
        except ToAskError as missing:
            reply = self.reply(*asked, told=outbound.run(missing.ask()))
        return HttpResponse(reply.body, status=reply.status, headers=dict(reply.headers))

    def reply(
        self,
        tenant: TenantRef,
        method: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        told: Told | None = None,
    ) -> Reply:
        """`serve` as JSON that nobody stores. Raises ToAskError, unless it was `told`."""
        response = serve(
            self.handler,
            refusal_code=self.refusal_code,
            limit=self.limit,
            tenant=tenant,
            method=method,
            query=query,
            headers=headers,
            body=body,
            told=told,
        )
        return _reply(response)

    async def from_memory(
        self,
        tenant: TenantRef,
        method: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Reply | None:
        """`reply` on the loop, where it takes nothing but memory and the storing of its event.

        None, with nothing counted or recorded, where a thread has to serve. The tenant is bound.
        """
        if self.memory is None or headers.get("Origin"):
            return None
        asked = _request(tenant, method, query, headers, body)
        found = self.memory(asked) if isinstance(asked, OAuthRequest) else None
        if found is None:
            return None
        response, event = found
        if not throttle.is_served_here(self.limit, event.client_id):
            return None
        try:
            await record.arecord(event)
        except AuditUnavailableError:
            response = error_response(TemporarilyUnavailable("try again in a moment"))
        return _reply(response)


def _reply(response: OAuthResponse) -> Reply:
    return Reply(
        response.status,
        {"Content-Type": JSON, **NO_STORE, **response.headers},
        b"" if response.status == 204 else orjson.dumps(response.body),
    )


def django_view(
    handler: Handler,
    *,
    refusal_code: events.Code,
    limit: str = limits.TOKEN,
    memory: Memory | None = None,
) -> FormView:
    """A view around a handler (see `serve`)."""
    return FormView(handler, refusal_code, limit, memory)


def _request(
    tenant: TenantRef, method: str, query: str, headers: Mapping[str, str], body: bytes | None
) -> OAuthRequest | InvalidRequest:
    """The form that was sent, or what is wrong with it."""
    try:
        if method != "POST":
            raise InvalidRequest("only POST is served here")
        if query:
            raise InvalidRequest("parameters go into the body")
        return _form(tenant, headers, body)
    except InvalidRequest as error:
        return error


def _form(tenant: TenantRef, headers: Mapping[str, str], body: bytes | None) -> OAuthRequest:
    """Raises InvalidRequest."""
    content_type = headers.get("Content-Type", "")
    if content_type.partition(";")[0].strip().lower() != FORM:
        raise InvalidRequest(f"the body must be {FORM}")
    if body is None or len(body) > MAX_BODY_BYTES:
        raise InvalidRequest("the body cannot be read or is too large")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise InvalidRequest("the body is not a form in UTF-8") from error
    return OAuthRequest(
        tenant=tenant,
        form={name: value for name, value in pairs if value},
        repeated=_repeated(pairs),
        authorization=headers.get("Authorization", ""),
        origin=headers.get("Origin", ""),
    )


def _repeated(pairs: list[tuple[str, str]]) -> frozenset[str]:
    if len(dict(pairs)) == len(pairs):
        return frozenset()
    counts = Counter(name for name, _ in pairs)
    return frozenset(name for name, count in counts.items() if count > 1)


def _refusal(error: InvalidRequest, method: str) -> OAuthResponse:
    if method != "POST":
        return OAuthResponse(405, body_of(error), {"Allow": "POST, OPTIONS"})
    return error_response(error)


def _denied(error: InvalidRequest, code: events.Code) -> events.Event:
    return events.Event(
        code=code,
        outcome=events.Outcome.DENIED,
        actor=events.Actor.anonymous(),
        reason=error.description,
        rule=error.error,
    )


def _with_cors(response: OAuthResponse, tenant: TenantRef, origin: str) -> OAuthResponse:
    if not origin:
        return response
    extra = cors.cors_headers(origin, cors.registered_origins(tenant))
    return replace(response, headers={**response.headers, **extra})
