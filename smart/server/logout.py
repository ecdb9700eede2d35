"""The end-session endpoint: an app asks to sign its person out (RP-Initiated Logout 1.0).

With an ID token of ours for the person who is signed in it is done at once; otherwise the person is
asked. The browser goes back only to a URI that the app registered for it (O9).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from oauthlib.common import add_params_to_uri

from authfi.accounts import signin
from authfi.crypto import jose, signing
from authfi.lib import tenancy
from authfi.lib.going_on import SeeOther, let_forms_lead_to
from smart.models import Application
from smart.server import client_auth, redirect_uris
from tenants import pages
from tenants.http import TenantRequest, issuer

PARAMETERS: Final = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state")
MAX_STATE: Final = 2048


class LogoutRefusedError(Exception):
    """The request cannot be followed; the text is for the app's developer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A checked request: which app, for whom, and where the browser goes afterwards ("" for us)."""

    client_id: str
    subject: str
    redirect_uri: str
    state: str

    @property
    def target(self) -> str:
        """The registered URI with `state`; "" where there is none."""
        if not self.redirect_uri or not self.state:
            return self.redirect_uri
        added = [("state", self.state)]
        return str(add_params_to_uri(self.redirect_uri, added))  # type: ignore[no-untyped-call]


@csrf_exempt
@never_cache
@require_http_methods(["GET", "POST"])
def end_session(request: TenantRequest) -> HttpResponse:
    """Take the request in. A POST comes without our cookie (SameSite), so it is sent on by GET."""
    sent = request.POST if request.method == "POST" else request.GET
    values = {name: sent[name] for name in PARAMETERS if sent.get(name)}
    try:
        asked = check(values)
    except LogoutRefusedError as error:
        return _refused(request, str(error))
    if request.method == "POST":
        return SeeOther(f"{reverse('end-session')}?{urlencode(values)}")
    user = signin.person(request)
    if user is None or str(user.pk) == asked.subject:
        return _done(request, asked)
    return _ask(request, values, asked)


@never_cache
@require_http_methods(["POST"])
def end_session_confirm(request: TenantRequest) -> HttpResponse:
    """The person said yes on our own page."""
    values = {name: request.POST[name] for name in PARAMETERS if request.POST.get(name)}
    try:
        asked = check(values)
    except LogoutRefusedError as error:
        return _refused(request, str(error))
    return _done(request, asked)


def check(values: Mapping[str, str]) -> Asked:
    """What is asked, with everything in it proven. Raises LogoutRefusedError."""
    claims = _hint(values.get("id_token_hint", ""))
    client_id = values.get("client_id", "") or str(claims.get("aud", ""))
    if claims and claims.get("aud") != client_id:
        raise LogoutRefusedError("client_id is not the app that the ID token was made for")
    application = client_auth.find(client_id) if client_id else None
    if client_id and application is None:
        raise LogoutRefusedError("the client_id is not that of an active app")
    redirect_uri, state = values.get("post_logout_redirect_uri", ""), values.get("state", "")
    if redirect_uri and not _is_registered(redirect_uri, application):
        raise LogoutRefusedError("the post_logout_redirect_uri is not one that the app registered")
    if len(state) > MAX_STATE:
        raise LogoutRefusedError("state is too long")
    return Asked(client_id, str(claims.get("sub", "")), redirect_uri, state)


def _hint(raw: str) -> Mapping[str, Any]:
    """The claims of an ID token of ours, in force or expired; raises LogoutRefusedError."""
    if not raw:
        return {}
    try:
        claims = jose.verify(raw, signing.keys().public, typ="JWT")
    except jose.BadTokenError as error:
        raise LogoutRefusedError("the id_token_hint is not an ID token of this server") from error
    if claims.get("iss") != issuer(tenancy.current()) or "sub" not in claims:
        raise LogoutRefusedError("the id_token_hint is not an ID token of this server")
    return claims


def _is_registered(uri: str, application: Application | None) -> bool:
    if application is None:
        return False
    registered = application.post_logout_redirect_uris.split()
    return redirect_uris.is_registered(uri, registered, in_development=application.in_development)


def _done(request: TenantRequest, asked: Asked) -> HttpResponse:
    """Sign out whoever is signed in, and go back to the app, if it said where."""
    signin.sign_out(request)
    if not asked.redirect_uri:
        return render(request, "accounts/logout.html")
    response = HttpResponse(status=303, headers={"Location": asked.target})
    response["Referrer-Policy"] = "no-referrer"
    return response


def _ask(request: TenantRequest, values: Mapping[str, str], asked: Asked) -> HttpResponse:
    application = client_auth.find(asked.client_id)
    context = {
        "app": application.name if application else "",
        "action": reverse("end-session-confirm"),
        "values": dict(values),
    }
    if not asked.redirect_uri:
        return render(request, "accounts/logout.html", context)
    page = render(request, "accounts/logout.html", context)
    return let_forms_lead_to([redirect_uris.origin_of(asked.redirect_uri)], page)


def _refused(request: TenantRequest, reason: str) -> HttpResponse:
    text = _("The app sent a request to sign you out that cannot be used: %s.") % reason
    if signin.person(request) is None:
        title, next_step = _("You are not signed in here"), _("There is nothing to sign out of.")
    else:
        title = _("You are still signed in")
        next_step = _("To sign out, use “Sign out” on your own page here.")
    return pages.error_page(request, status=400, title=title, text=text, next_step=next_step)
