"""The audit page: who did what, when, from where, to whose record, and why or why not (A14)."""

from collections.abc import Mapping

from django.http import HttpResponse
from django.shortcuts import render

from authfi.console import audit_rows, audit_search, verification
from authfi.console.trail_page import reading_events, record_reading, trail_page
from tenants.http import TenantRequest


@trail_page
def audit(request: TenantRequest) -> HttpResponse:
    """One page of the trail, newest first, as the form asks for."""
    form = audit_search.SearchForm(request.GET)
    if not form.is_valid():
        rows, names = audit_rows.rows_of([])
        return _page(request, form, {"rows": rows, "apps": names.apps}, status=400)
    search = form.search()
    with reading_events():
        found = audit_search.find(search)
    rows, names = audit_rows.rows_of(found.events)
    record_reading(
        request,
        patient=search.patient,
        details={"query": search.told(), "returned": len(rows)},
    )
    context = {
        "rows": rows,
        "apps": names.apps,
        "older": found.older,
        "is_first": search.before is None,
        "is_searched": bool(set(search.told()) - {"before"}),
    }
    return _page(request, form, context)


def _page(
    request: TenantRequest,
    form: audit_search.SearchForm,
    found: Mapping[str, object],
    status: int = 200,
) -> HttpResponse:
    context = {"section": "audit", "form": form, **verification.context(request), **found}
    return render(request, "console/audit.html", context, status=status)
