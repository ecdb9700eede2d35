"""What commands about one tenant share: finding it, with one clear line where it is not there."""

from django.core.management.base import CommandError
from django.db import DatabaseError

from authfi.lib.tenancy import TenantRef
from tenants import directory
from tenants.models import Tenant


def tenant_named(slug: str) -> TenantRef:
    """The active tenant of that slug. Raises CommandError."""
    try:
        tenant = directory.find(slug)
    except DatabaseError as error:
        raise CommandError("The database is not ready: run `manage.py migrate`.") from error
    if tenant is None:
        raise CommandError(f"There is no tenant {slug}.")
    if tenant.state != Tenant.State.ACTIVE:
        raise CommandError(f"The tenant {slug} is suspended.")
    return tenant.ref
