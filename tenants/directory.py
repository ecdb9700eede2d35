"""Finding a tenant by its slug, before anything is bound; kept in memory for a few seconds."""

import re
import time

from authfi.lib.tenancy import TenantRef
from tenants.models import SLUG, Tenant

CACHE_SECONDS = 3.0

_found: dict[str, tuple[float, Tenant | None]] = {}


def find(slug: str) -> Tenant | None:
    """The tenant of that slug, or None."""
    if not re.fullmatch(SLUG, slug):
        return None
    now = time.monotonic()
    hit = _found.get(slug)
    if hit and now - hit[0] < CACHE_SECONDS:
        return hit[1]
    tenant = Tenant.objects.filter(slug=slug).first()
    if len(_found) > 10_000:
        _found.clear()
    _found[slug] = (now, tenant)
    return tenant


def peek(slug: str) -> Tenant | None:
    """The tenant if this process looked it up a moment ago; never asks the database."""
    hit = _found.get(slug)
    return hit[1] if hit and time.monotonic() - hit[0] < CACHE_SECONDS else None


def everyone() -> list[TenantRef]:
    """Every tenant, for work that goes through all of them one by one."""
    return [tenant.ref for tenant in Tenant.objects.order_by("slug")]


def forget(slug: str) -> None:
    """Drop what this process remembers of a slug."""
    _found.pop(slug, None)
