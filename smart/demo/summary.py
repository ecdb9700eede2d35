"""What the demo holds, as data and as a short table for the terminal (contract, "The demo")."""

from typing import Any

from django.conf import settings

from authfi.lib import tenancy
from smart.demo import cast, sandboxes
from smart.models import Application, HealthcareModule
from tenants import directory
from tenants.http import fhir_base, issuer
from tenants.models import Tenant


class NotSeededError(RuntimeError):
    """The demo has not been started yet."""


def info() -> dict[str, Any]:
    """The demo as `demo_info --json` prints it. Raises NotSeededError."""
    operator = cast.OPERATOR
    return {
        "base_url": settings.ORIGIN,
        "platform_admin": {
            "email": operator.email,
            "password": cast.PASSPHRASE,
            "totp_secret": operator.totp_secret,
        },
        "tenants": [_organization(organization) for organization in cast.ORGANIZATIONS],
    }


def table() -> str:
    """Where to begin and as whom."""
    hospital = issuer_of(cast.GENERAL_HOSPITAL)
    lines = [
        "",
        f"  AuthFI demo     {settings.ORIGIN}/",
        f"  EHR simulator   {hospital}/demo/ehr/",
        f"  Patient's app   {settings.ORIGIN}{cast.LAB_RESULTS_PATH}",
        f"  Admin console   {hospital}/console",
        "",
        f"  Everyone's password: {cast.PASSPHRASE}",
        "  Staff also need a one-time code: the first page shows the present ones.",
        "",
    ]
    people = (*cast.GENERAL_HOSPITAL.people, cast.OPERATOR)
    lines += [f"  {', '.join(person.roles):<10}{person.email}" for person in people]
    lines += ["", "  Ctrl-C stops it. Every person and record in it is made up.", ""]
    return "\n".join(lines)


def issuer_of(organization: cast.Organization) -> str:
    """The issuer URL of an organization of the demo. Raises NotSeededError."""
    return issuer(_tenant(organization))


def _tenant(organization: cast.Organization) -> Tenant:
    tenant = directory.find(organization.slug)
    if tenant is None:
        raise NotSeededError("The demo is not set up yet: start it with `make demo`.")
    return tenant


def _organization(organization: cast.Organization) -> dict[str, Any]:
    tenant = _tenant(organization)
    with tenancy.bind(tenant.ref):
        healthcare = HealthcareModule.objects.exists()
        registered = {app.client_id: app for app in Application.objects.all()}
    return {
        "slug": tenant.slug,
        "issuer": issuer(tenant),
        "fhir_base": fhir_base(tenant) if healthcare else None,
        "healthcare": healthcare,
        "users": [_user(person) for person in organization.people],
        "apps": [
            _app(app, registered[app.client_id], organization.slug)
            for app in organization.apps
            if app.client_id in registered
        ],
        "patients": sandboxes.patient_ids(organization.slug) if healthcare else [],
    }


def _user(person: cast.Person) -> dict[str, Any]:
    return {
        "email": person.email,
        "password": cast.PASSPHRASE,
        "roles": list(person.roles),
        "fhir_user": person.fhir_user,
        "npi": person.npi,
        "mrn": person.mrn,
        "totp_secret": person.totp_secret,
    }


def _app(app: cast.App, registered: Application, slug: str) -> dict[str, Any]:
    return {
        "name": registered.name,
        "client_id": registered.client_id,
        "type": registered.client_type,
        "client_secret": app.secret(slug),
        "private_jwk": None,
        "redirect_uris": registered.redirect_uris.split(),
        "launch_uri": next(iter(registered.launch_uris.split()), None),
        "scopes": registered.scopes,
    }
