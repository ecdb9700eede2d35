"""Writes that were announced and whose outcome is not told yet (V8, V9)."""

from typing import ClassVar

from django.db import models

from authfi.crypto.fields import SealedJSONField
from authfi.lib.models import TenantModel


class WriteIntent(TenantModel):
    """A write at the FHIR server behind, between its intent event and its outcome event.

    Made in the transaction of the first and deleted in that of the second, so a row that stays
    tells of a write whose outcome nobody recorded. `about` is `{"patient", "object",
    "interaction"}`.
    """

    plain_columns: ClassVar[dict[str, str]] = {
        "client_id": "names an app",
        "request_id": "random",
    }

    client_id = models.CharField(max_length=255)
    request_id = models.CharField(max_length=64)
    about = SealedJSONField()
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
