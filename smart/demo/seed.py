"""Fills an installation with the demo's organizations; safe and fast to run at every start."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from audit import events, record
from authfi.accounts import people
from authfi.accounts.mfa import totp
from authfi.lib import tenancy
from authfi.lib.transaction import transaction
from smart import activation
from smart.demo import cast
from smart.models import Application, HealthcareModule
from smart.server.register import register_application
from tenants import directory, policies
from tenants.models import Policy
from tenants.services import create_tenant

ACTOR = events.Actor.system("demo")
PATIENTS_WITHOUT_MFA = {"patient_mfa": False}
DOCTORS_OPEN_ALL = {"by_role": {"doctor": "all"}}


def ensure() -> None:
    """Make what is missing; what is there already stays as its users left it.

    The sandbox servers must be running. Raises ValidationError and what `activate` raises.
    """
    for organization in (cast.PLATFORM, *cast.ORGANIZATIONS):
        tenant = directory.find(organization.slug)
        ref = tenant.ref if tenant else _create(organization)
        with tenancy.bind(ref):
            _ensure_policies(organization)
            for person in organization.people:
                _ensure_person(person)
            if organization.healthcare and not HealthcareModule.objects.exists():
                activation.activate(preset="sandbox", actor=ACTOR)
            _ensure_apps(organization)


def _create(organization: cast.Organization) -> tenancy.TenantRef:
    return create_tenant(slug=organization.slug, name=organization.name)


def _ensure_policies(organization: cast.Organization) -> None:
    if not organization.healthcare:
        return
    _ensure_policy("sign-in", PATIENTS_WITHOUT_MFA)
    if organization is cast.GENERAL_HOSPITAL:
        _ensure_policy("clinician-access", DOCTORS_OPEN_ALL)


def _ensure_policy(kind: str, changes: Mapping[str, Any]) -> None:
    if not Policy.objects.filter(kind=kind).exists():
        policies.change(kind=kind, changes=changes, actor=ACTOR)


def _ensure_person(person: cast.Person) -> None:
    user = people.find_by_email(person.email) or people.create_person(
        email=person.email,
        name=person.name,
        roles=person.roles,
        password=cast.PASSPHRASE,
        fhir_user=person.fhir_user,
        npi=person.npi,
        mrn=person.mrn,
        actor=ACTOR,
    )
    if person.totp_seed and not totp.is_enrolled(user):
        people.enrol_totp(user, person.totp_seed, actor=ACTOR)


def _ensure_apps(organization: cast.Organization) -> None:
    registered = {application.client_id: application for application in Application.objects.all()}
    for app in organization.apps:
        if app.client_id not in registered:
            _register(app, organization.slug)
        elif app.is_for_people:
            _move(registered[app.client_id], app)


def _register(app: cast.App, slug: str) -> None:
    register_application(
        client_id=app.client_id,
        name=app.name,
        client_type=(
            Application.CLIENT_PUBLIC if app.is_public else Application.CLIENT_CONFIDENTIAL
        ),
        redirect_uris=_urls(app.redirect_path),
        launch_uris=_urls(app.launch_path),
        scopes=app.scopes,
        grant_types=["authorization_code" if app.is_for_people else "client_credentials"],
        allowed_origins=[settings.ORIGIN] if app.is_public else [],
        in_development=app.is_for_people,
        secret=app.secret(slug),
        actor=ACTOR,
    )


def _move(application: Application, app: cast.App) -> None:
    """Follow the demo to the port it is served on now."""
    now = {
        "redirect_uris": " ".join(_urls(app.redirect_path)),
        "launch_uris": " ".join(_urls(app.launch_path)),
        "allowed_origins": settings.ORIGIN if app.is_public else "",
    }
    before = {name: getattr(application, name) for name in now}
    if now == before:
        return
    with transaction():
        Application.objects.filter(pk=application.pk).update(**now)
        record.record(
            events.Event(
                code=events.Code.ADMIN_APP,
                outcome=events.Outcome.SUCCESS,
                actor=ACTOR,
                client_id=application.client_id,
                object=f"Application/{application.pk}",
                details={"before": before, "after": now},
            )
        )


def _urls(path: str | None) -> list[str]:
    return [f"{settings.ORIGIN}{path}"] if path else []
