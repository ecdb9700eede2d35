"""Where Order Entry's people come back to: an app with a secret has its server elsewhere."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """Says what came back, without showing the code: whoever has the secret redeems it."""
    found = {
        "error": request.GET.get("error", "")[:100],
        "has_code": bool(request.GET.get("code")),
    }
    return render(request, "demo/order_entry.html", found)
