"""The directory of tenants: which organisations this installation serves, and where (D2, D9).

It is the one table that is read before a tenant is bound, so it holds nothing about people.
"""

from typing import ClassVar
from uuid import uuid4

from django.core.validators import RegexValidator
from django.db import models

from authfi.lib.tenancy import TenantRef

SLUG = RegexValidator(r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$", "Use a-z, 0-9 and hyphens.")


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
    slug = models.CharField(max_length=63, unique=True, validators=[SLUG])
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
