"""Tenant keys as stored: data keys wrapped by the KEK, signing keys sealed under a data key."""

from typing import ClassVar

from django.db import models

from authfi.crypto.fields import SealedTextField
from authfi.lib.models import TenantModel


class DataKey(TenantModel):
    """A wrapped 256-bit key: `data` seals fields, `index` makes blind indexes."""

    plain_columns: ClassVar[dict[str, str]] = {
        "purpose": "names a use",
        "wrapped": "encrypted by the KEK",
    }

    class Purpose(models.TextChoices):
        DATA = "data"
        INDEX = "index"

    number = models.PositiveIntegerField()
    purpose = models.CharField(max_length=8, choices=Purpose)
    wrapped = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "purpose", "number"], name="datakey_number_once"
            )
        ]


class SigningKey(TenantModel):
    """A private signing key of the tenant's issuer (K6).

    Published and believed until `not_after`, when the last token it signed has expired; an active
    key has no such end.
    """

    plain_columns: ClassVar[dict[str, str]] = {
        "kid": "public",
        "alg": "public",
        "state": "names a state",
        "public_jwk": "public",
    }

    class State(models.TextChoices):
        NEXT = "next"
        ACTIVE = "active"
        RETIRED = "retired"

    kid = models.CharField(max_length=64)
    alg = models.CharField(max_length=8)
    state = models.CharField(max_length=8, choices=State)
    public_jwk = models.JSONField()
    private_jwk = SealedTextField()
    not_after = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "kid"], name="signingkey_kid_once"),
            models.UniqueConstraint(
                fields=["tenant_id", "alg"],
                condition=models.Q(state="active"),
                name="signingkey_one_active",
            ),
        ]
