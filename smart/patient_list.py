"""The patients on a clinician's own list: who is on it, put on and taken off (D16, rule `list`)."""

from collections.abc import Collection
from uuid import UUID

from django.db import IntegrityError

from audit import events, record
from authfi.accounts.models import User
from authfi.crypto.fields import blind_index
from authfi.lib.transaction import transaction
from smart.models import PatientListEntry
from smart.policy.references import is_id


def listed(user_id: UUID, patients: Collection[str]) -> frozenset[str]:
    """Those of the patients (bare ids) that are on the person's list; of the bound tenant."""
    by_index = {_index(patient): patient for patient in patients}
    found = PatientListEntry.objects.filter(
        user_id=user_id, patient_index__in=by_index
    ).values_list("patient_index", flat=True)
    return frozenset(by_index[index] for index in found)


def all_listed(user_id: UUID) -> list[str]:
    """Every patient on the person's list, as it grew."""
    entries = PatientListEntry.objects.filter(user_id=user_id).order_by("created_at", "id")
    return [str(entry.patient) for entry in entries]


def add(*, user: User, patient: str, actor: events.Actor) -> bool:
    """Put a patient on a person's list; False where they were on it. Raises ValueError."""
    if not is_id(patient):
        raise ValueError("patient is not a FHIR id")
    try:
        with transaction():
            PatientListEntry(user=user, patient=patient).save(force_insert=True)
            record.record(_event(user, patient, actor, "added to the patient list"))
    except IntegrityError:
        return False
    return True


def remove(*, user: User, patient: str, actor: events.Actor) -> bool:
    """Take a patient off a person's list; False where they were not on it."""
    with transaction():
        gone, _ = PatientListEntry.objects.filter(user=user, patient_index=_index(patient)).delete()
        if gone:
            record.record(_event(user, patient, actor, "taken off the patient list"))
    return bool(gone)


def _index(patient: str) -> str:
    return blind_index(PatientListEntry, "patient_index", patient)


def _event(user: User, patient: str, actor: events.Actor, reason: str) -> events.Event:
    return events.Event(
        code=events.Code.ADMIN_USER,
        outcome=events.Outcome.SUCCESS,
        actor=actor,
        patient=patient,
        object=f"User/{user.pk}",
        reason=reason,
    )
