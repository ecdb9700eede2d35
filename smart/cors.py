"""CORS: discovery for everyone, token endpoint and FHIR API for registered origins (CORS-01..06).

Pure but for one look-up of a tenant's origins, so that the gateway can use it as well.
"""

import time
from typing import Final, Literal
from uuid import UUID

from authfi.lib import database, tenancy
from authfi.lib.tenancy import TenantRef
from authfi.lib.ttl import Ttl
from smart.models import Application

Allowed = frozenset[str] | Literal["*"]

ANY: Final = "*"
METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS: Final = (
    "Authorization, Content-Type, Accept, Prefer, If-Match, If-None-Match, X-Requested-With"
)
EXPOSED: Final = "ETag, Location, Content-Location, Last-Modified, Retry-After, WWW-Authenticate"
PREFLIGHT_SECONDS: Final = 600

_origins: Ttl[UUID, frozenset[str]] = Ttl(5.0)


def cors_headers(origin: str, allowed: Allowed) -> dict[str, str]:
    """Headers for an answer, good or bad (CORS-04, CORS-05). `origin` is "" where none was sent."""
    if allowed == ANY:
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
    if not origin or origin not in allowed:
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": EXPOSED,
        "Vary": "Origin",
    }


def preflight_headers(origin: str, allowed: Allowed) -> dict[str, str]:
    """Headers for the answer to a preflight (CORS-03)."""
    headers = cors_headers(origin, allowed)
    if "Access-Control-Allow-Origin" not in headers:
        return headers
    return headers | {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": REQUEST_HEADERS,
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }


def registered_origins(tenant: TenantRef) -> frozenset[str]:
    """Every origin that an active app of the tenant registered; up to five seconds old."""
    if hit := _origins.get(tenant.id):
        return hit.value
    asked_at = time.monotonic()
    with tenancy.bind(tenant):
        rows = Application.objects.filter(state=Application.State.ACTIVE).exclude(
            allowed_origins=""
        )
        lists = list(rows.values_list("allowed_origins", flat=True))
    found = frozenset(origin for line in lists for origin in line.split())
    return _origins.put(tenant.id, found, asked_at)


async def aregistered_origins(tenant: TenantRef) -> frozenset[str]:
    """`registered_origins` for async code."""
    hit = _origins.get(tenant.id)
    return hit.value if hit else await database.run(tenant, registered_origins, tenant)


def forget_origins(tenant_id: UUID) -> None:
    """Drop what this process remembers of a tenant's origins."""
    _origins.forget(tenant_id)
