"""Ask for a sign-in, or a stronger or fresher one, before going on (N13, N15, O9)."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from urllib.parse import unquote, urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import get_script_prefix, reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from authfi.accounts import sessions, signin
from authfi.lib.going_on import let_forms_lead_to

View = Callable[..., HttpResponse]

MAX_NEXT_LENGTH = 4096
#: Key in the session: the address that the sign-in page offers.
LOGIN_HINT = "login_hint"
_FORM_ACTION = "form_action"
_PLAIN = re.compile(r"[!-~]+")  # visible ASCII
# A scheme alone (an installed app's own), or scheme, host and port.
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*:(//([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?)?", re.IGNORECASE
)


def require(
    request: HttpRequest,
    *,
    aal: int = 1,
    max_age_seconds: int | None = None,
    since: datetime | None = None,
    form_action: str | None = None,
    login_hint: str = "",
) -> HttpResponse | None:
    """None where the sign-in is good enough, else a redirect to the page that makes it so.

    What the tenant's policy wants of the person holds beside `aal`. The sign-in's password must
    have been given at most `max_age_seconds` ago, and not before `since` (what `prompt=login`
    means: the moment the request came in). `form_action` is the origin that a chain of redirects
    behind the sign-in page's form will end at: Chromium checks all of it. `login_hint` is an e-mail
    address that the page may offer (OIDC Core 3.1.2.1); it stays out of URLs.
    """
    user, held = signin.person(request), signin.assurance(request)
    if user is None or held.auth_time is None or _is_stale(held.auth_time, max_age_seconds, since):
        if login_hint:
            sessions.of(request)[LOGIN_HINT] = login_hint
        return _to_page(request, "login", form_action)
    if held.aal < max(aal, signin.required_aal(user)):
        return _to_page(request, "mfa", form_action)
    return None


def is_safe_next(url: str) -> bool:
    """Is it a path of the bound tenant, whatever a browser makes of it (O9)?"""
    if len(url) > MAX_NEXT_LENGTH or not _PLAIN.fullmatch(url):
        return False
    if not url_has_allowed_host_and_scheme(url, allowed_hosts=None):
        return False
    path = unquote(urlsplit(url).path)
    if "\\" in path or any(part in (".", "..") for part in path.split("/")):
        return False
    return url.startswith(get_script_prefix())


def next_or_home(url: str) -> str:
    """The path to go on with after the sign-in."""
    return url if is_safe_next(url) else reverse("home")


def with_next(name: str, url: str) -> str:
    """The address of a sign-in page that leads on to a path."""
    return f"{reverse(name)}?{urlencode({'next': url})}" if is_safe_next(url) else reverse(name)


def allow_form_action(view: View) -> View:
    """Let the page's form be answered by redirects to the app that is waiting (see `require`)."""

    @wraps(view)
    def wrapper(request: HttpRequest) -> HttpResponse:
        origin = sessions.of(request).get(_FORM_ACTION)
        page = view(request)
        return let_forms_lead_to([origin], page) if origin else page

    return wrapper


def _is_stale(auth_time: datetime, max_age_seconds: int | None, since: datetime | None) -> bool:
    if since is not None and auth_time < since:
        return True
    if max_age_seconds is None:
        return False
    return timezone.now() - auth_time > timedelta(seconds=max_age_seconds)


def _to_page(request: HttpRequest, name: str, form_action: str | None) -> HttpResponse:
    if form_action:
        if not _ORIGIN.fullmatch(form_action):
            raise ValueError(f"not an origin: {form_action!r}")
        sessions.of(request)[_FORM_ACTION] = form_action
    response = HttpResponseRedirect(with_next(name, request.get_full_path()))
    response["Cache-Control"] = "no-store"
    return response
