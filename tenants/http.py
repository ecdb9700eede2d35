"""The request as middleware leaves it, and the tenant's own URLs."""

from django.conf import settings
from django.http import HttpRequest

from authfi.lib.tenancy import TenantRef
from tenants.models import Tenant


class TenantRequest(HttpRequest):
    """A request below `/t/{tenant}`: the tenant is found, active and bound."""

    tenant: Tenant


def issuer(tenant: TenantRef | Tenant) -> str:
    """The tenant's issuer URL, without a trailing slash."""
    return f"{settings.ORIGIN}/t/{tenant.slug}"


def fhir_base(tenant: TenantRef | Tenant) -> str:
    """The tenant's FHIR base URL: the `iss` of a launch and the `aud` of a request (EHRL-02)."""
    return f"{issuer(tenant)}/fhir"


def resource_metadata(tenant: TenantRef | Tenant) -> str:
    """URL of the FHIR base's protected-resource metadata (RFC 9728 3.1)."""
    return f"{settings.ORIGIN}/.well-known/oauth-protected-resource/t/{tenant.slug}/fhir"


def management_audience() -> str:
    """The audience of management API tokens."""
    return f"{settings.ORIGIN}/api/v1"
