"""The tenant's public keys (OIDC-05 to OIDC-08; RFC 7517)."""

from typing import Any

from authfi.crypto import signing
from authfi.lib.tenancy import TenantRef, bind


def jwks(tenant: TenantRef) -> dict[str, list[dict[str, Any]]]:
    """The tenant's key set: public members only, each key with its own `kid`."""
    with bind(tenant):
        return signing.keys().jwks
