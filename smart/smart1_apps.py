"""SMART 1 apps read their endpoints from `/metadata`, where a tenant has any (DISC-25, O2)."""

import time
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from authfi.lib import database, tenancy
from authfi.lib.tenancy import TenantRef
from smart.models import Application
from tenants.http import issuer

CACHE_SECONDS: Final = 5.0
ENDPOINTS: Final = ("authorize", "token", "introspect", "revoke")

_known: dict[UUID, tuple[float, bool]] = {}


async def aoauth_uris(tenant: TenantRef) -> Mapping[str, str]:
    """The endpoints by their names; empty where no active app is marked as one.

    Up to five seconds old.
    """
    hit = _known.get(tenant.id)
    is_fresh = hit is not None and time.monotonic() - hit[0] < CACHE_SECONDS
    has_any = hit[1] if hit and is_fresh else await database.run(tenant, _has_any)
    own = issuer(tenant)
    return {name: f"{own}/oauth/{name}" for name in ENDPOINTS} if has_any else {}


def forget(tenant_id: UUID) -> None:
    """Ask anew at the next call."""
    _known.pop(tenant_id, None)


def _has_any() -> bool:
    found = Application.objects.filter(without_pkce=True, state=Application.State.ACTIVE).exists()
    _known[tenancy.current().id] = time.monotonic(), found
    return found
