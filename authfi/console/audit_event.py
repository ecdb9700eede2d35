"""The page of one event of the audit trail, with all that is stored of it (A2, A14)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy

from audit.models import AuditEvent, find_event
from authfi.console import audit_rows
from authfi.console.trail_page import reading_events, record_reading, trail_page
from tenants.http import TenantRequest

#: Details that have a place of their own on the page.
_PLACED = frozenset(
    {
        *("actor", "patient", "object", "reason", "rule", "ip", "user_agent"),
        *("on_behalf_of", "scopes", "jti"),
    }
)

#: What details are called for a reader whom their stored name would tell nothing.
_LABELS = {
    "amr": gettext_lazy("Signed in by"),
    "query": gettext_lazy("Searched for"),
    "returned": gettext_lazy("Records shown"),
    "left_out": gettext_lazy("Not given, and why"),
    "seq": gettext_lazy("Number of the record"),
    "status": gettext_lazy("Status of the answer"),
    "grants": gettext_lazy("Accesses ended"),
}


@trail_page
def audit_event(request: TenantRequest, event_id: UUID) -> HttpResponse:
    """One event."""
    event = get_event(event_id)
    (row,), _names = audit_rows.rows_of([event])
    record_reading(
        request, patient=row.patient, object=f"AuditEvent/{event.pk}", details={"seq": event.seq}
    )
    scopes = row.details.get("scopes", [])
    context = {
        "section": "audit",
        "row": row,
        "event": event,
        "actor": row.details.get("actor", {}),
        "scopes": scopes.split() if isinstance(scopes, str) else scopes,
        "others": list(_others(row.details)),
        "hash": bytes(event.hash).hex(),
        "prev": bytes(event.prev).hex(),
        "leaf": bytes(event.leaf).hex(),
    }
    return render(request, "console/audit_event.html", context)


def get_event(event_id: UUID) -> AuditEvent:
    """An event of the bound tenant. Raises Http404."""
    with reading_events():
        event = find_event(event_id)
    if event is None:
        raise Http404
    return event


def _others(details: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Label, text, and whether it is laid out over lines, of what has no place of its own."""
    for name, value in sorted(details.items()):
        if name in _PLACED or value in ("", [], {}, None):
            continue
        label = str(_LABELS.get(name, name.replace("_", " ").capitalize()))
        if isinstance(value, dict):
            yield label, json.dumps(value, indent=2, ensure_ascii=False), True
        elif isinstance(value, list):
            yield label, ", ".join(str(one) for one in value), False
        else:
            yield label, str(value), False
