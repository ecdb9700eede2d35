"""Registering an app (REGI-01 to REGI-12, O3, O24; RFC 7591 3.2.1)."""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError

from audit import events, record
from authfi.lib.transaction import transaction
from smart.cors import forget_origins
from smart.models import Application
from smart.models.handles import handle_digest, new_handle
from smart.scopes.syntax import (
    INTROSPECTION_SCOPE,
    MANAGEMENT_SCOPES,
    MalformedScope,
    UnknownScope,
    format_scopes,
    parse_scopes,
)
from smart.server import redirect_uris as uris

GRANT_TYPES = frozenset({"authorization_code", "refresh_token", "client_credentials"})
REFRESHING_SCOPES = frozenset({"offline_access", "online_access"})
INTERACTIVE_SECONDS = 900
OWN_NAME_SECONDS = 300
LONGEST_SECONDS, SHORTEST_SECONDS = 3600, 60

_SAFE = re.compile(r"[A-Za-z0-9_.-]+")
_SECRET = re.compile(r"[A-Za-z0-9_.-]{43,128}")
_URI_MEMBERS = ("redirect_uris", "launch_uris", "post_logout_redirect_uris", "allowed_origins")

_RECORDED = (
    "client_type",
    "grant_types",
    "scopes",
    *_URI_MEMBERS,
    "in_development",
    "without_pkce",
    "patient_access",
    "access_token_seconds",
)


def register_application(
    *,
    client_id: str,
    name: str,
    client_type: str,
    redirect_uris: Sequence[str] = (),
    launch_uris: Sequence[str] = (),
    post_logout_redirect_uris: Sequence[str] = (),
    scopes: str,
    grant_types: Sequence[str],
    allowed_origins: Sequence[str] | None = None,
    in_development: bool = False,
    without_pkce: bool = False,
    patient_access: bool = False,
    about: Mapping[str, Any] | None = None,
    access_token_seconds: int | None = None,
    secret: str | None = None,
    actor: events.Actor | None = None,
) -> tuple[Application, str | None]:
    """Register an app of the bound tenant; a confidential app's secret is returned only now.

    An app is used by people (`authorization_code`; public with PKCE, or confidential with a
    256-bit secret) or acts in its own name (`client_credentials`, confidential, management scopes
    only): one app, one method (REGI-12). `refresh_token` is added where the scopes ask for it.
    `scopes` is what it may ask for at most; `allowed_origins` may call the token endpoint and the
    FHIR API from a browser: where they are None, a public app does from where its redirect URIs
    are (REGI-10). Raises ValidationError whose text begins with the RFC 7591
    name of the member that is wrong.
    """
    scopes = _checked_scopes(scopes)
    application = Application(
        client_id=client_id,
        name=name.strip(),
        client_type=client_type,
        redirect_uris=" ".join(redirect_uris),
        launch_uris=" ".join(launch_uris),
        post_logout_redirect_uris=" ".join(post_logout_redirect_uris),
        scopes=scopes,
        grant_types=" ".join(_with_refresh(grant_types, scopes)),
        allowed_origins=" ".join(allowed_origins or ()),
        in_development=in_development,
        without_pkce=without_pkce,
        patient_access=patient_access,
        about=dict(about or {}),
        access_token_seconds=_seconds(access_token_seconds, grant_types),
    )
    _check_names(application)
    _check_kind(application)
    _check_uris(application)
    if allowed_origins is None and application.is_public:
        origins = [uris.origin_of(uri) for uri in application.redirect_uris.split()]
        application.allowed_origins = " ".join(dict.fromkeys(origins))
    if not application.is_public:
        secret = secret or new_handle()
        _check_secret(secret)
        application.secret_digest = handle_digest("client_secret", secret)
    elif secret is not None:
        raise ValidationError("a public app has no secret")
    _save(application, actor or events.Actor.system("register"))
    return application, secret


def new_client_id() -> str:
    """A fresh client id: 128 bits, safe in URLs, headers and on command lines (REGI-11)."""
    return secrets.token_hex(16)


def registered(application: Application, secret: str | None) -> dict[str, Any]:
    """The registration as its app is told: every member that took effect (RFC 7591 3.2.1)."""
    told: dict[str, Any] = {
        "client_id": application.client_id,
        "client_id_issued_at": int(application.created.timestamp()),
    }
    if secret is not None:
        told |= {"client_secret": secret, "client_secret_expires_at": 0}
    acts_for_people = application.allows_grant_type("authorization_code")
    told |= {
        "client_name": application.name,
        "token_endpoint_auth_method": "none" if application.is_public else "client_secret_basic",
        "grant_types": application.grant_types.split(),
        "response_types": ["code"] if acts_for_people else [],
        "scope": application.scopes,
        **{member: getattr(application, member).split() for member in _URI_MEMBERS},
        **application.about,
        "in_development": application.in_development,
        "without_pkce": application.without_pkce,
        "patient_access": application.patient_access,
        "access_token_seconds": application.access_token_seconds,
    }
    return told


def _save(application: Application, actor: events.Actor) -> None:
    try:
        with transaction():
            application.save(force_insert=True)
            record.record(_event(application, actor))
    except IntegrityError as error:
        raise ValidationError(f"client_id: {application.client_id} is taken") from error
    forget_origins(application.tenant_id)


def _event(application: Application, actor: events.Actor) -> events.Event:
    return events.Event(
        code=events.Code.ADMIN_APP,
        outcome=events.Outcome.SUCCESS,
        actor=actor,
        client_id=application.client_id,
        object=f"Application/{application.pk}",
        details={"after": {name: getattr(application, name) for name in _RECORDED}},
    )


def _with_refresh(grant_types: Sequence[str], scopes: str) -> list[str]:
    """An app that may stay connected uses refresh tokens, whether it says so or not."""
    asks = bool(REFRESHING_SCOPES & set(scopes.split()))
    if asks and "authorization_code" in grant_types and "refresh_token" not in grant_types:
        return [*grant_types, "refresh_token"]
    return list(grant_types)


def _seconds(asked: int | None, grant_types: Sequence[str]) -> int:
    """Seconds that an access token lives (D4)."""
    if asked is None:
        return INTERACTIVE_SECONDS if "authorization_code" in grant_types else OWN_NAME_SECONDS
    if not SHORTEST_SECONDS <= asked <= LONGEST_SECONDS:
        raise ValidationError(f"access_token_seconds: from {SHORTEST_SECONDS} to {LONGEST_SECONDS}")
    return asked


def _checked_scopes(scopes: str) -> str:
    try:
        parsed = parse_scopes(scopes)
    except MalformedScope as error:
        raise ValidationError(f"scope: {error}") from error
    unknown = [scope.text for scope in parsed if isinstance(scope, UnknownScope)]
    if unknown or not parsed:
        raise ValidationError(f"scope: {' '.join(unknown) or 'none'} cannot be asked for")
    return format_scopes(parsed)


def _check_names(application: Application) -> None:
    if not _SAFE.fullmatch(application.client_id) or len(application.client_id) > 100:
        raise ValidationError("client_id: up to 100 characters of A-Z a-z 0-9 - _ .")
    if not 0 < len(application.name) <= 100 or not application.name.isprintable():
        raise ValidationError("client_name: 1 to 100 printable characters")


def _check_kind(application: Application) -> None:
    kinds = set(application.grant_types.split())
    if not kinds or not kinds <= GRANT_TYPES:
        raise ValidationError(f"grant_types: some of {', '.join(sorted(GRANT_TYPES))}")
    if application.client_type not in (
        Application.CLIENT_PUBLIC,
        Application.CLIENT_CONFIDENTIAL,
    ):
        raise ValidationError("client_type: public or confidential")
    if application.is_public and "client_credentials" in kinds:
        raise ValidationError("grant_types: a public app uses authorization_code")
    if "client_credentials" in kinds:
        _check_own_name(application)
    else:
        _check_for_people(application)


def _check_own_name(application: Application) -> None:
    """An app that acts in its own name, with a secret (O1)."""
    if application.grant_types != "client_credentials":
        raise ValidationError("grant_types: client_credentials goes alone")
    if not set(application.scopes.split()) <= MANAGEMENT_SCOPES:
        raise ValidationError(
            "scope: an app that acts in its own name with a secret uses management scopes only"
        )
    if any(getattr(application, member) for member in _URI_MEMBERS):
        raise ValidationError(
            "redirect_uris: an app acting in its own name has no redirect or launch URIs"
        )
    if application.without_pkce or application.patient_access:
        raise ValidationError("without_pkce, patient_access: for apps that people use")


def _check_for_people(application: Application) -> None:
    """An app that people use, with a secret or without."""
    scopes = application.scopes.split()
    if "authorization_code" not in application.grant_types.split():
        raise ValidationError("grant_types: refresh_token goes with authorization_code")
    managing = MANAGEMENT_SCOPES & set(scopes)
    if managing and (application.is_public or managing != {INTROSPECTION_SCOPE}):
        raise ValidationError("scope: an app that people use has no management scopes")
    if any(scope.startswith("system/") for scope in scopes):
        raise ValidationError("scope: system/ is for apps that act in their own name")
    if not application.redirect_uris:
        raise ValidationError("redirect_uris: at least one")
    if application.is_public and application.without_pkce:
        raise ValidationError("without_pkce: an app without a secret always uses PKCE")


def _check_uris(application: Application) -> None:
    for member in _URI_MEMBERS:
        for index, uri in enumerate(getattr(application, member).split()):
            try:
                uris.check_registrable(uri, in_development=application.in_development)
                if member == "allowed_origins" and uris.origin_of(uri) != uri:
                    raise uris.UnusableURIError(f"{uri!r} is not an origin")
            except uris.UnusableURIError as error:
                raise ValidationError(f"{member}[{index}]: {error}") from error


def _check_secret(secret: str) -> None:
    if not _SECRET.fullmatch(secret):
        raise ValidationError("secret: 43 to 128 random characters of A-Z a-z 0-9 - _ .")
