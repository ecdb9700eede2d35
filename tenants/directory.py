"""Finding a tenant by its slug, before anything is bound; kept in memory for a few seconds."""

import re
import time

from authfi.lib.tenancy import TenantRef
from authfi.lib.ttl import Ttl
from tenants.models import SLUG, Tenant

_found: Ttl[str, Tenant | None] = Ttl(3.0)


def find(slug: str) -> Tenant | None:
    """The tenant of that slug, or None."""
    if not re.fullmatch(SLUG, slug):
        return None
    if hit := _found.get(slug):
        return hit.value
    asked_at = time.monotonic()
    return _found.put(slug, Tenant.objects.filter(slug=slug).first(), asked_at)


def peek(slug: str) -> Tenant | None:
    """The tenant if this process looked it up a moment ago; never asks the database."""
    hit = _found.get(slug)
    return hit.value if hit else None


def everyone() -> list[TenantRef]:
    """Every tenant, for work that goes through all of them one by one."""
    return [tenant.ref for tenant in Tenant.objects.order_by("slug")]


def forget(slug: str) -> None:
    """Drop what this process remembers of a slug."""
    _found.forget(slug)
