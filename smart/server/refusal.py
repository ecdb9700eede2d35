"""How the endpoints for machines refuse: the answer, its event, its CORS headers (ERRS-03, A1)."""

from dataclasses import replace
from typing import Final

from audit import events
from smart import cors
from smart.models import Application
from smart.server import client_auth
from smart.server.endpoint import OAuthRequest, OAuthResponse, error_response
from smart.server.errors import InsufficientScope, InvalidClient, InvalidToken, OAuthError

_BEARER_ERRORS: Final = (InvalidToken, InsufficientScope)


def respond(request: OAuthRequest, error: OAuthError, realm: str) -> OAuthResponse:
    """The JSON answer; who tried a scheme is told of it (RFC 6749 5.2, RFC 6750 3)."""
    scheme = request.authorization.partition(" ")[0].lower()
    if isinstance(error, _BEARER_ERRORS):
        challenge = f'Bearer realm="{realm}", error="{error.error}"'
        return error_response(error, {"WWW-Authenticate": challenge})
    if isinstance(error, InvalidClient) and scheme == "basic":
        return error_response(error, {"WWW-Authenticate": f'Basic realm="{realm}"'})
    return error_response(error)


def event(
    request: OAuthRequest,
    client: Application | None,
    response: OAuthResponse,
    code: events.Code,
) -> events.Event:
    """What is recorded of a refusal; `client` is None where none was proven."""
    claimed = client_auth.claimed(request.authorization, request.form)
    client_id, details = (client.client_id, {}) if client else client_auth.named(claimed)
    return events.Event(
        code=code,
        outcome=events.Outcome.DENIED,
        actor=events.Actor.client(client.client_id) if client else events.Actor.anonymous(),
        client_id=client_id,
        reason=response.body.get("error_description", ""),
        rule=response.body["error"],
        details=details,
    )


def with_cors(
    response: OAuthResponse, request: OAuthRequest, client: Application | None
) -> OAuthResponse:
    """A known app's own origins, else any of the tenant's, for errors too (CORS-02, CORS-04)."""
    if not request.origin:
        return response
    allowed = (
        frozenset(client.allowed_origins.split())
        if client
        else cors.registered_origins(request.tenant)
    )
    extra = cors.cors_headers(request.origin, allowed)
    return replace(response, headers={**response.headers, **extra})
