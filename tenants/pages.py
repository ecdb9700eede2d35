"""Error pages: calm, with the next step and a reference the trail and the log know."""

import logging
import sys
from typing import Any

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from audit.record import AuditUnavailableError
from authfi.lib import requestinfo

log = logging.getLogger(__name__)


def error_page(
    request: HttpRequest, *, status: int, title: str, text: str, next_step: str = ""
) -> HttpResponse:
    """An error page of that status, with the request's reference."""
    context = {
        "title": title,
        "text": text,
        "next_step": next_step,
        "reference": requestinfo.current().request_id,
    }
    response = render(request, "error.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


def start(request: HttpRequest) -> HttpResponse:
    """The page at the origin, which belongs to no organization."""
    return render(request, "start.html")


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404."""
    return error_page(
        request,
        status=404,
        title="Page not found",
        text="There is no page at this address.",
        next_step="Check the address, or go back to where you came from.",
    )


def suspended(request: HttpRequest) -> HttpResponse:
    """403 for everything of a tenant that is suspended."""
    return error_page(
        request,
        status=403,
        title="Not available",
        text="This organization's service is switched off at the moment.",
        next_step="Please contact the organization.",
    )


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403."""
    return error_page(
        request,
        status=403,
        title="Not allowed",
        text="Your account may not open this page.",
        next_step="Sign in with another account, or ask your administrator for access.",
    )


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400."""
    return error_page(
        request,
        status=400,
        title="That did not work",
        text="The request could not be understood.",
        next_step="Go back and try again.",
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """500; 503 where the database or the audit trail cannot be written just now (V5, V8)."""
    error = sys.exc_info()[1]
    route = getattr(getattr(request, "resolver_match", None), "view_name", "") or "unknown"
    log.error("a page failed: %s", route, exc_info=error)
    if isinstance(error, AuditUnavailableError | OperationalError):
        return unavailable(request)
    return error_page(
        request,
        status=500,
        title="Something went wrong on our side",
        text="Nothing was changed. The problem has been noted.",
        next_step="Try again in a moment. If it stays, give your administrator this reference.",
    )


def unavailable(request: HttpRequest) -> HttpResponse:
    """503."""
    response = error_page(
        request,
        status=503,
        title="Not possible at the moment",
        text="The service cannot record what you do just now, so it does nothing.",
        next_step="Nothing was changed. Please try again in a minute.",
    )
    response["Retry-After"] = "60"
    return response


def too_many(request: HttpRequest, seconds: int) -> HttpResponse:
    """429: what one address may ask for in a minute is used up (V1)."""
    response = error_page(
        request,
        status=429,
        title="Too many requests",
        text="Your network has sent too many requests.",
        next_step="Wait a minute and try again.",
    )
    response["Retry-After"] = str(seconds)
    return response


def csrf_failure(request: HttpRequest, reason: str = "", **_: Any) -> HttpResponse:
    """403 for a form that was not ours, or was open for too long."""
    return error_page(
        request,
        status=403,
        title="This form has expired",
        text="It was open for too long, or you signed in again in another window.",
        next_step="Go back, reload the page and send it again.",
    )
