"""Browser sessions of a tenant: found by a digest, sealed, ended by the server (N12, N14).

The cookie holds 256 random bits. A session keeps its row, and so its id, when a sign-in or a
step-up changes its cookie; the former value is worth nothing from that moment.
"""

import re
import secrets
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.http import HttpRequest
from django.utils import timezone

from authfi.accounts import signals
from authfi.accounts.models import KnownDevice, Session, User
from authfi.crypto import keyring
from authfi.lib.transaction import transaction
from tenants import policies
from tenants.policies import SessionLimits

# Nobody is signed in: it holds the secret of the sign-in page's form, and where to go afterwards.
ANONYMOUS = SessionLimits(absolute_seconds=12 * 3600, idle_seconds=12 * 3600)
TOUCH_SECONDS = 30
_KIND = "kind"
_COOKIE_VALUE = re.compile(r"[0-9a-f]{64}")


class SessionStore(SessionBase):
    """`request.session`: Django's interface over `models.Session`."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self.row: Session | None = None
        self.is_key_new = False
        #: What the browser is to be known by from now on (`devices`).
        self.device_value = ""

    def person(self) -> User | None:
        """Who is signed in."""
        self._load_once()
        return self.row.user if self.row else None

    def begin(self, user: User, *, kind: str, facts: Mapping[str, Any]) -> None:
        """Make it the session of a person, with a new cookie; forget what it held before.

        `kind` is `patient`, `clinician` or `admin`: whose limits hold. A session that was someone
        else's ends; what its browser was about to do goes on in the new one.
        """
        self._load_once()
        former = None
        if self.row and self.row.user_id not in (None, user.pk):
            former = self.row.pk
            end(cast("User", self.row.user), only=[former])
            self.row = None
        limits = policies.sign_in().limits(kind)
        ends_at = timezone.now() + timedelta(seconds=limits.absolute_seconds)
        self._session_cache = {_KIND: kind, **facts}
        row = self.row or Session()
        row.user, row.ends_at = user, ends_at
        try:
            self._write(row, key=secrets.token_hex(32))
        except UpdateError:
            # The form was sent twice: the other request changed the cookie.
            self._write(Session(user=user, ends_at=ends_at), key=secrets.token_hex(32))
        if former and self.row:
            signals.session_replaced.send(sender=Session, former=former, session_id=self.row.pk)

    def wait(self, seconds: int) -> None:
        """Begin a session of nobody's for something that does not wait longer."""
        self._load_once()
        ends_at = timezone.now() + timedelta(seconds=seconds)
        self._write(Session(ends_at=ends_at), key=secrets.token_hex(32))

    def strengthen(self, facts: Mapping[str, Any]) -> None:
        """Note what was proven since, with a new cookie; the absolute end stays.

        Raises UpdateError where the session has ended, or got another cookie, meanwhile.
        """
        self._load_once()
        self.update(facts)
        self._write(self.row or self._anonymous_row(), key=secrets.token_hex(32))

    def is_touch_due(self) -> bool:
        """Has it been a while since its last activity was noted?"""
        if self.row is None or self.row.user_id is None:
            return False
        return timezone.now() - self.row.last_seen_at >= timedelta(seconds=TOUCH_SECONDS)

    def load(self) -> dict[str, Any]:
        """What is stored, where the cookie is that of a session that has not ended."""
        row = (
            Session.objects.filter(
                key_digest=digest(self.session_key or ""), expires_at__gt=timezone.now()
            )
            .select_related("user")
            .prefetch_related("user__role_assignments")
            .first()
        )
        if row is None or (row.user and not row.user.is_active):
            self._session_key = None
            return {}
        self.row = row
        return dict(row.data)

    def save(self, must_create: bool = False) -> None:
        """Store it. Raises UpdateError where it has ended, or got another cookie, meanwhile."""
        self._load_once()
        if must_create or self.row is None:
            self._write(self._anonymous_row(), key=secrets.token_hex(32))
        else:
            self._write(self.row, key=cast("str", self.session_key))

    def create(self) -> None:
        """A new session that holds nothing."""
        self._session_cache = {}
        self.save(must_create=True)

    def exists(self, session_key: str) -> bool:
        """Is there a session with this cookie?"""
        return Session.objects.filter(key_digest=digest(session_key)).exists()

    def delete(self, session_key: str | None = None) -> None:
        """End a session that is nobody's yet; those of people end in `end`."""
        key = session_key or self.session_key
        if key:
            Session.objects.filter(key_digest=digest(key)).delete()
        self.row = None

    def _load_once(self) -> None:
        self.get(_KIND)  # the first access loads

    def _validate_session_key(self, key: str | None) -> bool:
        return bool(key and _COOKIE_VALUE.fullmatch(key))

    def _anonymous_row(self) -> Session:
        ends_at = timezone.now() + timedelta(seconds=ANONYMOUS.absolute_seconds)
        return Session(ends_at=ends_at)

    def _write(self, row: Session, *, key: str) -> None:
        """Insert or update; an update finds the row only by the cookie this request came with."""
        former_digest = row.key_digest
        row.key_digest, row.last_seen_at = digest(key), timezone.now()
        row.expires_at = self._expiry(row)
        row.data = dict(self._session_cache)
        if row._state.adding:
            row.save(force_insert=True)
        else:
            data = Session._meta.get_field("data")
            updated = Session.objects.filter(pk=row.pk, key_digest=former_digest).update(
                key_digest=row.key_digest,
                user=row.user_id,
                data=data.pre_save(row, add=False),
                last_seen_at=row.last_seen_at,
                ends_at=row.ends_at,
                expires_at=row.expires_at,
            )
            if not updated:
                raise UpdateError("the session has ended")
        self.row, self.modified = row, False
        if key != self.session_key:
            self._session_key, self.is_key_new = key, True

    def _expiry(self, row: Session) -> datetime:
        kind = self._session_cache.get(_KIND)
        limits = policies.sign_in().limits(kind) if row.user_id and kind else ANONYMOUS
        return min(row.ends_at, row.last_seen_at + timedelta(seconds=limits.idle_seconds))


def of(request: HttpRequest) -> SessionStore:
    """The request's session."""
    return cast("SessionStore", request.session)


def end(
    user: User, *, only: Collection[UUID] | None = None, keep: UUID | None = None
) -> list[UUID]:
    """End a person's sessions, or some of them; returns the ids of those that ended (N14).

    Where it is not some named ones, no device is known any longer either (D18).
    """
    with transaction():
        rows = Session.objects.filter(user=user)
        if keep is not None:
            rows = rows.exclude(pk=keep)
        if only is not None:
            rows = rows.filter(pk__in=only)
        else:
            KnownDevice.objects.filter(user=user).delete()
        ended = list(rows.values_list("pk", flat=True))
        if ended:
            Session.objects.filter(pk__in=ended).delete()
            signals.sessions_ended.send(sender=Session, user=user, session_ids=ended)
    return ended


def digest(cookie_value: str) -> str:
    """What is stored of a cookie's value: an HMAC under a key of the bound tenant."""
    return keyring.digest("accounts_session.key", cookie_value)


def cookie_name(slug: str) -> str:
    """One origin serves many tenants, so the cookie's name carries the slug (D2, K9)."""
    return f"__Host-authfi_{slug}" if settings.PRODUCTION else f"authfi_{slug}"
