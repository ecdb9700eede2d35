"""The healthcare module of a tenant: its upstream FHIR server and what it lets through."""

from typing import ClassVar

from django.db import models

from authfi.crypto.fields import SealedJSONField
from authfi.lib.models import TenantModel


class HealthcareModule(TenantModel):
    """One row a tenant; made by the one call that switches healthcare on."""

    plain_columns: ClassVar[dict[str, str]] = {
        "preset": "names a preset",
        "scopes": "scopes the tenant offers",
        "capabilities": "what the upstream says it can do",
    }

    preset = models.CharField(max_length=32)
    connection = SealedJSONField()
    capabilities = models.JSONField()
    scopes = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=1)
    activated_at = models.DateTimeField(auto_now_add=True)
    checked_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["tenant_id"], name="healthcare_module_once")]
