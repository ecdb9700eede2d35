"""A tenant's style as JSON, for every origin and without a token (CTXT-06 to CTXT-08, CORS-06)."""

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from smart import cors, style
from smart.server.endpoint import JSON
from tenants.http import TenantRequest

_FOREVER = "public, max-age=31536000, immutable"


@require_safe
def style_json(_request: TenantRequest, name: str) -> HttpResponse:
    """What is behind a URL never changes, so it may be kept for good."""
    found = style.find(name)
    headers = {"Content-Type": JSON, **cors.cors_headers("", cors.ANY)}
    if found is None:
        return HttpResponse(
            b'{"error": "there is no such style here"}', status=404, headers=headers
        )
    return HttpResponse(found, headers={**headers, "Cache-Control": _FOREVER})
