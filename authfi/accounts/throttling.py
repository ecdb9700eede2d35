"""Failures in a row of each way to sign in: waiting, then an end (N6, V2, D18; NIST 800-63B 3.2.2).

They are counted of each known device apart, and of all others together: who knows no more than an
e-mail address can make the person wait, or end the authenticator, where they never signed in, and
nowhere else. A right attempt takes back the failures of its own place only.

An attempt is counted before it is judged, so that many at once gain nothing, and is taken back
when it was right. From the fifth failure on the next attempt has to wait, 30 seconds doubling to an
hour; what comes earlier is not judged. At fifty the authenticator is disabled there until the
person gets a new one, and everywhere once those of all places together are a hundred (NIST
800-63B 5.2.2). Strangers alone never get so far: their place ends at fifty.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError
from django.db.models import F, QuerySet
from django.utils import timezone

from audit import events, record
from authfi.accounts import devices
from authfi.accounts.models import AuthenticatorFailures, KnownDevice, User
from authfi.lib.transaction import transaction

PASSWORD, TOTP = "password", "totp"
#: Failures at one place, and at all places together.
DELAYED_AT, DISABLED_AT, DISABLED_EVERYWHERE_AT = 5, 50, 100
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=30), timedelta(hours=1)
_TRIES = 5


@dataclass(slots=True)
class Attempt:
    """One attempt. `is_open` says whether it may be judged at all; `succeed` that it was right.

    It is the `number`th failure at its place, and the `total`th of all places, unless it is right.
    """

    user: User | None
    authenticator: str
    device: KnownDevice | None = None
    number: int = 0
    total: int = 0
    is_open: bool = False
    is_right: bool = field(default=False, init=False)

    def succeed(self) -> None:
        """It was right: the failures before it are forgotten."""
        self.is_right = self.is_open

    def delayed(self) -> tuple[events.Event, ...]:
        """What the trail is told where this failure makes the next attempt wait for the first time.

        It goes in with the failure's own event: a commit of its own would tell by its time who has
        an account.
        """
        is_told = self.is_open and not self.is_right and self.number == DELAYED_AT
        return (_locked(self, "delayed"),) if is_told else ()


@contextmanager
def attempt(user: User | None, authenticator: str, browser: str = "") -> Iterator[Attempt]:
    """Count an attempt of a person, or of nobody we know; take it back where it cannot be judged.

    `browser` is what `devices.value_of` gives. With nobody as many statements are sent, so that
    the time does not tell who has an account.
    """
    device = devices.find(user.pk if user else devices.NOBODY, browser)
    made = _claimed(Attempt(user, authenticator, device))
    try:
        yield made
    except BaseException:
        if made.is_open:
            _rows(made).update(failures=F("failures") - 1)
        raise
    if made.is_right:
        _rows(made).filter(disabled_at=None).update(failures=0, last_failed_at=None)
    elif made.total >= DISABLED_EVERYWHERE_AT:
        _disable_everywhere(made)
    elif made.is_open and made.number == DISABLED_AT:
        _disable(made)


def wait_seconds(user: User, authenticator: str, browser: str = "") -> int | None:
    """How long the next attempt of that browser has to wait; None where it will not be judged."""
    row, total = _counted(Attempt(user, authenticator, devices.find(user.pk, browser)))
    if total >= DISABLED_EVERYWHERE_AT or (row and row.disabled_at):
        return None
    return max(0, math.ceil(_wait(row, timezone.now()).total_seconds())) if row else 0


def is_disabled(user: User, authenticator: str) -> bool:
    """Has anybody failed so often that it was disabled, wherever?"""
    return _everywhere(user.pk, authenticator).exclude(disabled_at=None).exists()


def rebind(user: User, authenticator: str) -> None:
    """The person has a new one, which has failed nothing yet, anywhere."""
    _count_as_one(user, authenticator, failures=0, last_failed_at=None, disabled_at=None)


def delay_after(failures: int) -> timedelta:
    """How long to wait after so many failures in a row."""
    if failures < DELAYED_AT:
        return timedelta(0)
    doublings = min(failures - DELAYED_AT, 10)
    return min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)


def _claimed(made: Attempt) -> Attempt:
    """Compare and swap: of several that read the same count one goes on, the others look again.

    Where the attempt has to wait the statement that would count it is sent as well, and matches
    nothing: its absence would tell that there is such an account (V2).
    """
    user = made.user
    for _ in range(_TRIES):
        row, total = _counted(made)
        is_closed = total >= DISABLED_EVERYWHERE_AT
        if row is None and user and not is_closed:
            row = _new_row(user, made)
        failures, now = row.failures if row else 0, timezone.now()
        is_closed |= row is not None and bool(row.disabled_at or _wait(row, now) > timedelta(0))
        claimed = _rows(made).filter(failures=failures, disabled_at=None)
        if is_closed:
            claimed = claimed.filter(authenticator="")
        if claimed.update(failures=failures + 1, last_failed_at=now) or user is None:
            made.number = failures + 1
            # Read again, so that many devices at once get no more than a hundred. Strangers are one
            # place, and a statement more would tell them that there is such an account (V2).
            made.total = _counted(made)[1] if made.device else total + 1
            made.is_open = user is not None and made.total <= DISABLED_EVERYWHERE_AT
            return made
        if is_closed:
            return made
    return made


def _counted(made: Attempt) -> tuple[AuthenticatorFailures | None, int]:
    """What is counted at the attempt's place, and the failures of all places together."""
    rows = list(_everywhere(made.user.pk if made.user else devices.NOBODY, made.authenticator))
    place = made.device.pk if made.device else None
    here = next((row for row in rows if row.device_id == place), None)
    return here, sum(row.failures for row in rows)


def _new_row(user: User, made: Attempt) -> AuthenticatorFailures:
    """The first failure of that place, unless another has just added it."""
    row = AuthenticatorFailures(user=user, authenticator=made.authenticator, device=made.device)
    try:
        AuthenticatorFailures.objects.bulk_create([row], ignore_conflicts=True)
    except IntegrityError:  # its device has just been ended
        made.device = None
    return row


def _rows(made: Attempt) -> QuerySet[AuthenticatorFailures]:
    user_id = made.user.pk if made.user else devices.NOBODY
    return _everywhere(user_id, made.authenticator).filter(device=made.device)


def _everywhere(user_id: UUID, authenticator: str) -> QuerySet[AuthenticatorFailures]:
    return AuthenticatorFailures.objects.filter(user_id=user_id, authenticator=authenticator)


def _count_as_one(user: User, authenticator: str, **counted: object) -> None:
    """One row for all places from now on, which is there however many devices end."""
    rows = _everywhere(user.pk, authenticator)
    # This row first: whoever else does the same waits for it, so that neither blocks the other.
    rows.update_or_create(user=user, authenticator=authenticator, device=None, defaults=counted)
    rows.exclude(device=None).delete()


def _wait(row: AuthenticatorFailures, now: datetime) -> timedelta:
    """How long the next attempt is not judged; negative where it is."""
    if row.last_failed_at is None:
        return timedelta(0)
    return row.last_failed_at + delay_after(row.failures) - now


def _disable(made: Attempt) -> None:
    """End it for the place that failed so often."""
    with transaction():
        _rows(made).update(disabled_at=timezone.now())
        record.record(_locked(made, "disabled"))


def _disable_everywhere(made: Attempt) -> None:
    """End it for all places, those not seen yet as well, however often their devices change."""
    if made.user is None:
        return
    with transaction():
        _count_as_one(
            made.user,
            made.authenticator,
            failures=made.total,
            last_failed_at=timezone.now(),
            disabled_at=timezone.now(),
        )
        record.record(_locked(made, "disabled everywhere", place="all", failures=made.total))


def _locked(made: Attempt, what: str, *, place: str = "", failures: int = 0) -> events.Event:
    """By default of the attempt's own place."""
    return events.Event(
        code=events.Code.LOCK,
        outcome=events.Outcome.SUCCESS,
        actor=events.Actor.system("sign-in"),
        object=f"User/{made.user.pk if made.user else ''}",
        reason=f"{made.authenticator} {what}",
        details={
            "failures": failures or made.number,
            "device": place or ("known" if made.device else "unknown"),
        },
    )
