"""The authorize endpoint: take in a request, let its person sign in and decide, answer the app.

SMART App Launch 2.2.0, "Obtain authorization code"; AUTZ-01 to AUTZ-24, EHRL-04 to EHRL-10.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import wraps
from typing import Final, cast
from uuid import UUID

from django.core.exceptions import RequestDataTooBig
from django.http import HttpResponse, UnreadablePostError
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from audit import events, record
from audit.record import AuditUnavailableError
from authfi.accounts import sessions, signin, stepup
from authfi.accounts.mfa import totp
from authfi.accounts.models import Session, User
from authfi.lib.going_on import SeeOther
from consent import requests, services
from consent.models import Consent
from smart.models import Application, AuthorizationRequest
from smart.server import authorize_checks as checks
from smart.server import authorize_consent, client_auth, redirect_uris
from smart.server import authorize_grant as granting
from smart.server.errors import (
    AccessDenied,
    ClientNotProvenError,
    ConsentRequired,
    InteractionRequired,
    LoginRequired,
    OAuthError,
    error_redirect,
)
from smart.server.patient_context import ToChooseError
from tenants import limits, pages
from tenants.http import TenantRequest

LIFE_SECONDS: Final = 15 * 60
ANONYMOUS_SECONDS: Final = 30 * 60

_SIGN_IN_AGAIN: Final = frozenset({"login", "select_account"})

View = Callable[..., HttpResponse]


def _page(*methods: str) -> Callable[[View], View]:
    """Only these methods; nothing kept, nothing told to the next site (AUTZ-24); no trail, no
    access (V8).
    """

    def decorate(view: View) -> View:
        @csrf_exempt
        @wraps(view)
        def wrapper(request: TenantRequest, **kwargs: UUID) -> HttpResponse:
            if request.method not in methods:
                text = _("Apps ask for access in another way here.")
                response = _error_page(request, text, status=405)
                response["Allow"] = ", ".join(methods)
            else:
                try:
                    response = view(request, **kwargs)
                except AuditUnavailableError:
                    response = _error_page(request, _("Nothing was changed."), status=503)
            response["Cache-Control"] = "no-store"
            if "Location" in response:  # an error page has the form that signs out
                response["Referrer-Policy"] = "no-referrer"
            return response

        return wrapper

    return decorate


@_page("GET", "POST")
def authorize(request: TenantRequest) -> HttpResponse:
    """Check a request, keep it, and go on at an address of our own.

    A POST comes from the app's own site, without our cookie (SameSite): it is taken in for no
    session, and setting a cookie here would sign out whoever is signed in (AUTZ-02).
    """
    try:
        asked = checks.parse(request.META.get("QUERY_STRING", ""), _form(request))
    except ClientNotProvenError as error:
        return _not_proven(request, error, "")
    try:
        application, redirect_uri = checks.find_client(asked)
    except ClientNotProvenError as error:
        return _not_proven(request, error, asked.get("client_id"))
    try:
        checked = checks.check(asked, application, redirect_uri)
    except OAuthError as error:
        return _denied(request, application, redirect_uri, checks.state_of(asked), error)
    if seconds := limits.count_visit():
        return pages.too_many(request, seconds)
    kept = _keep(request, checked)
    return SeeOther(reverse("authorize-continue", kwargs={"request_id": kept.pk}))


@_page("GET")
def authorize_continue(request: TenantRequest, request_id: UUID) -> HttpResponse:
    """Go on with a kept request: sign-in, then consent, then the answer; each comes back here."""
    kept = _find(request, request_id)
    if kept is None:
        return _not_open(request, request_id, "the request is not one of this browser's")
    if not kept.application.is_usable(request):  # suspended since it asked
        inactive = ClientNotProvenError("the client_id is not that of an active app")
        return _not_proven(request, inactive, kept.application.client_id)
    asked = granting.Pending.of(kept)
    if kept.finished_at is not None:
        again = granting.answer_again(asked, signin.person(request))
        return again or _not_open(request, request_id, "the request was answered before")
    try:
        if kept.expires_at <= timezone.now():
            raise AccessDenied("the sign-in took too long")
        return _sign_in(request, asked) or _decide(request, asked)
    except OAuthError as error:
        return _denied(request, kept.application, asked.redirect_uri, asked.state, error)


def _sign_in(request: TenantRequest, asked: granting.Pending) -> HttpResponse | None:
    """None once the person is signed in as strongly and freshly as needed.

    Raises LoginRequired where `prompt=none` forbids to ask.
    """
    page = stepup.require(
        request,
        aal=_aal(request, asked),
        since=_signed_in_since(request, asked),
        form_action=redirect_uris.origin_of(asked.redirect_uri),
        login_hint=asked.login_hint,
    )
    if page is not None and "none" in asked.prompt:
        raise LoginRequired("the person is not signed in, or not strongly enough")
    return page


def _aal(request: TenantRequest, asked: granting.Pending) -> int:
    """The level to reach: what the app would like, of who has a second factor (N13)."""
    user = signin.person(request)
    if user is None or asked.aal <= signin.assurance(request).aal:
        return 1
    return asked.aal if totp.is_enrolled(user) else 1


def _signed_in_since(request: TenantRequest, asked: granting.Pending) -> datetime | None:
    """No older may the sign-in be. Ages count from the request, so that `max_age=0` can be met.

    `select_account` is a sign-in, too: its page takes whichever account is given, as it is where
    the app hints at somebody else than who is signed in (OIDC Core 3.1.2.1).
    """
    came_in = asked.kept.created_at
    if _SIGN_IN_AGAIN & set(asked.prompt) or _is_hinted_elsewhere(request, asked):
        return came_in
    return None if asked.max_age is None else came_in - timedelta(seconds=asked.max_age)


def _is_hinted_elsewhere(request: TenantRequest, asked: granting.Pending) -> bool:
    user = signin.person(request)
    hint = asked.login_hint.strip().casefold()
    return bool(user and hint) and str(cast("User", user).email).casefold() != hint


def _decide(request: TenantRequest, asked: granting.Pending) -> HttpResponse:
    """Ask for what is missing, or act on the answer. Raises errors.OAuthError."""
    user, held = cast("User", request.user), signin.assurance(request)
    try:
        offer = granting.offer(asked, user, _actor(request))
    except ToChooseError as missing:
        if "none" in asked.prompt:
            raise InteractionRequired("the person must choose a record") from missing
        return SeeOther(reverse(f"choose-{missing.choice}", args=[asked.kept.pk]))
    question = asked.kept.consent_request_id
    if question:
        answer = services.decision_of(question, user=user, session_digest=held.session_digest)
        if answer is not None and answer.decision == Consent.Decision.ALLOW:
            return granting.allow(asked, offer, answer, user=user, held=held)
        if answer is not None:
            granting.deny(asked)
            raise AccessDenied("the person refused access")
    elif remembered := authorize_consent.remembered_answer(asked, offer, user):
        return granting.allow(asked, offer, remembered, user=user, held=held)
    if "none" in asked.prompt:
        raise ConsentRequired("the person must decide")
    if not (question and _is_open(question, user, held)):
        question = authorize_consent.ask(request, asked, offer, user).pk
    return SeeOther(reverse("consent", args=[question]))


def _is_open(question: UUID, user: User, held: signin.Assurance) -> bool:
    found = requests.find(question, user=user, session_digest=held.session_digest)
    return found is not None and found.expires_at > timezone.now()


def _form(request: TenantRequest) -> str | None:
    """The body of a POST, a form in ASCII; None for a GET. Raises ClientNotProvenError."""
    if request.method == "GET":
        return None
    if request.content_type != "application/x-www-form-urlencoded":
        raise ClientNotProvenError("the request is not a form")
    try:
        return request.body.decode("ascii")
    except (RequestDataTooBig, UnreadablePostError) as error:
        raise ClientNotProvenError("the request is too long, or was cut off") from error
    except UnicodeDecodeError as error:
        raise ClientNotProvenError("the request is not a form in UTF-8") from error


def _keep(request: TenantRequest, checked: checks.Checked) -> AuthorizationRequest:
    """Keep a checked request for the browser session that brought it, if it brought one."""
    is_from_here = request.method == "GET"
    kept = AuthorizationRequest(
        session_id=(_session_id(request) or _new_session(request)) if is_from_here else None,
        application=checked.application,
        launch_context=checked.launch,
        parameters={
            "redirect_uri": checked.redirect_uri,
            "state": checked.state,
            "code_challenge": checked.code_challenge,
            "audience": checked.audience,
            "nonce": checked.nonce,
            "prompt": sorted(checked.prompt),
            "max_age": checked.max_age,
            "login_hint": checked.login_hint,
            "aal": checked.aal,
            "scope": checked.scope,
        },
        expires_at=timezone.now() + timedelta(seconds=LIFE_SECONDS),
    )
    kept.save(force_insert=True)
    return kept


def _find(request: TenantRequest, request_id: UUID) -> AuthorizationRequest | None:
    """The kept request, for its own browser session only.

    One that came by POST becomes this session's, if it is nobody's yet: only the browser that was
    sent here knows its address.
    """
    session_id = _session_id(request)
    unclaimed = AuthorizationRequest.objects.filter(pk=request_id, session_id__isnull=True)
    if session_id is None:
        if not unclaimed.exists():
            return None
        session_id = _new_session(request)
    unclaimed.update(session_id=session_id)
    return (
        AuthorizationRequest.objects.select_related("application", "launch_context")
        .filter(pk=request_id, session_id=session_id)
        .first()
    )


def _denied(
    request: TenantRequest,
    application: Application,
    redirect_uri: str,
    state: str,
    error: OAuthError,
) -> HttpResponse:
    """Tell the app, whose URI is proven, and the trail."""
    if seconds := limits.count_refusal():
        return pages.too_many(request, seconds)
    client_id = application.client_id
    _record_denied(_actor(request), error.description, error.error, client_id=client_id)
    return error_redirect(redirect_uri, error, state)


def _not_proven(
    request: TenantRequest, error: ClientNotProvenError, claimed_id: str
) -> HttpResponse:
    if seconds := limits.count_refusal():
        return pages.too_many(request, seconds)
    client_id, details = client_auth.named(claimed_id)
    _record_denied(
        _actor(request), str(error), "invalid_request", client_id=client_id, details=details
    )
    return _error_page(request, _("The app sent a request that cannot be used: %s.") % error)


def _not_open(request: TenantRequest, request_id: UUID, reason: str) -> HttpResponse:
    if seconds := limits.count_refusal():
        return pages.too_many(request, seconds)
    details = {"request": str(request_id)}
    _record_denied(_actor(request), reason, "invalid_request", details=details)
    return _error_page(request, _("This request for access is not open in this browser."))


def _session_id(request: TenantRequest) -> UUID | None:
    """The id of the browser's session: a sign-in in between changes its cookie, not its id."""
    session = sessions.of(request)
    session.person()  # loads it
    return session.row.pk if session.row else None


def _new_session(request: TenantRequest) -> UUID:
    """A session for a browser that has none yet; its cookie goes out with this answer.

    It lasts as long as a sign-in can take: what nobody follows up is swept soon.
    """
    session = sessions.of(request)
    session.wait(ANONYMOUS_SECONDS)
    return cast("Session", session.row).pk


def _actor(request: TenantRequest) -> events.Actor:
    user = signin.person(request)
    if user is None:
        return events.Actor.anonymous()
    return signin.actor(user, aal=signin.assurance(request).aal)


def _record_denied(
    actor: events.Actor,
    reason: str,
    rule: str,
    *,
    client_id: str = "",
    details: Mapping[str, str] | None = None,
) -> None:
    record.record(
        events.Event(
            code=events.Code.LAUNCH_DENY,
            outcome=events.Outcome.DENIED,
            actor=actor,
            client_id=client_id,
            reason=reason,
            rule=rule,
            details=details or {},
        )
    )


def _error_page(request: TenantRequest, text: str, status: int = 400) -> HttpResponse:
    return pages.error_page(
        request,
        status=status,
        title=_("The app could not be connected"),
        text=text,
        next_step=_("Go back to the app and start again. If it stays, tell the app's maker."),
    )
