"""The sign-in pages: password, one-time code, sign-out, change of password (N1, N8, V2, O9)."""

from collections.abc import Callable
from functools import wraps

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from audit import events, record
from authfi.accounts import (
    devices,
    network_limit,
    passwords,
    people,
    sessions,
    signin,
    stepup,
    throttling,
)
from authfi.accounts.decorators import signed_in
from authfi.accounts.forms import CodeForm, LoginForm, PasswordForm
from authfi.accounts.mfa import totp
from authfi.accounts.models import CONSOLE_ROLES, User
from authfi.lib.transaction import transaction
from tenants import pages

View = Callable[[HttpRequest], HttpResponseBase]


def sign_in_page(view: View) -> View:
    """What the pages of this module share: no cache, and a calm answer when there is no room."""

    @require_http_methods(["GET", "HEAD", "POST"])
    @never_cache
    @wraps(view)
    def wrapper(request: HttpRequest) -> HttpResponseBase:
        try:
            return view(request)
        except (passwords.BusyError, record.AuditUnavailableError):
            response = pages.error_page(
                request,
                status=503,
                title=_("Too many people are signing in"),
                text=_("Nothing is wrong with your account."),
                next_step=_("Wait a few seconds, go back and try again."),
            )
            response["Retry-After"] = str(passwords.RETRY_AFTER_SECONDS)
            return response

    return wrapper


@sign_in_page
@stepup.allow_form_action
def login(request: HttpRequest) -> HttpResponse:
    """E-mail and password; leads on to the code, or to `next`."""
    next_url = _next(request)
    if request.method != "POST":
        user, hint = signin.person(request), sessions.of(request).get(stepup.LOGIN_HINT)
        form = LoginForm(initial={"email": hint or (user.email if user else "")})
    else:
        form = LoginForm(request.POST)
        if form.is_valid():
            if answer := _try_password(request, form, next_url):
                return answer
            form.add_error(None, _("The e-mail address or the password is wrong."))
    return render(request, "accounts/login.html", {"form": form, "next": next_url})


@sign_in_page
@stepup.allow_form_action
def mfa(request: HttpRequest) -> HttpResponse:
    """The code of the authenticator app: completes a sign-in, or makes one stronger."""
    next_url = _next(request)
    half = signin.half_signed_in(request)
    user = half.user if half else signin.person(request)
    if user is None:
        return HttpResponseRedirect(stepup.with_next("login", next_url))
    if not totp.is_enrolled(user):
        return _no_second_factor(request)
    form = CodeForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        counted = network_limit.counted_as(request, user)
        if refusal := network_limit.refusal(request, counted):
            return refusal
        if signin.is_code_of(user, form.cleaned_data["code"], devices.value_of(request)):
            _complete(request, user, half)
            return HttpResponseRedirect(stepup.next_or_home(next_url))
        network_limit.count_failure(counted)
        form.add_error("code", _why_not(user, devices.value_of(request)))
    return render(request, "accounts/mfa.html", {"form": form, "next": next_url})


@sign_in_page
def logout(request: HttpRequest) -> HttpResponse:
    """GET asks, POST ends the session."""
    if request.method == "POST":
        signin.sign_out(request)
    return render(request, "accounts/logout.html")


@sign_in_page
@signed_in
def password(request: HttpRequest) -> HttpResponse:
    """Change one's own password; all other sessions end (N14)."""
    user, form = signin.person(request), PasswordForm(request.POST or None)
    changed = False
    if user and form.is_bound and form.is_valid():
        changed = _change_password(request, user, form)
    context = {"form": form, "changed": changed}
    return render(request, "accounts/password.html", context)


@require_safe
@never_cache
@signed_in
def home(request: HttpRequest) -> HttpResponse:
    """Where a sign-in ends that led to nothing else."""
    user = signin.person(request)
    has_console = bool(user and people.roles_of(user) & CONSOLE_ROLES)
    return render(request, "accounts/home.html", {"has_console": has_console})


def _next(request: HttpRequest) -> str:
    wanted = request.POST.get("next") or request.GET.get("next", "")
    return wanted if stepup.is_safe_next(wanted) else ""


def _try_password(request: HttpRequest, form: LoginForm, next_url: str) -> HttpResponse | None:
    """What follows on e-mail and password; None where they are wrong, which is counted."""
    user = signin.whose(form.cleaned_data["email"])
    counted = network_limit.counted_as(request, user)
    if refusal := network_limit.refusal(request, counted):
        return refusal
    is_right = signin.is_password_of(user, form.cleaned_data["password"], devices.value_of(request))
    if user and is_right:
        return _after_password(request, user, next_url)
    network_limit.count_failure(counted)
    return None


def _after_password(request: HttpRequest, user: User, next_url: str) -> HttpResponse:
    if totp.is_enrolled(user):
        signin.begin_second_step(request, user)
        return HttpResponseRedirect(stepup.with_next("mfa", next_url))
    if signin.required_aal(user) > 1:
        signin.record_failure(events.Code.LOGIN_FAIL, user, "no second factor")
        return _no_second_factor(request)
    signin.sign_in(request, user, [signin.PASSWORD])
    return HttpResponseRedirect(stepup.next_or_home(next_url))


def _complete(request: HttpRequest, user: User, half: signin.Half | None) -> None:
    with transaction():
        record.record(
            events.Event(
                code=events.Code.MFA_OK,
                outcome=events.Outcome.SUCCESS,
                actor=signin.actor(user, aal=2),
            )
        )
        if half:
            methods = [signin.PASSWORD, signin.ONE_TIME_CODE]
            signin.sign_in(request, user, methods, since=half.since)
        else:
            signin.step_up(request, [signin.ONE_TIME_CODE])


def _change_password(request: HttpRequest, user: User, form: PasswordForm) -> bool:
    browser = devices.value_of(request)
    if not signin.is_password_of(user, form.cleaned_data["present"], browser):
        form.add_error("present", _("This is not your present password."))
        return False
    held = signin.assurance(request)
    try:
        people.change_password(
            user=user,
            password=form.cleaned_data["password"],
            actor=signin.actor(user, aal=held.aal),
            keep_session=held.session_id,
        )
    except ValidationError as error:
        form.add_error("password", error)
        return False
    with transaction():
        devices.remember(request, user)
    sessions.of(request).strengthen({})
    return True


def _why_not(user: User, browser: str) -> str:
    """What the person can do about a code that was not taken."""
    seconds = throttling.wait_seconds(user, throttling.TOTP, browser)
    if seconds is None:
        return _("Too many wrong codes: this app is switched off. Ask your administrator for help.")
    if seconds:
        return _("Too many wrong codes. Wait %(seconds)s seconds before the next one.") % {
            "seconds": seconds
        }
    return _("This code is wrong or was used before. Wait for the next one and enter that.")


def _no_second_factor(request: HttpRequest) -> HttpResponse:
    return pages.error_page(
        request,
        status=403,
        title=_("Your account needs a second step"),
        text=_("Here a password alone is not enough, and no authenticator app is set up for you."),
        next_step=_("Ask your administrator to set one up."),
    )
