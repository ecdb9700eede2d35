"""Access tokens: made, verified, asked whether they live, revoked (D3, D4; RFC 9068; O10, O18)."""

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

from django.db import transaction as django_transaction
from django.db.models import Exists, Q, QuerySet
from django.utils import timezone

from audit import events, record
from authfi.crypto import jose, signing
from authfi.lib import database, tenancy
from authfi.lib.tenancy import TenantRef
from authfi.lib.transaction import transaction
from authfi.lib.ttl import Ttl
from smart import grants
from smart.models import Application, Grant, RevokedToken
from smart.scopes import match
from smart.scopes.match import Granted
from smart.scopes.syntax import MalformedScope, parse_scopes
from tenants.http import issuer

TYP = "at+jwt"
MAX_BYTES = 2048
MAX_LIFE_SECONDS = 3600
CLOCK_SKEW_SECONDS = 10
LIVE_SECONDS = 1.0
REMEMBERED = 10_000

#: Claim that says: the scopes are too long for a token, read them from the grant (TOKN-22).
SCOPES_ON_GRANT = "scope_on_grant"

#: Claim that says: an EHR launch brought the patient, so no rule is asked about that record (D16).
LAUNCHED = "launched"

_LATEST = 253_402_300_799  # the last second a datetime can hold

_Key = tuple[UUID, str, bytes]
#: What was verified and need not be asked again.
_verified: "Ttl[_Key, AccessToken]" = Ttl(LIVE_SECONDS, REMEMBERED)
#: Token ids revoked by this process; the database knows them all.
_revoked_here: OrderedDict[str, None] = OrderedDict()


class InvalidTokenError(ValueError):
    """The token does not open anything here; `reason` is safe to tell its bearer.

    `is_expired` marks a good token whose time is over: a new one may open what it did. `client_id`
    is the app of one that this tenant did sign, else "".
    """

    def __init__(self, reason: str, *, is_expired: bool = False, client_id: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_expired = is_expired
        self.client_id = client_id


class TooLongError(ValueError):
    """The scopes do not fit into a token that anyone would accept."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a verified access token says.

    `patient` and `encounter` are bare ids, `fhir_user` is a relative reference. `grant_id` is None
    for an app acting in its own name. `scopes` are empty while `scopes_on_grant` is True.
    `is_launched`: an EHR launch brought the patient.
    """

    tenant: TenantRef
    jti: str
    grant_id: UUID | None
    client_id: str
    subject: str
    scopes: Granted
    audience: str
    patient: str | None
    encounter: str | None
    fhir_user: str | None
    acr: str
    auth_time: datetime | None
    issued_at: datetime
    expires_at: datetime
    scopes_on_grant: bool = False
    is_launched: bool = False

    @property
    def vouched(self) -> str | None:
        """The patient an EHR vouches for while the grant lives, whatever the rules say (D16)."""
        return self.patient if self.is_launched else None


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
    is_launched: bool = False,
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
        LAUNCHED: is_launched,
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
    token = decode(raw, tenant=tenant, now=now)
    if token.audience != audience:
        raise InvalidTokenError("the token is for another server")
    return token


def decode(raw: str, *, tenant: TenantRef, now: datetime) -> AccessToken:
    """`verify` for whatever audience: to tell of a token or to end it, never to open something.

    Raises InvalidTokenError.
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
    if token.expires_at <= now:
        raise InvalidTokenError("the token has expired", is_expired=True, client_id=token.client_id)
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

    What was ended or revoked in this process is refused at once, elsewhere within that second. A
    miss is one thread hop. Raises InvalidTokenError.
    """
    key = tenant.id, audience, digest(raw)
    hit = _verified.get_unless_due(key)
    token = hit.value if hit else await _aasked(key, raw, tenant, audience)
    if is_dead_here(token):
        raise InvalidTokenError("the access was ended", client_id=token.client_id)
    if token.expires_at <= timezone.now():
        raise InvalidTokenError("the token has expired", is_expired=True, client_id=token.client_id)
    return token


async def _aasked(key: _Key, raw: str, tenant: TenantRef, audience: str) -> AccessToken:
    """`authenticate` by a thread, remembered. Raises InvalidTokenError."""
    asked_at = time.monotonic()
    try:
        token = await database.run(tenant, authenticate, raw, tenant=tenant, audience=audience)
    except InvalidTokenError:
        _verified.forget(key)
        raise
    return _verified.put(key, token, asked_at)


def is_dead_here(token: AccessToken) -> bool:
    """True when this process ended or revoked it; False says nothing."""
    ended = token.grant_id is not None and grants.ended_here(token.grant_id)
    return ended or token.jti in _revoked_here


def live_grants(token: AccessToken) -> QuerySet[Grant]:
    """The grant of a token, if all that the token hangs on is live; one statement (D3)."""
    return Grant.objects.filter(
        Q(user__isnull=True) | Q(user__is_active=True),
        ~Exists(_revocations(token)),
        pk=cast("UUID", token.grant_id),
        ended_at__isnull=True,
        expires_at__gt=timezone.now(),
        application__client_id=token.client_id,
        application__state=Application.State.ACTIVE,
    )


def live_apps(token: AccessToken) -> QuerySet[Application]:
    """The app that a token without a grant acts for, if both are live; one statement."""
    return Application.objects.filter(
        ~Exists(_revocations(token)),
        client_id=token.client_id,
        state=Application.State.ACTIVE,
    )


def revoke(token: AccessToken, *, actor: events.Actor) -> None:
    """End one access token; what its grant has besides goes on (REVO-03). Safe to repeat."""
    with transaction():
        RevokedToken.objects.bulk_create(
            [RevokedToken(jti=token.jti, expires_at=token.expires_at)], ignore_conflicts=True
        )
        record.record(
            events.Event(
                code=events.Code.TOKEN_REVOKE,
                outcome=events.Outcome.SUCCESS,
                actor=actor,
                client_id=token.client_id,
                patient=token.patient or "",
                object=f"Grant/{token.grant_id}" if token.grant_id else "",
                details={"jti": token.jti, "on_behalf_of": token.subject},
            )
        )
        django_transaction.on_commit(lambda: _remember(_revoked_here, token.jti, None))


def digest(raw: str) -> bytes:
    """What a token is remembered by in this process's memory."""
    return hashlib.sha256(raw.encode(errors="replace")).digest()


def _revocations(token: AccessToken) -> QuerySet[RevokedToken]:
    return RevokedToken.objects.filter(jti=token.jti)


def _remember(cache: "OrderedDict[Any, Any]", key: object, value: object) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > REMEMBERED:
        cache.popitem(last=False)


def _confirmed(token: AccessToken) -> AccessToken:
    """The token with its scopes, if what it hangs on is live. Raises InvalidTokenError."""
    if token.grant_id is None:
        if not live_apps(token).exists():
            raise InvalidTokenError("the app is not active, or the token was revoked")
        return token
    scope = live_grants(token).values_list("scopes", flat=True).first()
    if scope is None:
        grants.notice_end(token.grant_id)
        raise InvalidTokenError("the access was ended", client_id=token.client_id)
    return with_scopes(token, scope)


def with_scopes(token: AccessToken, granted: str) -> AccessToken:
    """The token with the scopes that stayed on its grant, where they did (TOKN-22).

    Never with more than the grant has now: what its person took away is gone at once (C7).
    """
    if token.scopes_on_grant:
        return replace(token, scopes=_scopes(granted), scopes_on_grant=False)
    if token.scopes.texts.issubset(granted.split()):
        return token
    both = match.intersect(token.scopes, _scopes(granted))
    return replace(token, scopes=Granted(both.granted))


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
        scopes=Granted() if on_grant else _scopes(_text(claims, "scope")),
        audience=_text(claims, "aud"),
        patient=_optional(claims, "patient"),
        encounter=_optional(claims, "encounter"),
        fhir_user=_optional(claims, "fhirUser"),
        acr=_optional(claims, "acr") or "",
        auth_time=_time(claims, "auth_time") if "auth_time" in claims else None,
        issued_at=_time(claims, "iat"),
        expires_at=_time(claims, "exp"),
        scopes_on_grant=on_grant,
        is_launched=claims.get(LAUNCHED) is True,
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


def _scopes(text: str) -> Granted:
    try:
        return Granted(parse_scopes(text))
    except MalformedScope as error:
        raise InvalidTokenError("the token's scope is malformed") from error
