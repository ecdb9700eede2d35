"""Failures in a row of each way to sign in: waiting, then an end (N6, V2, D18; NIST 800-63B 3.2.2).

An attempt is counted before it is judged, so that many at once gain nothing, and is taken back
when it was right. From the fifth failure on the next attempt has to wait, 30 seconds doubling to an
hour; what comes earlier is not judged. At fifty the authenticator is disabled until the person
gets a new one.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, QuerySet
from django.utils import timezone

from audit import events, record
from authfi.accounts.models import AuthenticatorFailures, User
from authfi.lib.transaction import transaction

PASSWORD, TOTP = "password", "totp"
DELAYED_AT, DISABLED_AT = 5, 50
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=30), timedelta(hours=1)
_TRIES = 5
_NOBODY = UUID(int=0)


@dataclass(slots=True)
class Attempt:
    """One attempt. `is_open` says whether it may be judged at all; `succeed` that it was right."""

    user: User | None
    authenticator: str
    number: int = 0
    is_open: bool = False
    is_right: bool = field(default=False, init=False)

    def succeed(self) -> None:
        """It was right: the failures before it are forgotten."""
        self.is_right = self.is_open


@contextmanager
def attempt(user: User | None, authenticator: str) -> Iterator[Attempt]:
    """Count an attempt of a person, or of nobody we know; take it back where it cannot be judged.

    With nobody as many statements are sent, so that the time does not tell who has an account.
    """
    made = _claimed(user, authenticator)
    try:
        yield made
    except BaseException:
        if made.is_open:
            _rows(made).update(failures=F("failures") - 1)
        raise
    if made.is_right:
        _rows(made).filter(disabled_at=None).update(failures=0, last_failed_at=None)
    elif made.is_open and made.number in (DELAYED_AT, DISABLED_AT):
        _lock(made)


def wait_seconds(user: User, authenticator: str) -> int | None:
    """How long the next attempt has to wait; None where the authenticator is disabled."""
    row = AuthenticatorFailures.objects.filter(user=user, authenticator=authenticator).first()
    if row is None:
        return 0
    if row.disabled_at:
        return None
    return max(0, math.ceil(_wait(row, timezone.now()).total_seconds()))


def rebind(user: User, authenticator: str) -> None:
    """The person has a new one, which has failed nothing yet."""
    AuthenticatorFailures.objects.update_or_create(
        user=user,
        authenticator=authenticator,
        defaults={"failures": 0, "last_failed_at": None, "disabled_at": None},
    )


def delay_after(failures: int) -> timedelta:
    """How long to wait after so many failures in a row."""
    if failures < DELAYED_AT:
        return timedelta(0)
    doublings = min(failures - DELAYED_AT, 10)
    return min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)


def _claimed(user: User | None, authenticator: str) -> Attempt:
    """Compare and swap: of several that read the same count one goes on, the others look again."""
    made = Attempt(user, authenticator)
    for _ in range(_TRIES):
        row = _rows(made).first()
        if row is None and user:
            row = AuthenticatorFailures(user=user, authenticator=authenticator)
            AuthenticatorFailures.objects.bulk_create([row], ignore_conflicts=True)
        failures, now = row.failures if row else 0, timezone.now()
        if row and (row.disabled_at or _wait(row, now) > timedelta(0)):
            return made
        claimed = _rows(made).filter(failures=failures, disabled_at=None)
        if claimed.update(failures=failures + 1, last_failed_at=now) or user is None:
            made.number, made.is_open = failures + 1, user is not None
            return made
    return made


def _rows(made: Attempt) -> QuerySet[AuthenticatorFailures]:
    return AuthenticatorFailures.objects.filter(
        user_id=made.user.pk if made.user else _NOBODY, authenticator=made.authenticator
    )


def _wait(row: AuthenticatorFailures, now: datetime) -> timedelta:
    """How long the next attempt is not judged; negative where it is."""
    if row.last_failed_at is None:
        return timedelta(0)
    return row.last_failed_at + delay_after(row.failures) - now


def _lock(made: Attempt) -> None:
    """Say that it waits from now on; at fifty, end it."""
    is_end = made.number >= DISABLED_AT
    with transaction():
        if is_end:
            _rows(made).update(disabled_at=timezone.now())
        record.record(
            events.Event(
                code=events.Code.LOCK,
                outcome=events.Outcome.SUCCESS,
                actor=events.Actor.system("sign-in"),
                object=f"User/{made.user.pk if made.user else ''}",
                reason=f"{made.authenticator} {'disabled' if is_end else 'delayed'}",
                details={"failures": made.number},
            )
        )
