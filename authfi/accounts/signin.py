"""Who is signed in, how strongly and since when; beginning and ending it (N13, N14, H7)."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import UpdateError
from django.http import HttpRequest
from django.middleware.csrf import rotate_token
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from audit import events, record
from authfi.accounts import devices, passwords, sessions, throttling
from authfi.accounts.mfa import totp
from authfi.accounts.models import CLINICAL_ROLES, CONSOLE_ROLES, Role, User
from authfi.accounts.people import find_by_email, roles_of
from authfi.lib.transaction import transaction
from tenants import policies

PASSWORD, ONE_TIME_CODE, MULTI_FACTOR = "pwd", "otp", "mfa"  # RFC 8176
SECOND_STEP_SECONDS = 600
_HALF = "half_signed_in"


@dataclass(frozen=True, slots=True)
class Assurance:
    """How strong a sign-in is: AAL 0 (nobody), 1 or 2; methods as RFC 8176; how old.

    `auth_time` is when the first method was passed, the password: a code that is added to it later
    makes the sign-in stronger, not younger.
    """

    aal: int = 0
    amr: tuple[str, ...] = ()
    auth_time: datetime | None = None
    session_digest: str = ""
    session_id: UUID | None = None


NOBODY = Assurance()


@dataclass(frozen=True, slots=True)
class Half:
    """Somebody whose password was right, and when; the code is still to come."""

    user: User
    since: datetime


def assurance(request: HttpRequest) -> Assurance:
    """The sign-in of the request's session."""
    session = sessions.of(request)
    if session.person() is None or session.row is None:
        return NOBODY
    return Assurance(
        aal=session["aal"],
        amr=tuple(session["amr"]),
        auth_time=datetime.fromtimestamp(session["auth_time"], UTC),
        session_digest=session.row.key_digest,
        session_id=session.row.pk,
    )


def person(request: HttpRequest) -> User | None:
    """Who is signed in."""
    return request.user if isinstance(request.user, User) else None


def whose(email: str) -> User | None:
    """The person who may sign in with that address; costs the same for all (V2)."""
    user = find_by_email(email)
    return user if user and user.is_active else None


def is_password_of(user: User | None, password: str, browser: str = "") -> bool:
    """Is it the person's password, and may it be tried now? A failure is counted and recorded.

    Whoever it is and whatever the answer, a password is hashed (V2, N6). `browser` is what
    `devices.value_of` gives. Raises passwords.BusyError, AuditUnavailableError.
    """
    with throttling.attempt(user, throttling.PASSWORD, browser) as attempt:
        if passwords.verify(user, password):
            attempt.succeed()
    if not attempt.is_right:
        record_failure(events.Code.LOGIN_FAIL, user, _reason(user, attempt), *attempt.delayed())
    return attempt.is_right


def is_code_of(user: User, code: str, browser: str = "") -> bool:
    """Is it a code of the person's authenticator app, and may it be tried now (N6, N8)?

    A failure is counted and recorded. Raises AuditUnavailableError.
    """
    with throttling.attempt(user, throttling.TOTP, browser) as attempt:
        if attempt.is_open and totp.verify(user, code):
            attempt.succeed()
    if not attempt.is_right:
        record_failure(events.Code.MFA_FAIL, user, _reason(user, attempt), *attempt.delayed())
    return attempt.is_right


def _reason(user: User | None, attempt: throttling.Attempt) -> str:
    return "too many attempts" if user and not attempt.is_open else ""


def record_failure(
    code: events.Code, user: User | None, reason: str = "", *more: events.Event
) -> None:
    """Record a failed step, and what else it led to, in one commit; of somebody unknown nothing is
    kept that names them.
    """
    record.record(
        events.Event(
            code=code,
            outcome=events.Outcome.FAILURE,
            # Without roles: looking them up would tell a known account by the time it takes.
            actor=events.Actor.person(user.pk) if user else events.Actor.anonymous(),
            reason=reason or ("wrong secret" if user else "unknown account"),
        ),
        *more,
    )


def sign_in(
    request: HttpRequest, user: User, amr: Collection[str], *, since: datetime | None = None
) -> None:
    """Begin the person's session: new cookie, nothing kept of what it held before (N14).

    `amr` names the methods that were passed: `PASSWORD`, `ONE_TIME_CODE`. `since` is when the first
    of them was, by default now. The browser is a known device of theirs from then on.
    """
    facts = {**_facts(amr), "auth_time": (since or timezone.now()).timestamp()}
    with transaction():
        sessions.of(request).begin(user, kind=kind_of(user), facts=facts)
        devices.remember(request, user)
        record.record(
            events.Event(
                code=events.Code.LOGIN_OK,
                outcome=events.Outcome.SUCCESS,
                actor=actor(user, aal=facts["aal"]),
                details={"amr": facts["amr"]},
            )
        )
    rotate_token(request)
    request.user = user


def step_up(request: HttpRequest, amr: Collection[str]) -> None:
    """Add methods that were just passed to the sign-in that is there; changes the cookie (N13).

    `auth_time` stays: it is the password's.
    """
    held = assurance(request)
    with suppress(UpdateError):  # ended meanwhile: then nobody is signed in, which is asked again
        sessions.of(request).strengthen(_facts({*held.amr, *amr}))
        rotate_token(request)


def sign_out(request: HttpRequest) -> None:
    """End the session, here and for whatever stands on it."""
    session = sessions.of(request)
    user = session.person()
    if user and session.row:
        with transaction():
            sessions.end(user, only=[session.row.pk])
            record.record(
                events.Event(
                    code=events.Code.LOGOUT,
                    outcome=events.Outcome.SUCCESS,
                    actor=actor(user, aal=assurance(request).aal),
                )
            )
    session.flush()
    request.user = AnonymousUser()


def begin_second_step(request: HttpRequest, user: User) -> None:
    """Remember that the password was right; this opens nothing but the page of the code."""
    half = {
        "user": str(user.pk),
        "since": timezone.now().timestamp(),
        "password": user.get_session_auth_hash(),
    }
    with suppress(UpdateError):  # the form was sent twice: the other request's cookie counts
        sessions.of(request).strengthen({_HALF: half})
        rotate_token(request)


def half_signed_in(request: HttpRequest) -> Half | None:
    """Whose password was right a moment ago, if it is still theirs."""
    half = sessions.of(request).get(_HALF)
    if not half:
        return None
    since = datetime.fromtimestamp(half["since"], UTC)
    if timezone.now() > since + timedelta(seconds=SECOND_STEP_SECONDS):
        return None
    user = User.objects.filter(pk=half["user"], is_active=True).first()
    if user and constant_time_compare(user.get_session_auth_hash(), half["password"]):
        return Half(user, since)
    return None


def required_aal(user: User) -> int:
    """2, except for patients of a tenant whose policy lets them sign in with a password (H7)."""
    if roles_of(user) == {Role.PATIENT} and not policies.sign_in().patient_mfa:
        return 1
    return 2


def kind_of(user: User) -> str:
    """Whose session limits hold; of several roles the strictest (N12)."""
    roles = roles_of(user)
    if roles & CONSOLE_ROLES:
        return "admin"
    return "clinician" if roles & CLINICAL_ROLES else "patient"


def actor(user: User, *, aal: int = 0) -> events.Actor:
    """The person, for the audit trail."""
    return events.Actor.person(user.pk, roles=tuple(sorted(roles_of(user))), aal=aal)


def _facts(amr: Collection[str]) -> dict[str, Any]:
    methods = {PASSWORD, ONE_TIME_CODE} & set(amr)
    aal = 2 if len(methods) == 2 else 1
    return {"aal": aal, "amr": [*sorted(methods), *([MULTI_FACTOR] if aal == 2 else [])]}
