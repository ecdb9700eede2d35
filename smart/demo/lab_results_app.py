"""Serves the Lab Results App's folder: static pages, as any web server could (REGI-02)."""

from pathlib import Path

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_safe
from django.views.static import serve

FOLDER = Path(__file__).parent / "lab_results"


@require_safe
def page(request: HttpRequest, name: str) -> HttpResponseBase:
    """A file of the app; 404 for anything else."""
    response = serve(request, name, document_root=str(FOLDER))
    response["Cache-Control"] = "no-cache"
    return response
