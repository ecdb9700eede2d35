"""What ends grants: signals of the layers below, connected once at start (D3)."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from audit import events
from authfi.accounts import signals
from authfi.accounts.models import User
from consent.models import Consent
from consent.signals import consent_withdrawn
from smart.grants import end_grants

_ACTOR = events.Actor.system("grants")


def connect() -> None:
    """Connect the receivers; each runs inside the transaction of what it follows."""
    signals.user_deactivated.connect(_user_deactivated, dispatch_uid="smart.user_deactivated")
    signals.sessions_ended.connect(_sessions_ended, dispatch_uid="smart.sessions_ended")
    signals.roles_changed.connect(_roles_changed, dispatch_uid="smart.roles_changed")
    consent_withdrawn.connect(_consent_withdrawn, dispatch_uid="smart.consent_withdrawn")


def _user_deactivated(user: User, **_: Any) -> None:
    end_grants(reason="user_deactivated", actor=_ACTOR, user=user)


def _roles_changed(user: User, **_: Any) -> None:
    end_grants(reason="roles_changed", actor=_ACTOR, user=user)


def _sessions_ended(user: User, session_ids: Collection[UUID], **_: Any) -> None:
    end_grants(reason="session_ended", actor=_ACTOR, user=user, session_id__in=session_ids)


def _consent_withdrawn(consent: Consent, **_: Any) -> None:
    end_grants(reason="consent_withdrawn", actor=_ACTOR, consent=consent)
