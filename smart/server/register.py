"""Registering an app (REGI-01 to REGI-12, O3, O24)."""

import re
from collections.abc import Sequence

from django.core.exceptions import ValidationError

from audit import events, record
from authfi.lib.transaction import transaction
from smart.cors import forget_origins
from smart.models import Application
from smart.models.handles import handle_digest, new_handle
from smart.scopes.syntax import (
    MANAGEMENT_SCOPES,
    MalformedScope,
    UnknownScope,
    format_scopes,
    parse_scopes,
)
from smart.server import redirect_uris as uris

GRANT_TYPES = frozenset({"authorization_code", "client_credentials"})
INTERACTIVE_SECONDS = 900
OWN_NAME_SECONDS = 300

_SAFE = re.compile(r"[A-Za-z0-9_.-]+")
_SECRET = re.compile(r"[A-Za-z0-9_.-]{43,128}")


def register_application(
    *,
    client_id: str,
    name: str,
    client_type: str,
    redirect_uris: Sequence[str] = (),
    launch_uris: Sequence[str] = (),
    scopes: str,
    grant_types: Sequence[str],
    allowed_origins: Sequence[str] = (),
    in_development: bool = False,
    secret: str | None = None,
    actor: events.Actor | None = None,
) -> tuple[Application, str | None]:
    """Register an app of the bound tenant; a confidential app's secret is returned only now.

    Public apps use `authorization_code` with PKCE, confidential ones `client_credentials` with a
    256-bit secret for management scopes (REGI-12: one app, one method). `scopes` is what it may
    ask for at most. `allowed_origins` may call the token endpoint and the FHIR API from a browser
    (REGI-10). Raises ValidationError.
    """
    application = Application(
        client_id=client_id,
        name=name.strip(),
        client_type=client_type,
        redirect_uris=" ".join(redirect_uris),
        launch_uris=" ".join(launch_uris),
        scopes=_checked_scopes(scopes),
        grant_types=" ".join(grant_types),
        allowed_origins=" ".join(allowed_origins),
        in_development=in_development,
        access_token_seconds=(
            INTERACTIVE_SECONDS if "authorization_code" in grant_types else OWN_NAME_SECONDS
        ),
    )
    _check_names(application)
    _check_kind(application)
    _check_uris(application)
    if not application.is_public:
        secret = secret or new_handle()
        _check_secret(secret)
        application.secret_digest = handle_digest("client_secret", secret)
    elif secret is not None:
        raise ValidationError("a public app has no secret")
    _save(application, actor or events.Actor.system("register"))
    return application, secret


def _save(application: Application, actor: events.Actor) -> None:
    with transaction():
        application.validate_constraints()
        application.save(force_insert=True)
        record.record(
            events.Event(
                code=events.Code.ADMIN_APP,
                outcome=events.Outcome.SUCCESS,
                actor=actor,
                client_id=application.client_id,
                object=f"Application/{application.pk}",
                details={
                    "after": {
                        "client_type": application.client_type,
                        "grant_types": application.grant_types,
                        "scopes": application.scopes,
                        "redirect_uris": application.redirect_uris,
                        "launch_uris": application.launch_uris,
                        "allowed_origins": application.allowed_origins,
                    }
                },
            )
        )
    forget_origins(application.tenant_id)


def _checked_scopes(scopes: str) -> str:
    try:
        parsed = parse_scopes(scopes)
    except MalformedScope as error:
        raise ValidationError(f"scopes: {error}") from error
    unknown = [scope.text for scope in parsed if isinstance(scope, UnknownScope)]
    if unknown or not parsed:
        raise ValidationError(f"scopes: {' '.join(unknown) or 'none'} cannot be asked for")
    return format_scopes(parsed)


def _check_names(application: Application) -> None:
    if not _SAFE.fullmatch(application.client_id) or len(application.client_id) > 100:
        raise ValidationError("client_id: up to 100 characters of A-Z a-z 0-9 - _ .")
    if not 0 < len(application.name) <= 100 or not application.name.isprintable():
        raise ValidationError("name: 1 to 100 printable characters")


def _check_kind(application: Application) -> None:
    kinds = application.grant_types.split()
    if not kinds or not set(kinds) <= GRANT_TYPES:
        raise ValidationError(f"grant_types: some of {', '.join(sorted(GRANT_TYPES))}")
    wanted = {
        Application.CLIENT_PUBLIC: ["authorization_code"],
        Application.CLIENT_CONFIDENTIAL: ["client_credentials"],
    }.get(application.client_type)
    if wanted is None:
        raise ValidationError("client_type: public or confidential")
    if kinds != wanted:
        raise ValidationError(f"a {application.client_type} app uses {wanted[0]}")
    managing = set(application.scopes.split()) & MANAGEMENT_SCOPES
    if application.is_public and managing:
        raise ValidationError("a public app may not use management scopes")
    if not application.is_public and managing != set(application.scopes.split()):
        raise ValidationError("an app with a secret uses management scopes only")


def _check_uris(application: Application) -> None:
    redirects, launches = application.redirect_uris.split(), application.launch_uris.split()
    if application.is_public and not redirects:
        raise ValidationError("redirect_uris: at least one")
    if not application.is_public and (redirects or launches):
        raise ValidationError("an app acting in its own name has no redirect or launch URIs")
    try:
        for uri in (*redirects, *launches):
            uris.check_registrable(uri, in_development=application.in_development)
        for origin in application.allowed_origins.split():
            uris.check_registrable(origin, in_development=application.in_development)
            if uris.origin_of(origin) != origin:
                raise uris.UnusableURIError(f"{origin!r} is not an origin")
    except uris.UnusableURIError as error:
        raise ValidationError(str(error)) from error


def _check_secret(secret: str) -> None:
    if not _SECRET.fullmatch(secret):
        raise ValidationError("secret: 43 to 128 random characters of A-Z a-z 0-9 - _ .")
