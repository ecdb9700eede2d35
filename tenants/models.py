"""The directory of tenants (D2, D9), and the versions of their policies (D10).

The directory is the one table read before a tenant is bound: it holds nothing about people.
"""

from typing import ClassVar
from uuid import uuid4

from django.core.validators import RegexValidator
from django.db import models

from authfi.lib.models import TenantModel
from authfi.lib.tenancy import TenantRef

SLUG = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
IS_SLUG = RegexValidator(SLUG, "Use a-z, 0-9 and hyphens.")


class Tenant(models.Model):
    """One organisation. Its issuer follows from the slug and therefore never changes."""

    plain_columns: ClassVar[dict[str, str]] = {
        "slug": "part of every URL",
        "name": "the organisation's public name",
        "region": "names a region",
        "plan": "names a plan",
        "state": "names a state",
    }

    class State(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    slug = models.CharField(max_length=63, unique=True, validators=[IS_SLUG])
    name = models.CharField(max_length=200)
    region = models.CharField(max_length=32, default="local")
    plan = models.CharField(max_length=32, default="standard")
    state = models.CharField(max_length=16, choices=State, default=State.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.slug

    @property
    def ref(self) -> TenantRef:
        """What lower layers need to know."""
        return TenantRef(id=self.id, slug=self.slug, region=self.region)


class Policy(TenantModel):
    """One version of one kind of policy; a change adds a version (D10). See `tenants.policies`."""

    plain_columns: ClassVar[dict[str, str]] = {
        "kind": "names a kind",
        "document": "rules; names nobody",
        "changed_by": "an actor's id, never a name",
    }

    kind = models.CharField(max_length=32)
    version = models.PositiveIntegerField()
    document = models.JSONField()
    changed_by = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "kind", "version"], name="policy_version_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.version}"


class Allowance(TenantModel):
    """How much of a limit is used in one window of time (V1). See `tenants.limits`.

    `key` names the limit and a keyed digest of what it counts; `window` counts windows since 1970.
    """

    plain_columns: ClassVar[dict[str, str]] = {"key": "a limit's name and a keyed digest"}

    key = models.CharField(max_length=96)
    window = models.BigIntegerField()
    used = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(db_index=True)

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "key", "window"], name="allowance_once")
        ]
