"""The checks of an authorization request, in their order (AUTZ-03 to AUTZ-24, O2, O3, O6).

First app and redirect URI, which decide where an error goes; then `check`, whose refusals the app
is told.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from authfi.lib import tenancy
from smart import launch
from smart.models import Application, HealthcareModule, LaunchContext
from smart.policy import acr
from smart.scopes.syntax import MalformedScope, Scope, parse_scopes
from smart.server import audience as audiences
from smart.server import ceiling, client_auth, redirect_uris
from smart.server.errors import (
    ClientNotProvenError,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    RequestNotSupported,
    RequestURINotSupported,
    UnauthorizedClient,
    UnsupportedResponseType,
)
from tenants.http import fhir_base, issuer

MAX_QUERY: Final = 16_384
MAX_FORM: Final = 65_536
MAX_FIELDS: Final = 100
MAX_STATE: Final = 2_048
MAX_NONCE: Final = 255
MAX_HINT: Final = 254
MAX_LAUNCH: Final = 255
MAX_ACR_VALUES: Final = 1_024
PROMPTS: Final = frozenset({"none", "login", "consent", "select_account"})

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CLINICAL = re.compile(r"(?:^| )(?:patient/|user/|system/|launch|fhirUser)")


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters as they came; those without a value are left out (RFC 6749 3.1)."""

    values: Mapping[str, str]
    repeated: frozenset[str]

    def get(self, name: str) -> str:
        """The value, or ""."""
        return self.values.get(name, "")


@dataclass(frozen=True, slots=True)
class Checked:
    """A request that passed: what is asked, by whom, and where the answer goes.

    `aal` is the level of sign-in that the app would like, 0 where it says nothing of it.

    `audience` is the FHIR base, or the issuer where no FHIR server is asked for.
    """

    application: Application
    redirect_uri: str
    state: str
    code_challenge: str
    audience: str
    nonce: str
    prompt: frozenset[str]
    max_age: int | None
    login_hint: str
    aal: int
    scope: str
    launch: LaunchContext | None


def parse(query: str, form: str | None = None) -> Asked:
    """The parameters of a query string, and of a form that was posted (AUTZ-02, AUTZ-21).

    Raises ClientNotProvenError.
    """
    if len(query) > MAX_QUERY or len(form or "") > MAX_FORM:
        raise ClientNotProvenError("the request is too long")
    text = "&".join(filter(None, (query, form)))
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise ClientNotProvenError("the request is not a query in UTF-8") from error
    counts = Counter(name for name, _ in pairs)
    return Asked(
        values={name: value for name, value in pairs if value},
        repeated=frozenset(name for name, count in counts.items() if count > 1),
    )


def find_client(asked: Asked) -> tuple[Application, str]:
    """App and redirect URI, both proven (AUTZ-04, AUTZ-05). Raises ClientNotProvenError."""
    if asked.repeated & {"client_id", "redirect_uri"}:
        raise ClientNotProvenError("client_id or redirect_uri was sent more than once")
    application = client_auth.find(asked.get("client_id"))
    if application is None:
        raise ClientNotProvenError("the client_id is not that of an active app")
    redirect_uri = asked.get("redirect_uri")
    registered = application.redirect_uris.split()
    if not redirect_uris.is_registered(
        redirect_uri, registered, in_development=application.in_development
    ):
        raise ClientNotProvenError("the redirect_uri is not one that the app registered")
    return application, redirect_uri


def state_of(asked: Asked) -> str:
    """The state to repeat in an answer; "" where there is none that can be."""
    state = asked.get("state")
    return "" if "state" in asked.repeated or len(state) > MAX_STATE else state


def check(asked: Asked, application: Application, redirect_uri: str) -> Checked:
    """Everything else, in this order. Raises errors.OAuthError."""
    _nothing_is_repeated(asked)
    _response_is_a_code(asked, application)
    _state_is_there(asked)
    _pkce_is_s256(asked, application)
    audience = _audience(asked)
    _no_request_object(asked)
    prompt, max_age = _prompt(asked)
    scopes = _scopes(asked, application)
    return Checked(
        application=application,
        redirect_uri=redirect_uri,
        state=asked.get("state"),
        code_challenge=asked.get("code_challenge"),
        audience=audience,
        nonce=asked.get("nonce"),
        prompt=prompt,
        max_age=max_age,
        login_hint=_login_hint(asked),
        aal=_aal(asked),
        scope=asked.get("scope"),
        launch=_launch(asked, scopes, application),
    )


def _nothing_is_repeated(asked: Asked) -> None:
    """A token is for one server: RFC 8707 2 has a word of its own for several of them."""
    if asked.repeated == {"resource"}:
        raise InvalidTarget("resource was sent more than once")
    if asked.repeated:
        raise InvalidRequest("a parameter was sent more than once")


def _response_is_a_code(asked: Asked, application: Application) -> None:
    response_type = asked.get("response_type")
    if not response_type:
        raise InvalidRequest("response_type is missing")
    if response_type != "code":
        raise UnsupportedResponseType("response_type must be code")
    if asked.get("response_mode") not in ("", "query"):
        raise InvalidRequest("response_mode must be query")
    if not application.allows_grant_type("authorization_code"):
        raise UnauthorizedClient("the app may not use authorization codes")


def _state_is_there(asked: Asked) -> None:
    if not asked.get("state"):
        raise InvalidRequest("state is missing")
    if not state_of(asked):
        raise InvalidRequest(f"state has at most {MAX_STATE} characters")
    nonce = asked.get("nonce")
    if len(nonce) > MAX_NONCE or _CONTROL.search(nonce):
        raise InvalidRequest(
            f"nonce has at most {MAX_NONCE} characters, none of them control characters"
        )


def _pkce_is_s256(asked: Asked, application: Application) -> None:
    """Only an app that an admin marked may leave PKCE out, and then the whole of it (O2)."""
    is_absent = not (asked.get("code_challenge") or asked.get("code_challenge_method"))
    if is_absent and application.without_pkce and not application.is_public:
        return
    if not asked.get("code_challenge"):
        raise InvalidRequest("code_challenge is missing")
    if asked.get("code_challenge_method") != "S256":
        raise InvalidRequest("code_challenge_method must be S256")
    if not _CHALLENGE.fullmatch(asked.get("code_challenge")):
        raise InvalidRequest("code_challenge must be 43 base64url characters")


def _audience(asked: Asked) -> str:
    """`aud`, or `resource` as its synonym, must be our FHIR base (AUTZ-08 to AUTZ-10)."""
    tenant = tenancy.current()
    base = fhir_base(tenant)
    aud, resource = asked.get("aud"), asked.get("resource")
    if resource and not audiences.is_same(resource, base):
        raise InvalidTarget("resource is not the FHIR base of this server")
    if aud and not audiences.is_same(aud, base):
        raise InvalidRequest("aud is not the FHIR base of this server")
    if aud or resource:
        return base
    if _CLINICAL.search(asked.get("scope")):
        raise InvalidRequest("aud is missing")
    return issuer(tenant)


def _no_request_object(asked: Asked) -> None:
    if asked.get("request"):
        raise RequestNotSupported("request objects are not supported")
    if asked.get("request_uri"):
        raise RequestURINotSupported("request objects are not supported")


def _prompt(asked: Asked) -> tuple[frozenset[str], int | None]:
    prompt = frozenset(asked.get("prompt").split())
    if not prompt <= PROMPTS or ("none" in prompt and len(prompt) > 1):
        raise InvalidRequest("prompt is not one that is defined, or contradicts itself")
    max_age = asked.get("max_age")
    if max_age and not re.fullmatch(r"[0-9]{1,9}", max_age):
        raise InvalidRequest("max_age is a number of seconds")
    return prompt, int(max_age) if max_age else None


def _login_hint(asked: Asked) -> str:
    """Whom the app expects; one that is no e-mail address of a plain form says nothing."""
    hint = asked.get("login_hint")
    return "" if len(hint) > MAX_HINT or _CONTROL.search(hint) else hint


def _aal(asked: Asked) -> int:
    """A wish, no demand (N13; OpenID Connect Core 3.1.2.1): one too long to read says nothing."""
    values = asked.get("acr_values")
    return acr.wanted(values) if len(values) <= MAX_ACR_VALUES else 0


def _scopes(asked: Asked, application: Application) -> tuple[Scope, ...]:
    """What is asked for, if anything of it could be granted at all (AUTZ-06, SCOP-11)."""
    try:
        scopes = parse_scopes(asked.get("scope"))
    except MalformedScope as error:
        raise InvalidScope(error.problem) from error
    if not scopes:
        raise InvalidScope("scope is missing")
    module = HealthcareModule.objects.first()
    if module is None and any(map(ceiling.needs_fhir, scopes)):
        raise InvalidScope("this organization has no FHIR server connected")
    if not ceiling.is_usable(ceiling.narrow(scopes, application, module).granted):
        raise InvalidScope("the app can be granted none of these scopes")
    return scopes


def _launch(
    asked: Asked, scopes: tuple[Scope, ...], application: Application
) -> LaunchContext | None:
    """The launch that scope and parameter together ask for (AUTZ-13, EHRL-05)."""
    handle, wants_launch = asked.get("launch"), any(scope.text == "launch" for scope in scopes)
    if not handle and not wants_launch:
        return None
    if not handle or not wants_launch:
        raise InvalidRequest("scope launch and parameter launch go together")
    if len(handle) > MAX_LAUNCH:
        raise InvalidRequest("launch is not one that was handed out to this app")
    try:
        return launch.resolve(handle, application)
    except launch.LaunchRefusedError as error:
        raise InvalidRequest(error.reason) from error
