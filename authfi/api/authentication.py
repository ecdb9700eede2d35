"""Who calls the management API: the bearer of an access token for it (RFC 6750, contract)."""

import base64
from typing import Any

import orjson
from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from audit import events, record
from authfi.lib import tenancy
from authfi.lib.tenancy import TenantRef
from smart import tokens
from smart.tokens import AccessToken, InvalidTokenError
from tenants import directory, limits
from tenants.http import management_audience
from tenants.models import Tenant

MAX_TOKEN_LENGTH = 4096
CHALLENGE = 'Bearer realm="AuthFI management API"'


class ManagementToken(BaseAuthentication):
    """Takes tokens that a tenant's issuer made for the management API, and no others."""

    def authenticate(self, request: Request) -> tuple[AccessToken, AccessToken] | None:
        """The token, as both user and auth; None without one.

        Raises AuthenticationFailed (401), Throttled (429).
        """
        scheme, _, raw = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        tenant = _issuing_tenant(raw.strip())
        try:
            token = tokens.authenticate(raw.strip(), tenant=tenant, audience=management_audience())
        except InvalidTokenError as error:
            with tenancy.bind(tenant):
                seconds = limits.count_refusal()
            if seconds:
                raise Throttled(seconds) from error
            _record_refusal(tenant, request, error.reason)
            raise AuthenticationFailed(error.reason) from error
        return token, token

    def authenticate_header(self, request: Request) -> str:
        """The `WWW-Authenticate` of a 401 (RFC 6750 3), with an error where a token was sent."""
        if request.headers.get("Authorization", "").lower().startswith("bearer "):
            return f'{CHALLENGE}, error="invalid_token"'
        return CHALLENGE


def _issuing_tenant(raw: str) -> TenantRef:
    """The tenant whose keys to try, by the unverified `iss`. Raises AuthenticationFailed.

    A token that names no tenant of ours is refused without an event: it belongs in nobody's trail.
    """
    refused = AuthenticationFailed("the token is not one of this server's")
    prefix = f"{settings.ORIGIN}/t/"
    issuer = _unverified_claims(raw).get("iss")
    if not isinstance(issuer, str) or not issuer.startswith(prefix):
        raise refused
    tenant = directory.find(issuer.removeprefix(prefix))
    if tenant is None or tenant.state != Tenant.State.ACTIVE:
        raise refused
    return tenant.ref


def _unverified_claims(raw: str) -> dict[str, Any]:
    parts = raw.split(".")
    if len(raw) > MAX_TOKEN_LENGTH or len(parts) != 3:
        return {}
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=="))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def _record_refusal(tenant: TenantRef, request: Request, reason: str) -> None:
    record.record_for(
        tenant,
        events.Event(
            code=events.Code.TOKEN_DENY,
            outcome=events.Outcome.DENIED,
            actor=events.Actor.anonymous(),
            object=f"{request.method} {request.path}"[:200],
            reason=reason,
        ),
    )
