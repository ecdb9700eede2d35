"""The model and the manager of tenant data, which refuse to guess the tenant (design D2)."""

from typing import Any, ClassVar, Self, TypeVar
from uuid import uuid4

from django.db import models

from authfi.lib.tenancy import WrongTenantError, bound_id, current

M = TypeVar("M", bound=models.Model, covariant=True)


class BoundManager(models.Manager[M]):
    """Sees the rows of the bound tenant only; without one it refuses (design D2)."""

    def get_queryset(self) -> models.QuerySet[M]:
        """Raises TenantNotBoundError."""
        return super().get_queryset().filter(tenant_id=current().id)


class TenantModel(models.Model):
    """A row that belongs to one tenant.

    Its table must be protected by `authfi.lib.migrations.ProtectTenantTable` in the migration that
    makes it; a test reads the database's catalogue and fails where that was forgotten.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    tenant_id = models.UUIDField(default=bound_id, editable=False)

    objects: ClassVar[BoundManager[Self]] = BoundManager()

    class Meta:
        abstract = True
        base_manager_name = "objects"
        default_manager_name = "objects"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises TenantNotBoundError, WrongTenantError."""
        self.check_tenant()
        super().save(*args, **kwargs)

    def check_tenant(self) -> None:
        """Raises WrongTenantError where the row is not the bound tenant's, TenantNotBoundError."""
        if self.tenant_id != current().id:
            raise WrongTenantError(f"{type(self).__name__} belongs to another tenant")
