"""Access tokens: made, verified, asked whether their grant lives (D3, D4; RFC 9068; O10, O18)."""

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from django.db.models import Q
from django.utils import timezone

from authfi.crypto import jose, signing
from authfi.lib import database, tenancy
from authfi.lib.tenancy import TenantRef
from smart import grants
from smart.models import Application, Grant
from smart.scopes.syntax import MalformedScope, Scope, parse_scopes
from tenants.http import issuer

TYP = "at+jwt"
MAX_BYTES = 2048
MAX_LIFE_SECONDS = 3600
CLOCK_SKEW_SECONDS = 10
LIVE_SECONDS = 1.0
REMEMBERED = 10_000

#: Claim that says: the scopes are too long for a token, read them from the grant (TOKN-22).
SCOPES_ON_GRANT = "scope_on_grant"

_LATEST = 253_402_300_799  # the last second a datetime can hold

_Key = tuple[UUID, str, bytes]
_verified: "OrderedDict[_Key, AccessToken]" = OrderedDict()
_live_until: OrderedDict[object, float] = OrderedDict()


class InvalidTokenError(ValueError):
    """The token does not open anything here; `reason` is safe to tell its bearer.

    `is_expired` marks a good token whose time is over: a new one may open what it did.
    """

    def __init__(self, reason: str, *, is_expired: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_expired = is_expired


class TooLongError(ValueError):
    """The scopes do not fit into a token that anyone would accept."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a verified access token says.

    `patient` and `encounter` are bare ids, `fhir_user` is a relative reference. `grant_id` is None
    for an app acting in its own name. `scopes` are empty while `scopes_on_grant` is True.
    """

    tenant: TenantRef
    jti: str
    grant_id: UUID | None
    client_id: str
    subject: str
    scopes: tuple[Scope, ...]
    audience: str
    patient: str | None
    encounter: str | None
    fhir_user: str | None
    acr: str
    auth_time: datetime | None
    issued_at: datetime
    expires_at: datetime
    scopes_on_grant: bool = False


def issue(
    *,
    client_id: str,
    subject: str,
    scope: str,
    audience: str,
    seconds: int,
    grant_id: UUID | None = None,
    patient: str | None = None,
    encounter: str | None = None,
    fhir_user: str | None = None,
    acr: str = "",
    auth_time: datetime | None = None,
    is_narrowed: bool = False,
) -> tuple[str, dict[str, Any]]:
    """An access token of the bound tenant and its claims (RFC 9068 2.2).

    `seconds` is its life, 3600 at most. Optional members are left out where they are empty. Where
    the scopes would make it longer than 2 KiB they stay on the grant, and a claim says so; not
    where it `is_narrowed`, since the grant has more. Raises TooLongError beyond what is accepted.
    """
    now = int(timezone.now().timestamp())
    optional = {
        "grant": str(grant_id) if grant_id else None,
        "patient": patient,
        "encounter": encounter,
        "fhirUser": fhir_user,
        "acr": acr,
        "auth_time": int(auth_time.timestamp()) if auth_time else None,
    }
    claims: dict[str, Any] = {
        "iss": issuer(tenancy.current()),
        "sub": subject,
        "aud": audience,
        "client_id": client_id,
        "scope": scope,
        "jti": uuid4().hex,
        "iat": now,
        "exp": now + min(seconds, MAX_LIFE_SECONDS),
        **{name: value for name, value in optional.items() if value},
    }
    raw = signing.sign(signing.ACCESS_TOKEN_ALG, claims, TYP)
    if grant_id and len(raw) > MAX_BYTES and not is_narrowed:
        del claims["scope"]
        claims[SCOPES_ON_GRANT] = True
        raw = signing.sign(signing.ACCESS_TOKEN_ALG, claims, TYP)
    if len(raw) > jose.MAX_TOKEN_BYTES:
        raise TooLongError
    return raw, claims


def verify(raw: str, *, tenant: TenantRef, audience: str, now: datetime) -> AccessToken:
    """What the token says, if this tenant signed it for this audience and it is in force.

    Asks nobody whether its grant still lives. Raises InvalidTokenError.
    """
    keys = signing.cached(tenant.id)
    if keys is None:
        with tenancy.bind(tenant):
            keys = signing.keys()
    try:
        claims = jose.verify(raw, keys.public, typ=TYP)
    except jose.BadTokenError as error:
        raise InvalidTokenError("the token is not one of this server's") from error
    token = _parse(claims, tenant)
    if token.audience != audience:
        raise InvalidTokenError("the token is for another server")
    if token.expires_at <= now:
        raise InvalidTokenError("the token has expired", is_expired=True)
    if (token.issued_at - now).total_seconds() > CLOCK_SKEW_SECONDS:
        raise InvalidTokenError("the token is from the future")
    if (token.expires_at - token.issued_at).total_seconds() > MAX_LIFE_SECONDS:
        raise InvalidTokenError("the token lives too long")
    return token


def authenticate(raw: str, *, tenant: TenantRef, audience: str) -> AccessToken:
    """`verify`, and the database says that grant, app and person are live.

    Raises InvalidTokenError.
    """
    token = verify(raw, tenant=tenant, audience=audience, now=timezone.now())
    with tenancy.bind(tenant):
        return _confirmed(token)


async def aauthenticate(raw: str, *, tenant: TenantRef, audience: str) -> AccessToken:
    """`authenticate` for async code: from memory where it was asked within the last second.

    A grant ended in this process is refused at once, elsewhere within that second. A miss is one
    thread hop. Raises InvalidTokenError.
    """
    key = tenant.id, audience, hashlib.sha256(raw.encode(errors="replace")).digest()
    token = _verified.get(key)
    if token is None or not _is_fresh(token):
        asked_at = time.monotonic()
        token = await database.run(tenant, authenticate, raw, tenant=tenant, audience=audience)
        _remember(_verified, key, token)
        _remember(_live_until, _liveness_key(token), asked_at + LIVE_SECONDS)
    if token.grant_id and grants.ended_here(token.grant_id):
        raise InvalidTokenError("the access was ended")
    if token.expires_at <= timezone.now():
        raise InvalidTokenError("the token has expired", is_expired=True)
    return token


def _is_fresh(token: AccessToken) -> bool:
    return time.monotonic() < _live_until.get(_liveness_key(token), 0.0)


def _liveness_key(token: AccessToken) -> object:
    return token.grant_id or (token.tenant.id, token.client_id)


def _remember(cache: "OrderedDict[Any, Any]", key: object, value: object) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > REMEMBERED:
        cache.popitem(last=False)


def _confirmed(token: AccessToken) -> AccessToken:
    """The token with its scopes, if what it hangs on is live. Raises InvalidTokenError."""
    if token.grant_id is None:
        active = Application.objects.filter(
            client_id=token.client_id, state=Application.State.ACTIVE
        ).exists()
        if not active:
            raise InvalidTokenError("the app is not active")
        return token
    scope = (
        Grant.objects.filter(
            Q(user__isnull=True) | Q(user__is_active=True),
            id=token.grant_id,
            ended_at__isnull=True,
            expires_at__gt=timezone.now(),
            application__client_id=token.client_id,
            application__state=Application.State.ACTIVE,
        )
        .values_list("scopes", flat=True)
        .first()
    )
    if scope is None:
        raise InvalidTokenError("the access was ended")
    return (
        replace(token, scopes=_scopes(scope), scopes_on_grant=False)
        if (token.scopes_on_grant)
        else token
    )


def _parse(claims: dict[str, Any], tenant: TenantRef) -> AccessToken:
    if claims.get("iss") != issuer(tenant):
        raise InvalidTokenError("the token is of another issuer")
    on_grant = claims.get(SCOPES_ON_GRANT) is True
    return AccessToken(
        tenant=tenant,
        jti=_text(claims, "jti"),
        grant_id=_uuid(claims, "grant"),
        client_id=_text(claims, "client_id"),
        subject=_text(claims, "sub"),
        scopes=() if on_grant else _scopes(_text(claims, "scope")),
        audience=_text(claims, "aud"),
        patient=_optional(claims, "patient"),
        encounter=_optional(claims, "encounter"),
        fhir_user=_optional(claims, "fhirUser"),
        acr=_optional(claims, "acr") or "",
        auth_time=_time(claims, "auth_time") if "auth_time" in claims else None,
        issued_at=_time(claims, "iat"),
        expires_at=_time(claims, "exp"),
        scopes_on_grant=on_grant,
    )


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidTokenError(f"the token's {name} is missing or not text")
    return value


def _optional(claims: dict[str, Any], name: str) -> str | None:
    return _text(claims, name) if name in claims else None


def _uuid(claims: dict[str, Any], name: str) -> UUID | None:
    if name not in claims:
        return None
    try:
        return UUID(_text(claims, name))
    except ValueError as error:
        raise InvalidTokenError(f"the token's {name} is not an id") from error


def _time(claims: dict[str, Any], name: str) -> datetime:
    value = claims.get(name)
    if type(value) is not int or not 0 < value <= _LATEST:
        raise InvalidTokenError(f"the token's {name} is missing or not a time")
    return datetime.fromtimestamp(value, UTC)


def _scopes(text: str) -> tuple[Scope, ...]:
    try:
        return parse_scopes(text)
    except MalformedScope as error:
        raise InvalidTokenError("the token's scope is malformed") from error
