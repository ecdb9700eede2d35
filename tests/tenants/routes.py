"""Every route of the URL maps with the ids that it takes, for the matrix of strangers (T4).

A new route appears here by itself. Where its ids cannot be told from its pattern the matrix fails
and says what to add below.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings
from django.urls import URLResolver, get_resolver

from tests.server.conftest import REDIRECT

API: Final = "api/"
CHALLENGE: Final = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
VERIFIER: Final = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

#: Parameters in paths, and the kinds of ids that are tried in their place. `uuids` are all of that
#: form; a slug of a public document names a tenant to everybody, as its issuer does.
PATH_IDS: Final[dict[str, tuple[str, ...]]] = {
    "request_id": ("uuids",),
    "event_id": ("uuids",),
    "consent_id": ("uuids",),
    "handle": ("invitation_handle", "launch", "code", "refresh_token"),
    "patient_id": ("patient", "encounter"),
    "name": ("app", "patient"),
    "tenant": ("slug", "tenant"),
    "slug": (),
}

_AUTHORIZE: Final = {
    "response_type": "code",
    "client_id": "growth-chart",
    "redirect_uri": REDIRECT,
    "scope": "launch openid fhirUser patient/*.rs",
    "state": "s",
    "aud": "{own_base}",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
_OURS: Final = {"Authorization": "{own_basic}"}
_THEIRS: Final = {"Authorization": "{basic}"}
_CODE: Final = {
    "grant_type": "authorization_code",
    "code": "{code}",
    "redirect_uri": REDIRECT,
    "code_verifier": VERIFIER,
}
_TOKENS: Final = ("{access_token}", "{refresh_token}", "{api_token}", "{id_token}")

#: Fields of queries and forms that take ids; routes of no such field stand in `TAKES_NONE`.
TAKES: Final[dict[str, tuple[Mapping[str, str], ...]]] = {
    "consent/<uuid:request_id>": ({"decision": "allow", "shown": "x"},),
    "oauth/authorize": (
        {**_AUTHORIZE, "client_id": "{app}"},
        {**_AUTHORIZE, "launch": "{launch}"},
        {**_AUTHORIZE, "aud": "{base}"},
        {**_AUTHORIZE, "resource": "{base}"},
    ),
    "oauth/authorize/<uuid:request_id>/patient": (
        {"patient": "{patient}"},
        {"cancel": "1"},
        {"page": "{picker_page}"},
    ),
    "oauth/authorize/<uuid:request_id>/encounter": ({"encounter": "{encounter}"},),
    "oauth/logout": (
        {"id_token_hint": "{id_token}"},
        {"client_id": "{app}", "post_logout_redirect_uri": REDIRECT},
    ),
    "oauth/logout/confirm": ({"id_token_hint": "{id_token}"}, {"client_id": "{app}"}),
    "oauth/userinfo": ({"Authorization": "Bearer {access_token}"},),
    "oauth/token": (
        {**_CODE, "client_id": "growth-chart"},
        {**_CODE, **_OURS},
        {**_CODE, "client_id": "{app}"},
        {**_OURS, "grant_type": "refresh_token", "refresh_token": "{refresh_token}"},
        {"grant_type": "refresh_token", "refresh_token": "{refresh_token}", "client_id": "{app}"},
        {**_THEIRS, "grant_type": "refresh_token", "refresh_token": "{refresh_token}"},
        {**_THEIRS, "grant_type": "client_credentials", "scope": "authfi/launch"},
    ),
    "oauth/introspect": (
        *({**_OURS, "token": token} for token in _TOKENS),
        {**_THEIRS, "token": "{access_token}"},
        {"token": "{own_token}", "Authorization": "Bearer {api_token}"},
    ),
    "oauth/revoke": (
        *({**_OURS, "token": token} for token in _TOKENS),
        {"client_id": "{app}", "token": "{refresh_token}"},
    ),
    "account/apps/<uuid:consent_id>/change": ({"scope": "openid"},),
    "console/audit": (
        *({"person": name} for name in ("{email}", "{user}", "{app}")),
        *({"patient": name} for name in ("{patient}", "Patient/{patient}")),
        {"client": "{app}"},
    ),
    "demo/ehr/": ({"name": "{family}"},),
    "demo/ehr/patients/<str:patient_id>/launch": ({"client_id": "{app}", "encounter": "1"},),
    "demo/order-entry/": ({"code": "{code}"},),
    "api/v1/tenants/<str:tenant>/healthcare": ({"preset": "custom", "fhir_base": "{base}"},),
    "api/v1/tenants/<str:tenant>/launch-contexts": (
        {"client_id": "{app}", "user": "{email}", "patient": "{patient}"},
        {"client_id": "growth-chart", "user": "{email}"},
        {"client_id": "growth-chart", "user": "{user}"},
    ),
}
#: `login` takes an address, but counts those it does not know: it is tried by itself.
TAKES_NONE: Final = frozenset(
    {
        "login",
        *("", "mfa", "logout", "password", "invitation", "account"),
        *("console", "console/", "console/audit/verification", "^console/?$"),
        *(".well-known/smart-configuration", "fhir/.well-known/smart-configuration"),
        *(".well-known/openid-configuration", ".well-known/jwks.json"),
        *("healthz", "readyz", "api/v1/", "demo/codes", "demo/lab-results/"),
    }
)

_PARAMETER: Final = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Attempt:
    """A request with the kinds of ids in braces where ids belong.

    `fields` become a query or a form; `body` is FHIR in JSON.
    """

    method: str
    path: str
    fields: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True)
class Route:
    """A pattern of the tenants' URL map or of the origin's."""

    pattern: str
    is_of_tenant: bool

    def __str__(self) -> str:
        return ("/t/{tenant}/" if self.is_of_tenant else "/") + self.pattern

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that carry ids."""
        return ("GET", "PUT", "POST") if self.pattern.startswith(API) else ("GET", "POST")

    @property
    def parameters(self) -> list[str]:
        """Names in the path."""
        return _PARAMETER.findall(self.pattern)

    def unknown(self) -> str:
        """What must be added here before the route can be tried; "" when nothing."""
        if new := [name for name in self.parameters if name not in PATH_IDS]:
            return f"{self}: say in PATH_IDS which kinds of ids {new} takes"
        if self.parameters or self.pattern in TAKES or self.pattern in TAKES_NONE:
            return ""
        return f"{self}: say in TAKES which ids its query or form takes, or add it to TAKES_NONE"

    def attempts(self, kinds: Mapping[str, list[str]]) -> Iterator[Attempt]:
        """Each kind of id in each place; `kinds` names those of a form."""
        base = "/t/{own_slug}/" if self.is_of_tenant else "/"
        fields = TAKES.get(self.pattern, ())
        names = self.parameters
        assert len(names) <= 1, f"{self}: more than one id in a path"
        found = PATH_IDS[names[0]] if names else ()
        tried = [kind for one in found for kind in kinds.get(one, [one])]
        for method in self.methods:
            for kind in tried:
                path = base + _PARAMETER.sub(f"{{{kind}}}", self.pattern)
                for form in fields or ({},):
                    yield Attempt(method, path, form)
            path = base + _PARAMETER.sub("{own_slug}", self.pattern)
            if not names or self.pattern.startswith(API):
                yield from (Attempt(method, path, form) for form in fields)


def routes() -> list[Route]:
    """All of both maps."""
    maps = ((settings.TENANT_URLCONF, True), (settings.ROOT_URLCONF, False))
    return [Route(found, ours) for name, ours in maps for found in _patterns(get_resolver(name))]


def _patterns(resolver: Any, before: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        pattern = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _patterns(entry, pattern)
        else:
            yield pattern
