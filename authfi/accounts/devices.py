"""Browsers from which people have signed in completely before (D18, N6).

A browser has one random value in a cookie of its own, which says nothing about anybody. Who signed
in there is known here only: a row for each person, found by a digest. Each complete sign-in gives
the browser another value, so that a copy of the former one is worth nothing; the rows of other
people who use the same browser move along. A known device proves nobody: it only keeps the
mistakes that are made there apart from those of strangers (`throttling`).
"""

import re
import secrets
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from authfi.accounts import sessions
from authfi.accounts.models import KnownDevice, User
from authfi.crypto import keyring
from authfi.lib import tenancy

#: A browser is known for so long after the last complete sign-in there.
LIFE = timedelta(days=90)
#: So many are remembered of a person; beyond that the one not used for longest falls.
MOST = 20
#: The key of no person.
NOBODY = UUID(int=0)
_VALUE = re.compile(r"[0-9a-f]{64}")


def value_of(request: HttpRequest) -> str:
    """What the browser is known by; "" where it brought nothing that could be ours."""
    value = request.COOKIES.get(cookie_name(tenancy.current().slug), "")
    return value if _VALUE.fullmatch(value) else ""


def find(user_id: UUID, browser: str) -> KnownDevice | None:
    """The device of a person whose browser has that value; who it is does not change the cost."""
    if not browser:
        return None
    return _live(browser).filter(user_id=user_id).first()


def remember(request: HttpRequest, user: User) -> None:
    """The person has signed in completely here: know the browser from now on, by a new value.

    To be called inside the transaction that notes the sign-in.
    """
    former, value = value_of(request), secrets.token_hex(32)
    expires_at = timezone.now() + LIFE
    if former:
        _live(former).update(key_digest=digest(value))
    if not (former and _live(value).filter(user=user).update(expires_at=expires_at)):
        KnownDevice.objects.create(user=user, key_digest=digest(value), expires_at=expires_at)
        _drop_surplus(user)
    sessions.of(request).device_value = value


def digest(value: str) -> str:
    """What is stored of a browser's value: an HMAC under a key of the bound tenant."""
    return keyring.digest("accounts_device.key", value)


def cookie_name(slug: str) -> str:
    """Beside the session's name; no slug has an underscore."""
    return f"__Host-authfi_device_{slug}" if settings.PRODUCTION else f"authfi_device_{slug}"


def _live(browser: str) -> QuerySet[KnownDevice]:
    return KnownDevice.objects.filter(key_digest=digest(browser), expires_at__gt=timezone.now())


def _drop_surplus(user: User) -> None:
    known = KnownDevice.objects.filter(user=user).order_by("-expires_at", "pk")
    if surplus := list(known.values_list("pk", flat=True)[MOST:]):
        known.filter(pk__in=surplus).delete()
