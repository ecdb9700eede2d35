"""Patients whose records a clinician may open by a list kept here (design D16, rule `list`)."""

from typing import ClassVar

from django.db import models

from authfi.crypto.fields import BlindIndexField, SealedTextField
from authfi.lib.models import TenantModel


class PatientListEntry(TenantModel):
    """One patient, a bare id, on the list of one clinician."""

    plain_columns: ClassVar[dict[str, str]] = {}

    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="patient_list")
    patient = SealedTextField()
    patient_index = BlindIndexField(source="patient", exact=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "user", "patient_index"], name="patient_listed_once"
            )
        ]
