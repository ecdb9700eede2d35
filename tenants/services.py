"""Making tenants."""

from audit import events, record
from authfi.crypto import keyring, signing
from authfi.lib import tenancy
from authfi.lib.transaction import transaction
from tenants import directory
from tenants.models import Tenant


def create_tenant(
    *,
    slug: str,
    name: str,
    region: str = "local",
    plan: str = "standard",
    actor: events.Actor | None = None,
) -> tenancy.TenantRef:
    """A tenant with its own data and signing keys. Raises ValidationError."""
    tenant = Tenant(slug=slug, name=name, region=region, plan=plan)
    tenant.full_clean()
    with tenancy.bind(tenant.ref), transaction():
        tenant.save(force_insert=True)
        keyring.create()
        signing.create()
        record.record(
            events.Event(
                code=events.Code.ADMIN_TENANT,
                outcome=events.Outcome.SUCCESS,
                actor=actor or events.Actor.system("tenants"),
                object=f"Tenant/{slug}",
                details={"after": {"name": name, "region": region, "plan": plan}},
            )
        )
    directory.forget(slug)
    return tenant.ref
