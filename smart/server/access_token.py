"""The access token of an answer, and the event that tells of it (RFC 9068; D4, O10)."""

from typing import Any

from audit import events
from smart import grants, tokens
from smart.models import Grant
from smart.server import audience as audiences
from smart.server.errors import InvalidScope, InvalidTarget
from tenants.http import management_audience


def make(request: Any) -> tuple[str, dict[str, Any]]:
    """A signed token for the grant, or for the app itself, and its claims.

    `request` is oauthlib's. Raises InvalidScope, InvalidTarget.
    """
    grant: Grant | None = getattr(request, "grant", None)
    audience = str(grant.context["audience"]) if grant else management_audience()
    # RFC 8707 2.2: `resource` names the server that was authorized, or is left out.
    asked = getattr(request, "resource", None)
    if asked and not audiences.is_same(asked, audience):
        raise InvalidTarget("resource is not the server that was authorized")
    return _of_grant(grant, request, audience) if grant else _of_app(request, audience)


def issued(request: Any) -> events.Event:
    """The event of a token that `make` made."""
    grant: Grant | None = getattr(request, "grant", None)
    is_refresh = request.grant_type == "refresh_token"
    details: dict[str, Any] = {"jti": request.token_claims["jti"], "scopes": request.scopes}
    if grant is not None:
        details |= {"on_behalf_of": str(grant.user_id), "consent": str(grant.consent_id)}
    return events.Event(
        code=events.Code.TOKEN_REFRESH if is_refresh else events.Code.TOKEN_ISSUE,
        outcome=events.Outcome.SUCCESS,
        actor=events.Actor.client(request.client.client_id),
        client_id=request.client.client_id,
        patient=(grant.patient or "") if grant else "",
        object=f"Grant/{grant.pk}" if grant else "",
        details=details,
    )


def _of_grant(grant: Grant, request: Any, audience: str) -> tuple[str, dict[str, Any]]:
    context, scope = grant.context, " ".join(request.scopes)
    try:
        return tokens.issue(
            client_id=request.client.client_id,
            subject=str(grant.user_id),
            scope=scope,
            audience=audience,
            seconds=request.expires_in,
            grant_id=grant.pk,
            patient=context.get("patient"),
            encounter=context.get("encounter"),
            fhir_user=context.get("fhir_user"),
            acr=grant.acr,
            auth_time=grant.auth_time,
            is_launched=bool(context.get(grants.LAUNCHED)),
            is_narrowed=scope != grant.scopes,
        )
    except tokens.TooLongError as error:
        raise InvalidScope("too many scopes for one token: leave scope out to keep all") from error


def _of_app(request: Any, audience: str) -> tuple[str, dict[str, Any]]:
    return tokens.issue(
        client_id=request.client.client_id,
        subject=request.client.client_id,
        scope=" ".join(request.scopes),
        audience=audience,
        seconds=request.expires_in,
    )
