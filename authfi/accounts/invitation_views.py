"""The pages behind an invitation: a password, then an authenticator app (N1, N3, N8, H7).

The link leads to a page without the secret in its address: which invitation it is, and what was
entered so far, is in the session.
"""

from dataclasses import dataclass
from typing import cast

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from authfi.accounts import invitations, passwords, people, sessions, signin
from authfi.accounts.forms import CodeForm, NewPasswordForm
from authfi.accounts.invitations import Authenticator
from authfi.accounts.mfa import enrolment, totp
from authfi.accounts.models import Invitation, User
from authfi.accounts.views import sign_in_page
from tenants import pages, policies
from tenants.http import TenantRequest

_KEY = "invitation"


@dataclass(frozen=True, slots=True)
class _Progress:
    """What somebody has entered so far, as the session keeps it (sealed)."""

    invitation_id: str
    password_hash: str = ""
    seed: str = ""

    def keep(self, request: HttpRequest) -> None:
        sessions.of(request)[_KEY] = [self.invitation_id, self.password_hash, self.seed]


@require_safe
@never_cache
def open_link(request: HttpRequest, handle: str) -> HttpResponse:
    """Take the link in; opening it spends nothing, since mail programs open links too."""
    found = invitations.find(handle)
    if found is None or not invitations.is_open(found):
        return _spent(request, found)
    _Progress(str(found.pk)).keep(request)
    response = HttpResponseRedirect(reverse("invitation"))
    response["Referrer-Policy"] = "no-referrer"
    return response


@sign_in_page
def invitation(request: HttpRequest) -> HttpResponse:
    """The step that is next: the password, or the authenticator app."""
    kept = sessions.of(request).get(_KEY)
    if not kept:
        return _spent(request, None)
    progress = _Progress(*kept)
    found = invitations.get(progress.invitation_id)
    if found is None or not invitations.is_open(found):
        del sessions.of(request)[_KEY]
        return _spent(request, found)
    if "restart" in request.POST:
        _Progress(progress.invitation_id).keep(request)
        return HttpResponseRedirect(reverse("invitation"))
    if progress.password_hash:
        return _authenticator_step(request, found, progress)
    return _password_step(request, found, progress)


def _password_step(request: HttpRequest, found: Invitation, progress: _Progress) -> HttpResponse:
    form = NewPasswordForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        password = form.cleaned_data["password"]
        try:
            passwords.validate_password(password, people.words_of(found.user))
        except ValidationError as error:
            form.add_error("password", error)
        else:
            hashed = passwords.hash_password(password)
            if signin.required_aal(found.user) < 2:
                return _finish(request, found, hashed, None)
            _Progress(progress.invitation_id, hashed, enrolment.new_seed()).keep(request)
            return HttpResponseRedirect(reverse("invitation"))
    context = {
        "form": form,
        "person": found.user,
        "shortest": policies.sign_in().min_password_length,
        "has_second_step": signin.required_aal(found.user) > 1,
    }
    return render(request, "accounts/invitation_password.html", context)


def _authenticator_step(
    request: HttpRequest, found: Invitation, progress: _Progress
) -> HttpResponse:
    form = CodeForm(request.POST if request.method == "POST" else None)
    form.fields["code"].widget.attrs.pop("autofocus")  # the picture comes first
    if form.is_bound and form.is_valid():
        step = totp.matching_step(progress.seed, form.cleaned_data["code"])
        if step is not None:
            authenticator = Authenticator(seed=progress.seed, step=step)
            return _finish(request, found, progress.password_hash, authenticator)
        form.add_error(
            "code",
            _("This is not the code. Check the clock of your device and enter the next one."),
        )
    uri = enrolment.provisioning_uri(
        progress.seed,
        organisation=cast("TenantRequest", request).tenant.name,
        account=found.user.email,
    )
    context = {
        "form": form,
        "person": found.user,
        "qr": enrolment.qr_svg(uri),
        "secret": enrolment.secret_text(progress.seed),
        "uri": uri,
    }
    return render(request, "accounts/invitation_authenticator.html", context)


def _finish(
    request: HttpRequest,
    found: Invitation,
    password_hash: str,
    authenticator: Authenticator | None,
) -> HttpResponse:
    try:
        user: User = invitations.accept(
            invitation=found, password_hash=password_hash, authenticator=authenticator
        )
    except invitations.SpentError:
        return _spent(request, invitations.get(found.pk))
    methods = [signin.PASSWORD, *([signin.ONE_TIME_CODE] if authenticator else [])]
    signin.sign_in(request, user, methods)
    return HttpResponseRedirect(reverse("home"))


def _spent(request: HttpRequest, found: Invitation | None) -> HttpResponse:
    """Used, expired, withdrawn or never made: what to do now."""
    if found and found.used_at:
        return pages.error_page(
            request,
            status=410,
            title=_("This invitation has been used"),
            text=_("Your account is set up."),
            next_step=_(
                "Sign in with the e-mail address and the password of your account. If it "
                "was not you who used the link, tell your administrator at once."
            ),
        )
    return pages.error_page(
        request,
        status=410 if found else 404,
        title=_("This invitation cannot be used"),
        text=_("Invitations are good for three days, and only the newest one counts."),
        next_step=_(
            "Open the link once more as it was sent to you. If this page comes again, ask "
            "your administrator for a new invitation."
        ),
    )
