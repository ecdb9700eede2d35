"""URLs of one tenant, below `/t/{tenant}/`; the FHIR base is served by `smart.gateway` (D6)."""

from django.conf import settings
from django.urls import include, path

urlpatterns = [
    path("", include("authfi.accounts.urls")),
    path("", include("consent.urls")),
    path("", include("smart.server.urls")),
    path("", include("smart.account.urls")),
    path("", include("authfi.console.urls")),
]
if "smart.demo" in settings.INSTALLED_APPS:
    urlpatterns.append(path("", include("smart.demo.tenant_urls")))

handler400 = "tenants.pages.bad_request"
handler403 = "tenants.pages.forbidden"
handler404 = "tenants.pages.not_found"
handler500 = "tenants.pages.server_error"
