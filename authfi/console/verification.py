"""The verdict on the tenant's audit trail, and the endpoint that pages ask again (A9; D7)."""

import logging
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit import verdicts
from audit.verify import Verification
from authfi.accounts import sessions
from authfi.accounts.decorators import console_view
from authfi.accounts.models import Role
from tenants.http import TenantRequest

logger = logging.getLogger(__name__)

#: A verdict may be this old, and a page asks this often: together well below a minute.
MAX_AGE_SECONDS = 15
REFRESH_SECONDS = 20


@require_safe
@never_cache
@console_view(role=Role.PRIVACY_OFFICER, aal=2)
def verification(request: TenantRequest) -> HttpResponse:
    """The verdict alone, as part of a page."""
    response = render(request, "console/verification.html", context(request))
    # A page that asks by itself is not its reader's activity: the idle limit goes on (N12).
    sessions.of(request).accessed = False
    return response


def context(request: TenantRequest) -> dict[str, Any]:
    """What `console/verification.html` needs; without a verdict where none could be found."""
    found: Verification | None = None
    try:
        found = verdicts.recent(request.tenant.ref, MAX_AGE_SECONDS)
    except (Error, ImproperlyConfigured):
        logger.exception("the audit trail cannot be verified")
    return {
        "verification": found,
        "verdict": _verdict(found),
        "refresh_seconds": REFRESH_SECONDS,
    }


def _verdict(found: Verification | None) -> str:
    if found is None:
        return "unknown"
    return "broken" if found.broken else "intact"
