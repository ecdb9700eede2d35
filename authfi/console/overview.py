"""The console's first page: what the organisation has here, and what happened last."""

from typing import Any

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from audit.models import AuditEvent
from authfi.accounts.models import User
from authfi.console import audit_rows, verification
from authfi.console.audit_search import Search, find
from authfi.console.trail_page import reading_events, record_reading, trail_page
from smart.models import Application, Grant, HealthcareModule
from tenants import http
from tenants.http import TenantRequest

LATEST = 6
#: A busy day is not counted to its end.
MAX_COUNTED = 10_000


@trail_page
def overview(request: TenantRequest) -> HttpResponse:
    """State of the healthcare module, a few numbers, the latest events."""
    with reading_events():
        events = find(Search()).events
    latest, _names = audit_rows.rows_of(events[:LATEST])
    record_reading(request, object="latest", details={"returned": len(latest)})
    context = {
        "section": "overview",
        "is_platform": request.tenant.ref.is_platform,
        "healthcare": _healthcare(request),
        "figures": _figures(),
        "max_counted": MAX_COUNTED,
        "rows": latest,
        **verification.context(request),
    }
    return render(request, "console/overview.html", context)


def _healthcare(request: TenantRequest) -> dict[str, Any] | None:
    module = HealthcareModule.objects.first()
    if module is None:
        return None
    fhir_base = http.fhir_base(request.tenant)
    return {
        "preset": module.preset,
        "issuer": http.issuer(request.tenant),
        "fhir_base": fhir_base,
        "discovery": f"{fhir_base}/.well-known/smart-configuration",
        "activated_at": module.activated_at,
        "checked_at": module.checked_at,
    }


def _figures() -> dict[str, int]:
    now = timezone.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    today = AuditEvent.objects.filter(at__gte=midnight).order_by()
    return {
        "people": User.objects.filter(is_active=True).count(),
        "apps": Application.objects.filter(state=Application.State.ACTIVE).count(),
        "grants": Grant.objects.filter(Q(ended_at=None), expires_at__gt=now).count(),
        "events": today[: MAX_COUNTED + 1].count(),
    }
