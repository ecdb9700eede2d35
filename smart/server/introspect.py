"""The introspection endpoint (RFC 7662; INTR-01 to INTR-13, O15).

A confidential app asks about its own tokens; one that registered the introspection scope, or a
Bearer token that carries it, about any of the tenant. Whatever is not to be told is answered with
the same few bytes.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from audit import events, record
from authfi.lib.tenancy import TenantRef
from authfi.lib.ttl import Ttl
from smart import tokens
from smart.models import Application, Grant
from smart.scopes.syntax import INTROSPECTION_SCOPE
from smart.server import client_auth, id_token, refusal, token_store
from smart.server.endpoint import OAuthRequest, OAuthResponse
from smart.server.errors import (
    InsufficientScope,
    InvalidClient,
    InvalidRequest,
    InvalidToken,
    OAuthError,
)
from smart.server.validator import CONTEXT_MEMBERS
from smart.tokens import AccessToken, InvalidTokenError
from tenants.http import issuer, management_audience

INACTIVE: Final = {"active": False}


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks, and whether about every token of the tenant."""

    client_id: str
    may_read_all: bool


@dataclass(frozen=True, slots=True)
class Told:
    """An active token: whose it is, what hangs on it, and what is told of it."""

    client_id: str
    grant_id: UUID | None
    patient: str
    members: Mapping[str, Any]
    access_token: AccessToken | None = None


_Key = tuple[UUID, bytes]
#: Access tokens told within the last second (INTR-12).
_told: Ttl[_Key, Told] = Ttl(tokens.LIVE_SECONDS)
#: Apps that proved themselves by that Authorization header within the last second.
_proven: Ttl[_Key, Reader] = Ttl(tokens.LIVE_SECONDS)
_ASKED_WITH: Final = frozenset({"token", "token_type_hint"})


def introspect(request: OAuthRequest) -> OAuthResponse:
    """What a token says, if it is active and the caller may know. Raises AuditUnavailableError."""
    try:
        if request.repeated:
            raise InvalidRequest("a parameter was sent more than once")
        reader = _reader(request)
        if "token" not in request.form:
            raise InvalidRequest("token is missing")
    except OAuthError as error:
        response = refusal.respond(request, error, "introspect")
        record.record(refusal.event(request, None, response, events.Code.TOKEN_INTROSPECT))
        return response
    response, event = _answer(reader, _find(request.tenant, request.form["token"]))
    record.record(event)
    return response


def from_memory(request: OAuthRequest) -> tuple[OAuthResponse, events.Event] | None:
    """What `introspect` would answer and record, where both caller and token were asked about
    within the last second; None where the database has to be asked."""
    if request.repeated or not request.form.keys() <= _ASKED_WITH:
        return None
    tenant_id = request.tenant.id
    reader = _proven.get_unless_due((tenant_id, tokens.digest(request.authorization)))
    if reader is None:
        return None
    told = _told.get_unless_due((tenant_id, tokens.digest(request.form.get("token", ""))))
    if told is None or not _is_live(told.value):
        return None
    return _answer(reader.value, told.value)


def _answer(reader: Reader, told: Told | None) -> tuple[OAuthResponse, events.Event]:
    """What is told of a token that was found, and its event (O15)."""
    is_told = told is not None and (reader.may_read_all or told.client_id == reader.client_id)
    response = OAuthResponse(200, told.members if told and is_told else INACTIVE)
    return response, _event(reader, told, is_told=is_told)


def _reader(request: OAuthRequest) -> Reader:
    """Raises InvalidClient, InvalidRequest, InvalidToken, InsufficientScope."""
    scheme, _, raw = request.authorization.partition(" ")
    if scheme.lower() == "bearer":
        return _bearer(request.tenant, raw.strip())
    client = client_auth.authenticate(request.authorization, request.form)
    if client.is_public:
        raise InvalidClient("only an app that can prove itself may ask about tokens")
    reader = Reader(client.client_id, INTROSPECTION_SCOPE in client.scopes.split())
    if request.authorization:  # the memory knows callers by nothing else
        key = request.tenant.id, tokens.digest(request.authorization)
        _proven.put(key, reader, client_auth.read_at(client.client_id))
    return reader


def _bearer(tenant: TenantRef, raw: str) -> Reader:
    try:
        token = tokens.authenticate(raw, tenant=tenant, audience=management_audience())
    except InvalidTokenError as error:
        raise InvalidToken(error.reason) from error
    if INTROSPECTION_SCOPE not in {scope.text for scope in token.scopes}:
        raise InsufficientScope(f"the token lacks the scope {INTROSPECTION_SCOPE}")
    return Reader(token.client_id, may_read_all=True)


def _find(tenant: TenantRef, raw: str) -> Told | None:
    """An active token; None for all else. `token_type_hint` is not needed: see `revoke`."""
    return _access_token(tenant, raw) if "." in raw else _refresh_token(tenant, raw)


def _access_token(tenant: TenantRef, raw: str) -> Told | None:
    """From memory where it was told within the last second, else by one statement."""
    key, now = (tenant.id, tokens.digest(raw)), time.monotonic()
    hit = _told.get(key)
    told = hit.value if hit and not _told.is_due(hit) else _read_access_token(tenant, raw)
    if told is None:
        _told.forget(key)
        return None
    if not hit or told is not hit.value:
        _told.put(key, told, now)
    return told if _is_live(told) else None


def _is_live(told: Told) -> bool:
    token = told.access_token
    return (
        token is not None and token.expires_at > timezone.now() and not tokens.is_dead_here(token)
    )


def _read_access_token(tenant: TenantRef, raw: str) -> Told | None:
    try:
        token = tokens.decode(raw, tenant=tenant, now=timezone.now())
    except InvalidTokenError:
        return None
    grant: Grant | None = None
    if token.grant_id is None:
        if not tokens.live_apps(token).exists():
            return None
    else:
        grant = tokens.live_grants(token).first()
        if grant is None:
            return None
        token = tokens.with_scopes(token, grant.scopes)
    scopes = [scope.text for scope in token.scopes]
    members = {
        "active": True,
        "scope": " ".join(scopes),
        "client_id": token.client_id,
        "token_type": "Bearer",
        "exp": int(token.expires_at.timestamp()),
        "iat": int(token.issued_at.timestamp()),
        "iss": issuer(tenant),
        "sub": token.subject,
        "aud": token.audience,
        "jti": token.jti,
        **(_of_grant(grant, scopes) if grant else {}),
    }
    return Told(token.client_id, token.grant_id, token.patient or "", members, token)


def _refresh_token(tenant: TenantRef, raw: str) -> Told | None:
    """One that would work now (INTR-13); its audience is this server, so it names none."""
    found = token_store.find(raw)
    if found is None or found.row.used_at is not None or not found.is_live(timezone.now()):
        return None
    row, grant = found.row, found.grant
    if found.application.state != Application.State.ACTIVE:
        return None
    members = {
        "active": True,
        "scope": grant.scopes,
        "client_id": found.application.client_id,
        "exp": int(row.expires_at.timestamp()),
        "iat": int(row.created.timestamp()),
        "iss": issuer(tenant),
        "sub": str(grant.user_id),
        **_of_grant(grant, grant.scopes.split()),
    }
    return Told(found.application.client_id, grant.pk, grant.patient or "", members)


def _of_grant(grant: Grant, scopes: list[str]) -> dict[str, Any]:
    """Context as the token response had it (INTR-06), identity as the ID token did (INTR-08)."""
    context = grant.context
    return {
        **{name: context[name] for name in CONTEXT_MEMBERS if name in context},
        "tenant": str(grant.tenant_id),
        **(id_token.identity(grant, scopes) if "openid" in scopes else {}),
    }


def _event(reader: Reader, told: Told | None, *, is_told: bool) -> events.Event:
    is_foreign = told is not None and not is_told
    details: dict[str, Any] = {"active": is_told}
    if told is not None:
        details |= {"token_of": told.client_id, "jti": told.members.get("jti", "")}
    return events.Event(
        code=events.Code.TOKEN_INTROSPECT,
        outcome=events.Outcome.DENIED if is_foreign else events.Outcome.SUCCESS,
        actor=events.Actor.client(reader.client_id),
        client_id=reader.client_id,
        patient=told.patient if told else "",
        object=f"Grant/{told.grant_id}" if told and told.grant_id else "",
        rule="own_tokens" if is_foreign else "",
        details=details,
    )
