"""oauthlib's authorization server with the grants we serve, and nothing else (D14, O1, O2)."""

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from oauthlib.oauth2.rfc6749.endpoints.authorization import AuthorizationEndpoint
from oauthlib.oauth2.rfc6749.endpoints.token import TokenEndpoint
from oauthlib.oauth2.rfc6749.grant_types.authorization_code import (
    AuthorizationCodeGrant,
    code_challenge_method_s256,
)
from oauthlib.oauth2.rfc6749.grant_types.client_credentials import ClientCredentialsGrant
from oauthlib.oauth2.rfc6749.grant_types.refresh_token import RefreshTokenGrant
from oauthlib.oauth2.rfc6749.tokens import BearerToken

from smart.models.handles import new_handle
from smart.server.validator import SmartValidator

GRANT_TYPES: Final = ("authorization_code", "refresh_token", "client_credentials")


class CodeGrant(AuthorizationCodeGrant):
    """Codes of 256 bits, PKCE by S256 only (O2, O4).

    Whether there is a refresh token is the grant's to say, so our validator adds it (REFR-17).
    """

    refresh_token = False
    _code_challenge_methods = {"S256": code_challenge_method_s256}

    def create_authorization_code(self, request: Any) -> dict[str, str]:
        """The members of a successful authorization response."""
        return {"code": new_handle(), "state": request.state}


class Engine(AuthorizationEndpoint, TokenEndpoint):
    """One server for one request: its validator holds what the request has proven so far."""

    def __init__(self, validator: SmartValidator) -> None:
        code = CodeGrant(validator)  # type: ignore[no-untyped-call]
        refresh = RefreshTokenGrant(  # type: ignore[no-untyped-call]
            validator, issue_new_refresh_tokens=False, post_token=[validator.narrow_refresh]
        )
        own = ClientCredentialsGrant(validator)  # type: ignore[no-untyped-call]
        bearer = BearerToken(  # type: ignore[no-untyped-call]
            validator,
            token_generator=validator.issue_access_token,
            expires_in=validator.access_token_seconds,
        )
        AuthorizationEndpoint.__init__(  # type: ignore[no-untyped-call]
            self,
            default_response_type="code",
            response_types={"code": code},
            default_token_type=bearer,
        )
        TokenEndpoint.__init__(  # type: ignore[no-untyped-call]
            self,
            default_grant_type="authorization_code",
            grant_types={
                "authorization_code": code,
                "refresh_token": refresh,
                "client_credentials": own,
            },
            default_token_type=bearer,
        )

    def authorization_code(self, scopes: list[str], facts: dict[str, Any]) -> str:
        """Make and save a code for a request that was checked before (AUTZ-14).

        `facts` become attributes of oauthlib's request: the parameters, `user` and `grant`.
        """
        headers, _, _ = self.create_authorization_response("/", scopes=scopes, credentials=facts)
        query = parse_qs(urlsplit(str(headers["Location"])).query)
        return query["code"][-1]
