"""Where Order Entry's people come back to: an app with a secret has its server elsewhere."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from smart.demo import cast


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """Says what came back, without showing the code: whoever has the secret redeems it."""
    found = {
        "error": request.GET.get("error", "")[:100],
        "has_code": bool(request.GET.get("code")),
        "client_id": cast.ORDER_ENTRY.client_id,
        "scopes": cast.ORDER_ENTRY.scopes,
        "redirect_uri": f"{settings.ORIGIN}{cast.ORDER_ENTRY_PATH}",
        "fhir_base": f"{settings.ORIGIN}/t/{cast.GENERAL_HOSPITAL.slug}/fhir",
    }
    return render(request, "demo/order_entry.html", found)
