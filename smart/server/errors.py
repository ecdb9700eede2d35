"""OAuth errors by their registered codes, and how each endpoint tells them (ERRS-01 to ERRS-03).

They stand on oauthlib's base class, so that its grants catch what our validator raises.
"""
# ruff: noqa: N818 (a class is named as its code is registered)

from collections.abc import Mapping

from django.http import HttpResponse
from oauthlib.common import add_params_to_uri
from oauthlib.oauth2.rfc6749.errors import OAuth2Error

from authfi.lib import tenancy
from tenants.http import issuer


class OAuthError(OAuth2Error):
    """A refusal with its code; the description is plain ASCII that says what to change."""

    error: str = "server_error"  # type: ignore[assignment]

    def __init__(self, description: str = "") -> None:
        super().__init__(description=description)  # type: ignore[no-untyped-call]


class AccessDenied(OAuthError):
    """The person or a policy said no (RFC 6749 4.1.2.1)."""

    error = "access_denied"


class ConsentRequired(OAuthError):
    """`prompt=none`, but the person must decide (OpenID Connect Core 3.1.2.6)."""

    error = "consent_required"


class InteractionRequired(OAuthError):
    """`prompt=none`, but the person must choose a record (OpenID Connect Core 3.1.2.6)."""

    error = "interaction_required"


class InsufficientScope(OAuthError):
    """The access token does not reach this far (RFC 6750 3.1)."""

    error = "insufficient_scope"


class InvalidClient(OAuthError):
    """Client authentication failed (RFC 6749 5.2)."""

    error = "invalid_client"


class InvalidGrant(OAuthError):
    """The code is not good, or not for this client (RFC 6749 5.2)."""

    error = "invalid_grant"


class InvalidRequest(OAuthError):
    """A parameter is missing, repeated or wrong (RFC 6749 4.1.2.1, 5.2)."""

    error = "invalid_request"


class InvalidScope(OAuthError):
    """The scope is malformed, or nothing of it can be granted (RFC 6749 4.1.2.1, 5.2)."""

    error = "invalid_scope"


class InvalidTarget(OAuthError):
    """The resource is not one we serve (RFC 8707 2)."""

    error = "invalid_target"


class InvalidToken(OAuthError):
    """The access token opens nothing here (RFC 6750 3.1)."""

    error = "invalid_token"


class LoginRequired(OAuthError):
    """`prompt=none`, but the person must sign in (OpenID Connect Core 3.1.2.6)."""

    error = "login_required"


class RequestNotSupported(OAuthError):
    """No request objects (OpenID Connect Core 3.1.2.6)."""

    error = "request_not_supported"


class RequestURINotSupported(OAuthError):
    """No request objects by reference (OpenID Connect Core 3.1.2.6)."""

    error = "request_uri_not_supported"


class TemporarilyUnavailable(OAuthError):
    """Something we need is down (RFC 6749 4.1.2.1)."""

    error = "temporarily_unavailable"


class UnauthorizedClient(OAuthError):
    """The client may not use this grant type (RFC 6749 4.1.2.1, 5.2)."""

    error = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    """The server does not serve this grant type (RFC 6749 5.2)."""

    error = "unsupported_grant_type"


class UnsupportedResponseType(OAuthError):
    """Only `code` (RFC 6749 4.1.2.1)."""

    error = "unsupported_response_type"


class ClientNotProvenError(Exception):
    """Client or redirect URI are not proven, so the browser stays with us (ERRS-01)."""


_STATUS = {
    "invalid_client": 401,
    "invalid_token": 401,
    "insufficient_scope": 403,
    "temporarily_unavailable": 503,
}


def body_of(error: OAuthError) -> dict[str, str]:
    """The members of a JSON error (RFC 6749 5.2)."""
    body = {"error": error.error}
    return body | {"error_description": error.description} if error.description else body


def status_of(code: str) -> int:
    """The HTTP status of a JSON error."""
    return _STATUS.get(code, 400)


def error_redirect(redirect_uri: str, error: OAuthError, state: str) -> HttpResponse:
    """Tell the app, at a redirect URI that was proven (RFC 6749 4.1.2.1, RFC 9207)."""
    return redirect_to_app(redirect_uri, {**body_of(error), **({"state": state} if state else {})})


def redirect_to_app(redirect_uri: str, parameters: Mapping[str, str]) -> HttpResponse:
    """303 to the app with parameters and our `iss` added, its own query kept (O5, AUTZ-24)."""
    added = [*parameters.items(), ("iss", issuer(tenancy.current()))]
    location: str = add_params_to_uri(redirect_uri, added)  # type: ignore[no-untyped-call]
    return HttpResponse(status=303, headers={"Location": location})
