"""The start page of the demo: the ways in, the accounts, and their one-time codes at present."""

import time
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from authfi.accounts.mfa.totp import STEP_SECONDS, code_at
from smart.demo import cast

ORGANIZATIONS = (*cast.ORGANIZATIONS, cast.PLATFORM)
REMARKS = {
    "general-hospital": "SMART on FHIR is on, in front of a FHIR server with made-up records.",
    "lakeside-clinic": "A second hospital with a server of its own. Neither sees the other.",
    "acme-wellness": "A customer without the healthcare module.",
    "platform": "Those who run AuthFI. They manage tenants and open no records.",
}


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """The start page."""
    hospital, doctor, _, patient, _, admin = (cast.GENERAL_HOSPITAL, *cast.GENERAL_HOSPITAL.people)
    context = {
        "passphrase": cast.PASSPHRASE,
        "hospital_url": _issuer(hospital),
        "lab_results_url": cast.LAB_RESULTS_PATH,
        "doctor": _account(doctor),
        "patient": _account(patient),
        "admin": _account(admin),
        "seconds": _seconds_left(),
        "apps": [
            {
                "name": app.name,
                "client_id": app.client_id,
                "about": app.about,
                "url": app.redirect_path,
            }
            for app in hospital.apps
        ],
        "organizations": [
            {
                "name": organization.name,
                "remark": REMARKS[organization.slug],
                "sign_in_url": f"{_issuer(organization)}/login",
                "people": [_account(person) for person in organization.people],
            }
            for organization in ORGANIZATIONS
        ],
    }
    return render(request, "demo/start.html", context)


@require_safe
@never_cache
def codes(request: HttpRequest) -> JsonResponse:
    """The present codes by account, and for how many seconds they hold."""
    people = [person for organization in ORGANIZATIONS for person in organization.people]
    present = {_key(person): _code(person) for person in people if person.totp_seed}
    return JsonResponse({"codes": present, "seconds": _seconds_left()})


def _account(person: cast.Person) -> dict[str, Any]:
    return {
        "key": _key(person),
        "name": person.name,
        "email": person.email,
        "roles": ", ".join(person.roles),
        "fhir_user": person.fhir_user,
        "code": _code(person),
    }


def _key(person: cast.Person) -> str:
    return f"{person.tenant}/{person.email}"


def _code(person: cast.Person) -> str | None:
    return code_at(person.totp_seed, timezone.now()) if person.totp_seed else None


def _seconds_left() -> int:
    return STEP_SECONDS - int(time.time()) % STEP_SECONDS


def _issuer(organization: cast.Organization) -> str:
    return f"{settings.ORIGIN}/t/{organization.slug}"
