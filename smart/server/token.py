"""The token endpoint (RFC 6749 3.2; TOKN-01 to TOKN-24, REFR-01 to REFR-13, CAUT-01 to CAUT-09)."""

from typing import Final

from audit import record
from audit.events import Code
from authfi.lib.transaction import transaction
from smart.models import Application
from smart.server import client_auth, refusal, reuse, token_store
from smart.server.endpoint import OAuthRequest, OAuthResponse
from smart.server.engine import GRANT_TYPES, Engine
from smart.server.errors import (
    InvalidRequest,
    InvalidTarget,
    OAuthError,
    TemporarilyUnavailable,
    UnsupportedGrantType,
    status_of,
)
from smart.server.validator import SmartValidator

#: The parameters a grant is told of; whatever else was sent is ignored (RFC 6749 3.2).
PARAMETERS: Final = (
    *("grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "client_id"),
    *("scope", "resource"),
)
REQUIRED: Final = {
    "authorization_code": ("code", "redirect_uri"),
    "refresh_token": ("refresh_token",),
}

#: What a token hangs on changes this often at most while it is asked for: used, told again, ended.
ATTEMPTS: Final = 4


def token(request: OAuthRequest) -> OAuthResponse:
    """Exchange a code, a refresh token or an app's secret for an access token.

    Every answer is audited; a refusal is an answer, so nothing is raised for bad input. Raises
    AuditUnavailableError, ToAskError.
    """
    client: Application | None = None
    try:
        _check(request)
        client = _by_refresh_token(request) or client_auth.authenticate(
            request.authorization, request.form
        )
        response = _exchange(request, client)
    except OAuthError as error:
        response = refusal.respond(request, error, "token")
        record.record(refusal.event(request, client, response, Code.TOKEN_DENY))
    return refusal.with_cors(response, request, client)


def _check(request: OAuthRequest) -> None:
    """What can be said before anything is looked up."""
    if request.repeated == {"resource"}:
        raise InvalidTarget("resource was sent more than once")
    if request.repeated:
        raise InvalidRequest("a parameter was sent more than once")
    grant_type = request.form.get("grant_type")
    if grant_type is None:
        raise InvalidRequest("grant_type is missing")
    if grant_type not in GRANT_TYPES:
        raise UnsupportedGrantType(f"grant_type is one of {', '.join(GRANT_TYPES)}")
    for name in REQUIRED.get(grant_type, ()):
        if name not in request.form:
            raise InvalidRequest(f"{name} is missing")


def _by_refresh_token(request: OAuthRequest) -> Application | None:
    """The public app that a refresh token was issued to, where nothing else was sent.

    A public app has nothing to authenticate with, and the token alone tells which app it is (RFC
    6749 6). npm's fhirclient sends no `client_id` unless told to.
    """
    form = request.form
    is_bare = not request.authorization and form.keys() <= {"grant_type", "refresh_token", "scope"}
    if form["grant_type"] != "refresh_token" or not is_bare:
        return None
    found = token_store.find(form["refresh_token"])
    if found is None or not found.application.is_public:
        return None
    return client_auth.find(found.application.client_id)


def _exchange(request: OAuthRequest, client: Application) -> OAuthResponse:
    """What was sent is judged, then used and audited in one commit, or nothing happened.

    Nothing is locked meanwhile: what somebody else has changed by then is judged anew, and what
    was used does not become unused. Raises TemporarilyUnavailable, ToAskError.
    """
    form = {name: request.form[name] for name in PARAMETERS if name in request.form}
    for _ in range(ATTEMPTS):
        validator = SmartValidator(client, told=request.told)
        answer, status = Engine(validator).token_response(form)
        if status != 200:
            return _refused(request, client, validator, answer)
        if validator.issued and record.record_with(validator.write, validator.issued):
            return OAuthResponse(200, answer)
    raise TemporarilyUnavailable("try again in a moment")


def _refused(
    request: OAuthRequest, client: Application, validator: SmartValidator, answer: dict[str, str]
) -> OAuthResponse:
    """In one transaction with what the refusal changes."""
    answer.pop("state", None)
    response = OAuthResponse(status_of(answer["error"]), answer)
    with transaction():
        if validator.reused:
            reuse.end(validator.reused, request.form["grant_type"])
        record.record(refusal.event(request, client, response, Code.TOKEN_DENY))
    return response
