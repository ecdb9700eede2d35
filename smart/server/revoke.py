"""The revocation endpoint (RFC 7009; REVO-01 to REVO-03, O14).

An app ends its own tokens. Whatever else it sends is answered alike and changes nothing, so that
nobody learns here which tokens exist.
"""

from django.utils import timezone

from audit import events, record
from smart import tokens
from smart.grants import end_grants
from smart.models import Application
from smart.server import client_auth, refusal, token_store
from smart.server.endpoint import OAuthRequest, OAuthResponse
from smart.server.errors import InvalidRequest, OAuthError
from smart.tokens import InvalidTokenError


def revoke(request: OAuthRequest) -> OAuthResponse:
    """End a token: a refresh token with all its grant gave, an access token by itself.

    200 for own, unknown and dead ones. Raises AuditUnavailableError.
    """
    client: Application | None = None
    try:
        if request.repeated:
            raise InvalidRequest("a parameter was sent more than once")
        client = client_auth.authenticate(request.authorization, request.form)
        if "token" not in request.form:
            raise InvalidRequest("token is missing")
        _end(request, client)
        response = OAuthResponse(200, {})
    except OAuthError as error:
        response = refusal.respond(request, error, "revoke")
        record.record(refusal.event(request, client, response, events.Code.TOKEN_REVOKE))
    return refusal.with_cors(response, request, client)


def _end(request: OAuthRequest, client: Application) -> None:
    """`token_type_hint` is not needed: signed tokens have dots, opaque ones have none."""
    raw = request.form["token"]
    if "." in raw:
        _end_access_token(request, raw, client)
    else:
        _end_refresh_token(raw, client)


def _end_access_token(request: OAuthRequest, raw: str, client: Application) -> None:
    try:
        token = tokens.decode(raw, tenant=request.tenant, now=timezone.now())
    except InvalidTokenError:
        return
    if token.client_id == client.client_id:
        tokens.revoke(token, actor=events.Actor.client(client.client_id))
    else:
        record.record(_foreign(client, f"Grant/{token.grant_id}" if token.grant_id else ""))


def _end_refresh_token(raw: str, client: Application) -> None:
    """One that was used, too: it is the same family."""
    found = token_store.find(raw)
    if found is None:
        return
    if found.grant.application_id == client.pk:
        actor = events.Actor.client(client.client_id)
        end_grants(reason="revoked_by_app", actor=actor, id=found.grant.pk)
    else:
        record.record(_foreign(client, f"Grant/{found.grant.pk}"))


def _foreign(client: Application, grant: str) -> events.Event:
    return events.Event(
        code=events.Code.TOKEN_REVOKE,
        outcome=events.Outcome.DENIED,
        actor=events.Actor.client(client.client_id),
        client_id=client.client_id,
        object=grant,
        reason="the token is another app's",
        rule="own_tokens",
    )
