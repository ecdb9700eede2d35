"""URLs outside any tenant."""

from django.conf import settings
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from authfi import health
from tenants import pages

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("api/v1/", include("authfi.api.urls")),
    re_path(r"^console/?$", RedirectView.as_view(url="/t/platform/console")),
    path("", include("smart.server.origin_urls")),
]
if "smart.demo" in settings.INSTALLED_APPS:
    urlpatterns.append(path("", include("smart.demo.urls")))
else:
    urlpatterns.append(path("", pages.start))

handler400 = "tenants.pages.bad_request"
handler403 = "tenants.pages.forbidden"
handler404 = "tenants.pages.not_found"
handler500 = "tenants.pages.server_error"
