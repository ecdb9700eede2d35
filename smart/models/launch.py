"""Launch contexts: what an EHR had open when it started an app (EHRL-03)."""

from typing import ClassVar

from django.db import models

from authfi.crypto.fields import SealedJSONField, SealedTextField
from authfi.lib.models import TenantModel


class LaunchContext(TenantModel):
    """One launch of one app by one person; its handle is kept as a digest and works once."""

    plain_columns: ClassVar[dict[str, str]] = {"handle_digest": "a keyed digest"}

    handle_digest = models.CharField(max_length=64, unique=True)
    application = models.ForeignKey("smart.Application", on_delete=models.CASCADE)
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE)
    patient = SealedTextField(null=True)
    encounter = SealedTextField(null=True)
    members = SealedJSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
