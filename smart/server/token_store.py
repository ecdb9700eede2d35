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

from authfi.accounts.models import Session, User
from authfi.crypto import envelope
from authfi.lib.compiled import Change, Query, Step, Write, insert
from smart.models import Application, Grant, RefreshToken
from smart.models.handles import handle_digest, new_handle
from tenants import policies

GRACE: Final = timedelta(seconds=10)

_KIND = "refresh_token"
_TABLE, _COLUMN = "smart_refreshtoken", "successor"
_INFO = b"authfi refresh token successor"


_READ_OF_PERSON: Final = ("id", "tenant_id", "is_active", "fhir_user")
#: Columns of a grant and its person that no exchange reads.
UNREAD: Final = (
    *("grant__patient_index", "grant__created_at", "grant__ended_reason", "grant__launch_context"),
    *(
        f"grant__user__{field.name}"
        for field in User._meta.concrete_fields
        if field.name not in _READ_OF_PERSON
    ),
)


def _rows(token: str, now: datetime, *related: str) -> QuerySet[RefreshToken]:
    sessions = Session.objects.filter(pk=OuterRef("grant__session_id"), expires_at__gt=now)
    return (
        RefreshToken.objects.select_related("grant__user", *related)
        .defer(*UNREAD)
        .annotate(has_session=Exists(sessions))
        .filter(token=token)
    )


_any = Query(lambda token, now: _rows(token, now, "grant__application"), token=str, now=datetime)
_own = Query(_rows, token=str, now=datetime)
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
        RefreshToken.objects.filter(pk=key, used_at__isnull=True),
        {"used_at": now, "successor": successor},
    ),
    key=UUID,
    now=datetime,
    successor=str,
)
_forget = Change(
    lambda key, successor: (
        RefreshToken.objects.filter(pk=key, successor=successor),
        {"successor": ""},
    ),
    key=UUID,
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

    @property
    def application(self) -> Application:
        """Whose it is."""
        return self.row.grant.application

    def is_live(self, now: datetime) -> bool:
        """Whether it and all that it hangs on are in force; used or not (REFR-15, REFR-19)."""
        grant, person = self.grant, self.grant.user
        return (
            self.row.expires_at > now
            and grant.ended_at is None
            and grant.expires_at > now
            and person is not None
            and person.is_active
            and grant.lasts != Grant.Lasts.TOKEN
            and (grant.lasts != Grant.Lasts.ONLINE or self.has_session)
        )


def find(raw: str, application: Application | None = None) -> Found | None:
    """The row of a refresh token, of one app or any, in one statement."""
    rows = _own if application else _any
    row = rows.first(token=handle_digest(_KIND, raw), now=timezone.now())
    if row is None:
        return None
    if application is not None:
        if row.grant.application_id != application.pk:
            return None
        row.grant.application = application
    return Found(raw, row, cast("Any", row).has_session)


def first(grant: Grant) -> str:
    """The first refresh token of a grant; it lasts as long as the grant does unused."""
    raw = new_handle()
    insert(_row(grant, grant.expires_at, raw))
    return raw


def first_after(grant: Grant, use: Step) -> tuple[str, Write]:
    """`first` as what is to be written, together with the use of what it is given for."""
    raw = new_handle()
    return raw, Write((use,), _row(grant, grant.expires_at, raw))


def rotate(found: Found, now: datetime) -> tuple[str, Write]:
    """The token that replaces another, and what is to be written for it.

    That hits nothing where the other was used, the grant ended, or its lasting access, meanwhile.
    """
    successor, row, grant = new_handle(), found.row, found.grant
    expires_at = _expires_at(grant, now)
    sealed = _seal(found, successor)
    steps = (
        Step(_prolong, {"key": grant.pk, "lasts": str(grant.lasts), "expires_at": expires_at}),
        Step(_use, {"key": row.pk, "now": now, "successor": sealed}),
    )
    return successor, Write(steps, _row(grant, expires_at, successor))


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


def forget_successor(found: Found) -> Write:
    """What is to be written when it is told again: that happens once."""
    return Write((Step(_forget, {"key": found.row.pk, "successor": found.row.successor}),))


def _expires_at(grant: Grant, now: datetime) -> datetime:
    limits = policies.tokens().limits(patient_access=grant.application.patient_access)
    idle_end = now + limits.idle
    return min(idle_end, grant.refresh_ends_at) if grant.refresh_ends_at else idle_end


def _row(grant: Grant, expires_at: datetime, raw: str) -> RefreshToken:
    token = handle_digest(_KIND, raw)
    return RefreshToken(token=token, grant_id=grant.pk, expires_at=expires_at)


def _seal(found: Found, successor: str) -> str:
    sealed = envelope.seal(_key(found.raw), 0, successor.encode(), _place(found.row))
    return base64.b64encode(sealed).decode()


def _key(raw: str) -> bytes:
    return HKDF(SHA256(), envelope.KEY_BYTES, salt=None, info=_INFO).derive(raw.encode())


def _place(row: RefreshToken) -> bytes:
    return envelope.place(row.tenant_id, _TABLE, _COLUMN, row.pk)
