"""Launch contexts: an EHR opens one, an app redeems it, once (EHRL-01 to EHRL-10, O23)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.utils import timezone

from audit import events, record
from authfi.accounts.models import CLINICAL_ROLES, User
from authfi.accounts.people import roles_of
from authfi.lib import tenancy
from authfi.lib.transaction import transaction
from smart import style
from smart.models import Application, HealthcareModule, LaunchContext
from smart.models.handles import handle_digest, new_handle
from smart.policy.clinician_access import own_patient
from smart.policy.references import is_id
from smart.scopes.resource_types import RESOURCE_TYPES
from tenants.http import fhir_base

LIFE_SECONDS = 300
MEMBERS = frozenset({"need_patient_banner", "intent", "smart_style_url", "fhirContext"})

_ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_CONTEXT_MEMBERS = frozenset({"reference", "canonical", "identifier", "type", "role"})
_TOP_LEVEL_TYPES = frozenset({"Patient", "Encounter"})


class LaunchRefusedError(ValueError):
    """A launch cannot be opened, or its handle is not good here; `reason` is safe to tell."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Launch:
    """A launch that was opened: hand `launch_url` to the browser within `expires_in` seconds."""

    handle: str
    launch_url: str
    expires_in: int


def open_launch(
    *,
    application: Application,
    user: User,
    patient: str | None,
    encounter: str | None,
    members: Mapping[str, Any],
    actor: events.Actor,
    launch_uri: str | None = None,
) -> Launch:
    """Register a launch context for one person and one app (EHRL-01 to EHRL-03, EHRL-09).

    `patient` and `encounter` are bare ids. `members` may hold `need_patient_banner`, `intent`,
    `smart_style_url` and `fhirContext` (CTXT-03 to CTXT-06). `launch_uri` picks one of the app's
    registered ones, by default the first. Raises LaunchRefusedError.
    """
    uri = _launch_uri(application, launch_uri)
    _check_context(user, patient, encounter)
    _check_members(members)
    handle = new_handle()
    with transaction():
        launch = LaunchContext(
            handle_digest=handle_digest("launch", handle),
            application=application,
            user=user,
            patient=patient,
            encounter=encounter,
            members={"need_patient_banner": True, "smart_style_url": style.url(), **members},
            expires_at=timezone.now() + timedelta(seconds=LIFE_SECONDS),
        )
        launch.save(force_insert=True)
        record.record(
            events.Event(
                code=events.Code.LAUNCH_START,
                outcome=events.Outcome.SUCCESS,
                actor=actor,
                client_id=application.client_id,
                patient=patient or "",
                object=f"Encounter/{encounter}" if encounter else "",
                details={"on_behalf_of": str(user.pk), "launch": str(launch.pk)},
            )
        )
    url = _with_query(uri, iss=fhir_base(tenancy.current()), launch=handle)
    return Launch(handle=handle, launch_url=url, expires_in=LIFE_SECONDS)


def resolve(handle: str, application: Application) -> LaunchContext:
    """The launch that a handle names, if this app may still use it. Raises LaunchRefusedError."""
    launch = (
        LaunchContext.objects.select_related("user")
        .filter(handle_digest=handle_digest("launch", handle))
        .first()
    )
    if launch is None or launch.application_id != application.pk:
        raise LaunchRefusedError("launch is not one that was handed out to this app")
    if launch.used_at is not None:
        raise LaunchRefusedError("launch was used before")
    if launch.expires_at <= timezone.now():
        raise LaunchRefusedError("launch has expired")
    return launch


def consume(launch: LaunchContext) -> None:
    """Use a launch up; of several at once one succeeds. Raises LaunchRefusedError."""
    used = LaunchContext.objects.filter(pk=launch.pk, used_at__isnull=True).update(
        used_at=timezone.now()
    )
    if not used:
        raise LaunchRefusedError("launch was used before")


def own_record(user: User) -> str | None:
    """The id of the person's own Patient, if that is who they are here."""
    return own_patient(user.fhir_user)


def may_be_launched(user: User, patient: str | None) -> bool:
    """Patients on their own record and no other, clinicians on any, nobody else (EHRL-10).

    It is asked at launch and again at sign-in: roles and records may have changed meanwhile.
    """
    own = own_record(user)
    if own is not None:
        return patient in (None, own)
    return bool(roles_of(user) & CLINICAL_ROLES)


def _launch_uri(application: Application, wanted: str | None) -> str:
    """Only registered launch URLs are ever opened (REGI-01)."""
    registered = application.launch_uris.split()
    if application.state != Application.State.ACTIVE or not registered:
        raise LaunchRefusedError("the app cannot be launched")
    if wanted is not None and wanted not in registered:
        raise LaunchRefusedError("the app has no such launch URI")
    if not HealthcareModule.objects.exists():
        raise LaunchRefusedError("this organization has no FHIR server connected")
    return wanted or registered[0]


def _check_context(user: User, patient: str | None, encounter: str | None) -> None:
    if not user.is_active:
        raise LaunchRefusedError("the user is not active")
    for name, value in (("patient", patient), ("encounter", encounter)):
        if value is not None and not is_id(value):
            raise LaunchRefusedError(f"{name} is not a FHIR id")
    if encounter is not None and patient is None:
        raise LaunchRefusedError("an encounter needs its patient")
    if not may_be_launched(user, patient):
        raise LaunchRefusedError("the user is neither this patient nor a clinician")


def _check_members(members: Mapping[str, Any]) -> None:
    if unknown := sorted(set(members) - MEMBERS):
        raise LaunchRefusedError(f"unknown launch context members: {', '.join(unknown)}")
    if not isinstance(members.get("need_patient_banner", True), bool):
        raise LaunchRefusedError("need_patient_banner is true or false")
    intent = members.get("intent", "-")
    if not isinstance(intent, str) or not 0 < len(intent) <= 200:
        raise LaunchRefusedError("intent is a short text")
    if not _is_web_url(members.get("smart_style_url", "https://style")):
        raise LaunchRefusedError("smart_style_url is an absolute http or https URL")
    items = members.get("fhirContext", [])
    if not isinstance(items, list) or len(items) > 20 or not all(map(_is_context_item, items)):
        raise LaunchRefusedError("fhirContext is a list of objects as SMART App Launch has them")


def _is_context_item(item: object) -> bool:
    """FCTX-02 to FCTX-08."""
    if not isinstance(item, dict) or not set(item) <= _CONTEXT_MEMBERS:
        return False
    if not set(item) & {"reference", "canonical", "identifier"}:
        return False
    if not isinstance(item.get("identifier", {}), dict):
        return False
    role = item.get("role", "launch")
    if not isinstance(role, str) or not (role == "launch" or _ABSOLUTE_URI.fullmatch(role)):
        return False
    return (
        _is_type(item.get("type", "Patient"))
        and _is_web_url(item.get("canonical", "https://c"))
        and ("reference" not in item or _is_context_reference(item["reference"], role))
    )


def _is_type(name: object) -> bool:
    return isinstance(name, str) and name in RESOURCE_TYPES


def _is_context_reference(reference: object, role: str) -> bool:
    if not isinstance(reference, str):
        return False
    kind, _, resource_id = reference.partition("/")
    if kind not in RESOURCE_TYPES or not is_id(resource_id):
        return False
    return role != "launch" or kind not in _TOP_LEVEL_TYPES


def _is_web_url(text: object) -> bool:
    if not isinstance(text, str) or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _with_query(uri: str, **added: str) -> str:
    """The URI with parameters appended, what it has kept as it is (EHRL-09)."""
    parts = urlsplit(uri)
    query = "&".join(part for part in (parts.query, urlencode(added)) if part)
    return urlunsplit(parts._replace(query=query))
