"""What every page knows."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def page(request: HttpRequest) -> dict[str, Any]:
    """Tenant and mode, for `base.html`."""
    return {
        "tenant": getattr(request, "tenant", None),
        "demo": settings.DEMO,
    }
