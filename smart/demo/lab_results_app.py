"""Serves the Lab Results App's folder: static pages, as any web server could (REGI-02)."""

from pathlib import Path

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

FOLDER = Path(__file__).parent / "lab_results"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@require_safe
def page(request: HttpRequest, name: str) -> HttpResponse:
    """A file of the app; 404 for anything else."""
    if name not in {path.name for path in FOLDER.iterdir()}:
        raise Http404
    file = FOLDER / name
    response = HttpResponse(file.read_bytes(), content_type=TYPES[file.suffix])
    response["Cache-Control"] = "no-cache"
    return response
