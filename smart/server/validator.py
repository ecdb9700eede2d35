"""The toolkit's validator, with our answers to what oauthlib asks (D3, D4, D14).

One instance serves one request and holds the app that was proven before it was made.
"""

import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from oauth2_provider.oauth2_validators import OAuth2Validator

from audit import events, record
from authfi.lib.compiled import Change, Query, Step, Write
from smart.models import Application, AuthorizationCode, Grant
from smart.models.handles import handle_digest
from smart.scopes import match
from smart.scopes.syntax import MANAGEMENT_SCOPES, MalformedScope, parse_scopes
from smart.server import (
    access_token,
    ceiling,
    id_token,
    picked_patient,
    redirect_uris,
    token_store,
)
from smart.server.endpoint import Told
from smart.server.errors import InvalidGrant, InvalidScope

CODE_SECONDS = 60

#: Members of the launch context that the token response repeats (CTXT-01 to CTXT-06).
CONTEXT_MEMBERS = (
    "patient",
    "encounter",
    "need_patient_banner",
    "intent",
    "smart_style_url",
    "fhirContext",
)

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")

_code = Query(
    lambda code: (
        AuthorizationCode.objects.select_related("grant__user")
        .defer("scope", "created", *token_store.UNREAD)
        .filter(code=code)
    ),
    code=str,
)
_use_code = Change(
    lambda key, now: (
        AuthorizationCode.objects.filter(pk=key, used_at__isnull=True),
        {"used_at": now},
    ),
    key=UUID,
    now=datetime,
)


class SmartValidator(OAuth2Validator):
    """Codes are rows that are used once; access tokens are no rows (D4).

    Nothing is written before all is judged: then `issued` tells of the `answer`, and `write` is
    what must be written with it. `reused` is the grant of what was used a second time.
    """

    def __init__(self, client: Application | None = None, *, told: Told | None = None) -> None:
        super().__init__()
        self.client = client
        self.told = told
        self.answer: dict[str, Any] = {}
        self.issued: events.Event | None = None
        self.write: Write | None = None
        self.reused: Grant | None = None

    # Who asks

    def client_authentication_required(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        """Public apps name themselves, others have authenticated."""
        return self.client is None or not self.client.is_public

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        """`client_auth` has proven it already."""
        request.client = self.client
        return self.client is not None

    def authenticate_client_id(
        self, client_id: str, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """`client_auth` has found it already."""
        return self.authenticate_client(request)

    def validate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        """The app of an authorization request."""
        return self.authenticate_client(request)

    def validate_grant_type(
        self,
        client_id: str,
        grant_type: str,
        client: Application,
        request: Any,
        *_: Any,
        **__: Any,
    ) -> bool:
        """Only what the app registered (TOKN-24)."""
        return client.allows_grant_type(grant_type)

    def validate_response_type(
        self,
        client_id: str,
        response_type: str,
        client: Application,
        request: Any,
        *_: Any,
        **__: Any,
    ) -> bool:
        """Only `code`, for apps with people (AUTZ-03)."""
        return response_type == "code" and client.allows_grant_type("authorization_code")

    # Authorization codes

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """Byte for byte a registered one (O3)."""
        client = request.client
        return redirect_uris.is_registered(
            redirect_uri, client.redirect_uris.split(), in_development=client.in_development
        )

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        """Always, but for a confidential app that an admin marked (AUTZ-11, O2)."""
        return not request.client.without_pkce or bool(request.client.is_public)

    def save_authorization_code(
        self, client_id: str, code: dict[str, str], request: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Keep the digest of a code, bound to app, URI, challenge and grant (O4, AUTZ-17)."""
        AuthorizationCode.objects.create(
            code=handle_digest("code", code["code"]),
            grant=request.grant,
            redirect_uri=request.redirect_uri,
            scope=" ".join(request.scopes),
            code_challenge=request.code_challenge or "",
            code_challenge_method=request.code_challenge_method or "",
            nonce=request.nonce or "",
            expires=timezone.now() + timedelta(seconds=CODE_SECONDS),
        )

    def validate_code(
        self, client_id: str, code: str, client: Application, request: Any, *_: Any, **__: Any
    ) -> bool:
        """Read the code's row and compare all it is bound to; a second use ends its grant.

        Raises InvalidGrant.
        """
        row = _code.first(code=handle_digest("code", code))
        if row is None or row.grant.application_id != client.pk:
            raise InvalidGrant("the code is unknown")
        row.grant.application = client
        if row.used_at is not None:
            self.reused = row.grant
            raise InvalidGrant("the code was used before")
        _check_code(row, request)
        request.code_row, request.grant, request.user = row, row.grant, row.grant.user
        request.scopes = row.grant.scopes.split()
        return True

    def get_code_challenge(self, code: str, request: Any) -> str | None:
        """Of the code that was read; None where its app sent none."""
        return request.code_row.code_challenge or None

    def get_code_challenge_method(self, code: str, request: Any) -> str:
        """Of the code that was read."""
        return str(request.code_row.code_challenge_method)

    def confirm_redirect_uri(
        self,
        client_id: str,
        code: str,
        redirect_uri: str,
        client: Application,
        request: Any,
        *_: Any,
        **__: Any,
    ) -> bool:
        """The one of the authorization request (TOKN-04); `validate_code` said so already."""
        return bool(redirect_uri == request.code_row.redirect_uri)

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: Any, *args: Any, **kwargs: Any
    ) -> None:
        """`write` does: its row stays, so that a second use is noticed (O4)."""

    # Refresh tokens

    def validate_refresh_token(
        self, refresh_token: str, client: Application, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """Read the token's row and ask whether it may be used, or its successor told again (O13).

        A second use of a live one ends its grant. Raises InvalidGrant, and as
        `picked_patient.check`.
        """
        now = timezone.now()
        found = token_store.find(refresh_token, client)
        if found is None:
            raise InvalidGrant("the refresh token is unknown")
        if not found.is_live(now):
            raise InvalidGrant("the refresh token has expired or its access was ended")
        request.successor = token_store.successor_of(found, now)
        if found.row.used_at is not None and request.successor is None:
            self.reused = found.grant
            raise InvalidGrant("the refresh token was used before")
        picked_patient.check(found.grant, self.told)
        request.found, request.grant, request.user = found, found.grant, found.grant.user
        return True

    def get_original_scopes(self, refresh_token: str, request: Any, *_: Any, **__: Any) -> str:
        """Of the grant: a narrowed access token narrows no later one (REFR-03)."""
        return str(request.grant.scopes)

    def narrow_refresh(self, request: Any) -> None:
        """Where fewer scopes were asked for: those that make sense together (REFR-04, GRNT-13).

        Raises InvalidScope.
        """
        if not request.scope:
            return
        asked = set(request.scopes)
        kept = [scope for scope in parse_scopes(request.grant.scopes) if scope.text in asked]
        scopes = match.consistent(kept, has_patient=request.grant.patient is not None)
        if not ceiling.is_usable(scopes):
            raise InvalidScope("none of these scopes opens anything")
        request.scopes = [scope.text for scope in scopes]

    # Scopes of an app in its own name

    def get_default_scopes(self, client_id: str, request: Any, *_: Any, **__: Any) -> list[str]:
        """None: `scope` is required (BKND-02)."""
        return []

    def validate_scopes(
        self,
        client_id: str,
        scopes: list[str],
        client: Application,
        request: Any,
        *_: Any,
        **__: Any,
    ) -> bool:
        """Narrow `client_credentials` to the app's management scopes; codes were narrowed before.

        Raises InvalidScope.
        """
        if request.grant_type != "client_credentials":
            return True
        try:
            requested = parse_scopes(request.scope or "")
        except MalformedScope as error:
            raise InvalidScope(error.problem) from error
        registered = [
            scope for scope in parse_scopes(client.scopes) if scope.text in MANAGEMENT_SCOPES
        ]
        narrowed = match.intersect(requested, registered)
        reduced = ceiling.reduced_event(
            requested=requested,
            granted=narrowed.granted,
            left_out=narrowed.left_out,
            actor=events.Actor.client(client.client_id),
            client_id=client.client_id,
            patient="",
        )
        if reduced:
            record.record(reduced)
        request.scopes = [scope.text for scope in narrowed.granted]
        return bool(request.scopes)

    # Tokens

    def access_token_seconds(self, request: Any) -> int:
        """The app's own (O10), but no token outlives the end of all refreshing."""
        seconds = int(request.client.access_token_seconds)
        ends_at = getattr(getattr(request, "grant", None), "refresh_ends_at", None)
        return min(seconds, int((ends_at - timezone.now()).total_seconds())) if ends_at else seconds

    def issue_access_token(self, request: Any) -> str:
        """A signed token for the grant, or for the app itself (D4).

        Raises InvalidScope, InvalidTarget.
        """
        raw, request.token_claims = access_token.make(request)
        return raw

    def save_bearer_token(
        self, token: dict[str, Any], request: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Add what the grant brings along (TOKN-17, IDTK-01); no row of it (D4)."""
        grant: Grant | None = getattr(request, "grant", None)
        if grant is not None:
            refresh_token, self.write = _refresh_token(grant, request)
            if refresh_token:
                token["refresh_token"] = refresh_token
            context = grant.context
            token.update({name: context[name] for name in CONTEXT_MEMBERS if name in context})
            token["tenant"] = str(grant.tenant_id)
            if "openid" in request.scopes:
                nonce = "" if _is_refresh(request) else request.code_row.nonce
                token["id_token"] = id_token.make(grant, request.scopes, nonce)
        self.answer, self.issued = dict(token), access_token.issued(request)


def _check_code(row: AuthorizationCode, request: Any) -> None:
    """Raises InvalidGrant."""
    now = timezone.now()
    if row.expires <= now:
        raise InvalidGrant("the code has expired")
    if row.grant.ended_at is not None or row.grant.expires_at <= now:
        raise InvalidGrant("the access was ended")
    if row.grant.user is None or not row.grant.user.is_active:
        raise InvalidGrant("the access was ended")
    if request.redirect_uri != row.redirect_uri:
        raise InvalidGrant("redirect_uri is not the one of the authorization request")
    if not row.code_challenge:
        if request.code_verifier:
            raise InvalidGrant("code_verifier was sent for a code without code_challenge")
    elif not _VERIFIER.fullmatch(request.code_verifier or ""):
        raise InvalidGrant("code_verifier is missing or malformed")


def _use_of(row: AuthorizationCode) -> Step:
    return Step(_use_code, {"key": row.pk, "now": timezone.now()})


def _is_refresh(request: Any) -> bool:
    return bool(request.grant_type == "refresh_token")


def _refresh_token(grant: Grant, request: Any) -> tuple[str, Write]:
    """The first one, the next one, or once more the one whose answer was lost (REFR-07); "" where
    the grant has none. And what must be written with it.
    """
    if not _is_refresh(request):
        use = _use_of(request.code_row)
        return token_store.first_after(grant, use) if grant.lasts else ("", Write((use,)))
    if request.successor is not None:
        return str(request.successor), token_store.forget_successor(request.found)
    return token_store.rotate(request.found, timezone.now())
