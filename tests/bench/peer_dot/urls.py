"""URLs of the peer: the toolkit's, and one protected resource read from the database."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from oauth2_provider.views.generic import ProtectedResourceView

from tests.bench.peer_dot.models import Record


class RecordView(ProtectedResourceView):
    """The record that was asked for."""

    def get(self, request: HttpRequest, key: str) -> HttpResponse:
        """Its bytes."""
        record = Record._default_manager.get(key=key)
        return HttpResponse(bytes(record.content), content_type="application/fhir+json")


urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("fhir/Observation/<str:key>", RecordView.as_view()),
]
