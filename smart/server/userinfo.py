"""The UserInfo endpoint: who is behind an access token (OpenID Connect Core 5.3; IDTK-12).

It tells what the ID token told, `sub` and `fhirUser`, and nothing more.
"""

from collections.abc import Mapping

from django.http import HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from audit import events, record
from audit.record import AuditUnavailableError
from authfi.lib.tenancy import TenantRef
from smart import cors, tokens
from smart.tokens import AccessToken, InvalidTokenError
from tenants import limits
from tenants.http import TenantRequest, fhir_base, issuer

METHODS = ("GET", "POST")


@csrf_exempt
def userinfo(request: TenantRequest) -> HttpResponse:
    """`sub` and, where it was granted, `fhirUser` of a Bearer token with the scope `openid`."""
    origin = request.headers.get("Origin", "")
    allowed = cors.registered_origins(request.tenant.ref) if origin else frozenset()
    if request.method == "OPTIONS":
        return HttpResponse(status=204, headers=cors.preflight_headers(origin, allowed))
    if request.method not in METHODS:
        response = _refusal(405, "", {"Allow": ", ".join((*METHODS, "OPTIONS"))})
    else:
        response = _answer(request)
    response["Cache-Control"] = "no-store"
    for name, value in cors.cors_headers(origin, allowed).items():
        response[name] = value
    return response


def _answer(request: TenantRequest) -> HttpResponse:
    scheme, _, raw = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not raw.strip():
        return _refusal(401, "Bearer")
    try:
        token = _authenticated(raw.strip(), request.tenant.ref)
    except InvalidTokenError as error:
        if seconds := limits.count_refusal():
            return _refusal(429, "", {"Retry-After": str(seconds)})
        try:
            record.record(_denied(error.reason))
        except AuditUnavailableError:
            return _refusal(503, "", {"Retry-After": "5"})
        return _refusal(401, f'Bearer error="invalid_token", error_description="{error.reason}"')
    scopes = {scope.text for scope in token.scopes}
    if "openid" not in scopes:
        return _refusal(403, 'Bearer error="insufficient_scope", scope="openid"')
    return JsonResponse(_claims(token, scopes))


def _authenticated(raw: str, tenant: TenantRef) -> AccessToken:
    """The token, for the FHIR base or, of an app that only signs people in, for the issuer."""
    try:
        return tokens.authenticate(raw, tenant=tenant, audience=fhir_base(tenant))
    except InvalidTokenError:
        return tokens.authenticate(raw, tenant=tenant, audience=issuer(tenant))


def _claims(token: AccessToken, scopes: set[str]) -> Mapping[str, str]:
    claims = {"sub": token.subject}
    if "fhirUser" in scopes and token.fhir_user:
        claims["fhirUser"] = f"{fhir_base(token.tenant)}/{token.fhir_user}"
    return claims


def _denied(reason: str) -> events.Event:
    return events.Event(
        code=events.Code.TOKEN_DENY,
        outcome=events.Outcome.DENIED,
        actor=events.Actor.anonymous(),
        reason=reason,
        rule="token.valid",
    )


def _refusal(status: int, challenge: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """RFC 6750 3: the reason is in the challenge."""
    extra = {"WWW-Authenticate": challenge} if challenge else {}
    return HttpResponse(status=status, headers={**extra, **(headers or {})})
