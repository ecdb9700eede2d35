"""Refresh tokens as rows: found and locked, rotated, and repeated once (D4, O13, O21, REFR-07).

Only digests are stored. The token that replaced another is kept for a client whose answer was
lost, sealed under a key that only the older token gives: a copy of the database opens nothing.
"""

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from authfi.accounts.models import Session
from authfi.crypto import envelope
from authfi.lib.compiled import Change, Query, Step, insert
from smart.models import Application, Grant, RefreshToken
from smart.models.handles import handle_digest, new_handle
from tenants import policies

GRACE: Final = timedelta(seconds=10)

_KIND = "refresh_token"
_TABLE, _COLUMN = "smart_refreshtoken", "successor"
_INFO = b"authfi refresh token successor"


def _rows(token: str, now: datetime) -> QuerySet[RefreshToken]:
    sessions = Session.objects.filter(pk=OuterRef("grant__session_id"), expires_at__gt=now)
    return (
        RefreshToken.objects.select_related("grant", "user")
        .annotate(has_session=Exists(sessions))
        .filter(token=token)
    )


def _rows_of(token: str, now: datetime, application: UUID) -> QuerySet[RefreshToken]:
    return _rows(token, now).filter(application_id=application)


_any = Query(
    lambda token, now: _rows(token, now).select_related("application"), token=str, now=datetime
)
_own = Query(_rows_of, token=str, now=datetime, application=UUID)
_locked_own = Query(
    lambda **values: _rows_of(**values).select_for_update(of=("self",)),
    token=str,
    now=datetime,
    application=UUID,
)
_prolong = Change(
    lambda key, lasts, expires_at: (
        Grant.objects.filter(pk=key, lasts=lasts, ended_at__isnull=True),
        {"expires_at": expires_at},
    ),
    key=UUID,
    lasts=str,
    expires_at=datetime,
)
_use = Change(
    lambda key, now, successor: (
        RefreshToken.objects.filter(pk=key),
        {"used_at": now, "successor": successor},
    ),
    key=UUID,
    now=datetime,
    successor=str,
)


@dataclass(frozen=True, slots=True)
class Found:
    """A stored refresh token with its grant and person, and what was sent."""

    raw: str
    row: RefreshToken
    has_session: bool

    @property
    def grant(self) -> Grant:
        """What it refreshes."""
        return self.row.grant

    def is_live(self, now: datetime) -> bool:
        """Whether it and all that it hangs on are in force; used or not (REFR-15, REFR-19)."""
        grant = self.grant
        return (
            self.row.expires_at > now
            and grant.ended_at is None
            and grant.expires_at > now
            and self.row.user.is_active
            and grant.lasts != Grant.Lasts.TOKEN
            and (grant.lasts != Grant.Lasts.ONLINE or self.has_session)
        )


def find(raw: str, application: Application | None = None, *, lock: bool = False) -> Found | None:
    """The row of a refresh token, of one app or any, in one statement.

    With `lock` nobody else can use it until the transaction ends.
    """
    values = {"token": handle_digest(_KIND, raw), "now": timezone.now()}
    if application is None:
        row = _any.first(**values)
    else:
        rows = _locked_own if lock else _own
        row = rows.first(**values, application=application.pk)
    if row is None:
        return None
    if application is not None:
        row.application = application
    row.grant.application = row.application
    return Found(raw, row, cast("Any", row).has_session)


def first(grant: Grant) -> str:
    """The first refresh token of a grant; it lasts as long as the grant does unused."""
    raw = new_handle()
    _insert(grant, grant.expires_at, raw)
    return raw


def first_after(grant: Grant, use: Step) -> str | None:
    """`first`, once what it is given for was used up; None where that hit nothing."""
    raw = new_handle()
    return raw if _insert(grant, grant.expires_at, raw, use) else None


def rotate(found: Found, now: datetime) -> str | None:
    """Use a locked token up and return the one that replaces it.

    None where the grant was ended, or its lasting access, at this very moment.
    """
    successor, row, grant = new_handle(), found.row, found.grant
    expires_at = _expires_at(grant, now)
    sealed = _seal(found, successor)
    is_done = _insert(
        grant,
        expires_at,
        successor,
        Step(_prolong, {"key": grant.pk, "lasts": str(grant.lasts), "expires_at": expires_at}),
        Step(_use, {"key": row.pk, "now": now, "successor": sealed}),
    )
    return successor if is_done else None


def successor_of(found: Found, now: datetime) -> str | None:
    """What replaced a token that was used, while it may be told again: soon, unused, once."""
    row = found.row
    if row.used_at is None or not row.successor or now - row.used_at > GRACE:
        return None
    successor = envelope.open_sealed(
        _key(found.raw), base64.b64decode(row.successor), _place(row)
    ).decode()
    unused = RefreshToken.objects.filter(
        token=handle_digest(_KIND, successor), used_at__isnull=True
    )
    return successor if unused.exists() else None


def forget_successor(found: Found) -> None:
    """It was told again: that happens once."""
    RefreshToken.objects.filter(pk=found.row.pk).update(successor="")


def _expires_at(grant: Grant, now: datetime) -> datetime:
    limits = policies.tokens().limits(patient_access=grant.application.patient_access)
    idle_end = now + limits.idle
    return min(idle_end, grant.refresh_ends_at) if grant.refresh_ends_at else idle_end


def _insert(grant: Grant, expires_at: datetime, raw: str, *after: Step) -> bool:
    row = RefreshToken(
        token=handle_digest(_KIND, raw),
        grant=grant,
        application=grant.application,
        user_id=cast("UUID", grant.user_id),
        expires_at=expires_at,
    )
    return insert(row, *after)


def _seal(found: Found, successor: str) -> str:
    sealed = envelope.seal(_key(found.raw), 0, successor.encode(), _place(found.row))
    return base64.b64encode(sealed).decode()


def _key(raw: str) -> bytes:
    return HKDF(SHA256(), envelope.KEY_BYTES, salt=None, info=_INFO).derive(raw.encode())


def _place(row: RefreshToken) -> bytes:
    return envelope.place(row.tenant_id, _TABLE, _COLUMN, row.pk)
