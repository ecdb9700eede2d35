"""SMART 1 apps read their endpoints from `/metadata`, where a tenant has any (DISC-25, O2)."""

import time
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from authfi.lib import database, tenancy
from authfi.lib.tenancy import TenantRef
from authfi.lib.ttl import Ttl
from smart.models import Application
from tenants.http import issuer

ENDPOINTS: Final = ("authorize", "token", "introspect", "revoke")

_known: Ttl[UUID, bool] = Ttl(5.0)


async def aoauth_uris(tenant: TenantRef) -> Mapping[str, str]:
    """The endpoints by their names; empty where no active app is marked as one.

    Up to five seconds old.
    """
    hit = _known.get(tenant.id)
    has_any = hit.value if hit else await database.run(tenant, _has_any)
    own = issuer(tenant)
    return {name: f"{own}/oauth/{name}" for name in ENDPOINTS} if has_any else {}


def forget(tenant_id: UUID) -> None:
    """Ask anew at the next call."""
    _known.forget(tenant_id)


def _has_any() -> bool:
    asked_at = time.monotonic()
    found = Application.objects.filter(without_pkce=True, state=Application.State.ACTIVE).exists()
    return _known.put(tenancy.current().id, found, asked_at)
