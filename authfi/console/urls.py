"""URLs of the admin console, below `/t/{tenant}/`."""

from django.urls import path
from django.views.generic import RedirectView

from authfi.console import audit, audit_event, overview, verification

urlpatterns = [
    path("console", overview.overview, name="console"),
    path("console/", RedirectView.as_view(pattern_name="console")),
    path("console/audit", audit.audit, name="console-audit"),
    path("console/audit/verification", verification.verification, name="console-verification"),
    path("console/audit/<uuid:event_id>", audit_event.audit_event, name="console-audit-event"),
]
