"""Django's views of the public documents: JSON for every origin, cached for minutes (CACH-03)."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from authfi.lib.tenancy import TenantRef
from smart import cors
from smart.server import discovery
from smart.server.jwks import jwks as key_set
from tenants import directory
from tenants.http import TenantRequest
from tenants.models import Tenant

MAX_AGE_SECONDS = 300

Document = Callable[[TenantRef], Mapping[str, Any] | None]


def _of_tenant(document: Document) -> Callable[[TenantRequest], HttpResponse]:
    @csrf_exempt
    def view(request: TenantRequest) -> HttpResponse:
        return _answer(request, document, request.tenant)

    return view


def _of_origin(document: Document) -> Callable[[HttpRequest, str], HttpResponse]:
    @csrf_exempt
    def view(request: HttpRequest, slug: str) -> HttpResponse:
        return _answer(request, document, directory.find(slug))

    return view


def _answer(request: HttpRequest, document: Document, tenant: Tenant | None) -> HttpResponse:
    """The same bytes for all who ask, whatever they accept (DISC-02)."""
    if request.method == "OPTIONS":
        origin = request.headers.get("Origin", "")
        return HttpResponse(status=204, headers=cors.preflight_headers(origin, cors.ANY))
    if request.method not in ("GET", "HEAD"):
        return _json({"error": "only GET is served here"}, 405, {"Allow": "GET, HEAD, OPTIONS"})
    is_active = tenant is not None and tenant.state == Tenant.State.ACTIVE
    found = document(tenant.ref) if tenant is not None and is_active else None
    if found is None:
        return _json({"error": "there is no such document here"}, 404, {})
    return _json(found, 200, {"Cache-Control": f"public, max-age={MAX_AGE_SECONDS}"})


def _json(body: Mapping[str, Any], status: int, headers: Mapping[str, str]) -> HttpResponse:
    return HttpResponse(
        json.dumps(body).encode(),
        status=status,
        content_type="application/json",
        headers={**cors.cors_headers("", cors.ANY), **headers},
    )


def _protected_resource(tenant: TenantRef) -> Mapping[str, Any] | None:
    """Only where there is a FHIR base."""
    is_served = discovery.smart_configuration(tenant) is not None
    return discovery.protected_resource(tenant) if is_served else None


smart_configuration = _of_tenant(discovery.smart_configuration)
openid_configuration = _of_tenant(discovery.openid_configuration)
jwks = _of_tenant(key_set)
oauth_metadata = _of_origin(discovery.oauth_metadata)
protected_resource = _of_origin(_protected_resource)
