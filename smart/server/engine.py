"""oauthlib's authorization server with the grants we serve, and nothing else (D14, O1, O2)."""

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

from oauthlib.common import Request
from oauthlib.oauth2.rfc6749.endpoints.authorization import AuthorizationEndpoint
from oauthlib.oauth2.rfc6749.grant_types.authorization_code import (
    AuthorizationCodeGrant,
    code_challenge_method_s256,
)
from oauthlib.oauth2.rfc6749.grant_types.client_credentials import ClientCredentialsGrant
from oauthlib.oauth2.rfc6749.grant_types.refresh_token import RefreshTokenGrant
from oauthlib.oauth2.rfc6749.tokens import BearerToken

from smart.models.handles import new_handle
from smart.server.validator import SmartValidator


class CodeGrant(AuthorizationCodeGrant):
    """Codes of 256 bits, PKCE by S256 only (O2, O4).

    Whether there is a refresh token is the grant's to say, so our validator adds it (REFR-17).
    """

    refresh_token = False
    _code_challenge_methods = {"S256": code_challenge_method_s256}

    def create_authorization_code(self, request: Any) -> dict[str, str]:
        """The members of a successful authorization response."""
        return {"code": new_handle(), "state": request.state}


def _refresh_grant(validator: SmartValidator) -> RefreshTokenGrant:
    return RefreshTokenGrant(  # type: ignore[no-untyped-call]
        validator, issue_new_refresh_tokens=False, post_token=[validator.narrow_refresh]
    )


_GRANTS: Final[dict[str, Callable[[SmartValidator], Any]]] = {
    "authorization_code": CodeGrant,
    "refresh_token": _refresh_grant,
    "client_credentials": ClientCredentialsGrant,
}
GRANT_TYPES: Final = tuple(_GRANTS)


class TokenRequest(Request):
    """oauthlib's request of a form that was parsed before, each parameter once."""

    duplicate_params: ClassVar[list[str]] = []
    uri_query = ""
    headers: Any
    scopes: Any
    _params: dict[str, Any]

    def __init__(self, form: Mapping[str, str]) -> None:
        self.uri, self.http_method, self.headers, self.body = "/", "POST", {}, None
        self.decoded_body = list(form.items())
        self._params = {**_NO_PARAMETERS, **form}


_NO_PARAMETERS: Final = Request("/")._params  # type: ignore[no-untyped-call]


class Engine(AuthorizationEndpoint):
    """One server for one request: its validator holds what the request has proven so far."""

    def __init__(self, validator: SmartValidator) -> None:
        self._validator = validator
        self._bearer = BearerToken(  # type: ignore[no-untyped-call]
            validator,
            token_generator=validator.issue_access_token,
            expires_in=validator.access_token_seconds,
        )
        AuthorizationEndpoint.__init__(  # type: ignore[no-untyped-call]
            self,
            default_response_type="code",
            response_types={"code": CodeGrant(validator)},  # type: ignore[no-untyped-call]
            default_token_type=self._bearer,
        )

    def token_response(self, form: Mapping[str, str]) -> tuple[dict[str, Any], int]:
        """The answer to a form whose `grant_type` is one of GRANT_TYPES, and its status."""
        request = TokenRequest(form)
        request.scopes = request.scope.split() if request.scope else None
        grant = _GRANTS[request.grant_type](self._validator)
        _, text, status = grant.create_token_response(request, self._bearer)
        return (self._validator.answer if status == 200 else json.loads(text)), status

    def authorization_code(self, scopes: list[str], facts: dict[str, Any]) -> str:
        """Make and save a code for a request that was checked before (AUTZ-14).

        `facts` become attributes of oauthlib's request: the parameters, `user` and `grant`.
        """
        headers, _, _ = self.create_authorization_response("/", scopes=scopes, credentials=facts)
        query = parse_qs(urlsplit(str(headers["Location"])).query)
        return query["code"][-1]
