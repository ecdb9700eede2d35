"""The session and the person of a request (D2, N14, K9)."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import UpdateError
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

from authfi.accounts import devices, sessions
from tenants import limits, pages

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def session_middleware(get_response: GetResponse) -> GetResponse:
    """Every request has a session; where no tenant is bound it is empty and never stored."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        tenant = getattr(request, "tenant", None)
        if tenant is None:
            request.session = sessions.SessionStore()
            return get_response(request)
        name = sessions.cookie_name(tenant.slug)
        request.session = sessions.SessionStore(request.COOKIES.get(name))
        response = get_response(request)
        if _leaves_a_session(request, response) and (seconds := limits.count_visit()):
            return pages.too_many(request, seconds)
        _store(request, response, name)
        _tell_device(request, response, devices.cookie_name(tenant.slug))
        return response

    return middleware


def person_middleware(get_response: GetResponse) -> GetResponse:
    """`request.user`: the active person who is signed in, or AnonymousUser; found when asked."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        request.user = cast(
            "Any", SimpleLazyObject(lambda: sessions.of(request).person() or AnonymousUser())
        )
        return get_response(request)

    return middleware


def _leaves_a_session(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Would a row be added for a browser that had none? Strangers may add so many (V1)."""
    session = sessions.of(request)
    is_new = session.accessed and session.modified and session.row is None
    return is_new and not session.is_empty() and response.status_code < 500


def _store(request: HttpRequest, response: HttpResponseBase, name: str) -> None:
    session = sessions.of(request)
    if not session.accessed:
        return
    patch_vary_headers(response, ("Cookie",))
    if session.is_empty():
        if name in request.COOKIES:
            response.delete_cookie(name, samesite="Lax")
        return
    if response.status_code >= 500:
        return
    if session.modified or session.is_touch_due():
        # Where the session got another cookie meanwhile, that one counts.
        with suppress(UpdateError):
            session.save()
    if session.is_key_new:
        response.set_cookie(
            name,
            cast("str", session.session_key),
            path="/",
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=settings.SESSION_COOKIE_HTTPONLY,
            samesite="Lax",
        )


def _tell_device(request: HttpRequest, response: HttpResponseBase, name: str) -> None:
    """Give the browser what it is known by after a complete sign-in."""
    value = sessions.of(request).device_value
    if value:
        response.set_cookie(
            name,
            value,
            max_age=devices.LIFE,
            path="/",
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
