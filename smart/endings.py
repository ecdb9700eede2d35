"""What follows from changes below: grants end, requests go on (D3). Connected once at start."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from audit import events
from authfi.accounts import signals
from authfi.accounts.models import User
from consent.models import Consent
from consent.signals import consent_withdrawn
from smart.grants import end_grants
from smart.models import AuthorizationRequest, Grant

_ACTOR = events.Actor.system("grants")


def connect() -> None:
    """Connect the receivers; each runs inside the transaction of what it follows."""
    signals.user_deactivated.connect(_user_deactivated, dispatch_uid="smart.user_deactivated")
    signals.sessions_ended.connect(_sessions_ended, dispatch_uid="smart.sessions_ended")
    signals.roles_changed.connect(_roles_changed, dispatch_uid="smart.roles_changed")
    signals.session_replaced.connect(_session_replaced, dispatch_uid="smart.session_replaced")
    consent_withdrawn.connect(_consent_withdrawn, dispatch_uid="smart.consent_withdrawn")


def _user_deactivated(user: User, **_: Any) -> None:
    end_grants(reason="user_deactivated", actor=_ACTOR, user=user)


def _roles_changed(user: User, **_: Any) -> None:
    end_grants(reason="roles_changed", actor=_ACTOR, user=user)


def _sessions_ended(user: User, session_ids: Collection[UUID], **_: Any) -> None:
    """Access that lasts without the person goes on (REFR-14); all other ends (REFR-15)."""
    end_grants(
        reason="session_ended",
        actor=_ACTOR,
        user=user,
        session_id__in=session_ids,
        lasts__in=(Grant.Lasts.TOKEN, Grant.Lasts.ONLINE),
    )


def _session_replaced(former: UUID, session_id: UUID, **_: Any) -> None:
    """The browser goes on with what it was sent here for, as somebody else, who chooses anew."""
    open_requests = AuthorizationRequest.objects.filter(session_id=former, finished_at__isnull=True)
    open_requests.update(session_id=session_id, patient=None, encounter=None, consent_request=None)


def _consent_withdrawn(consent: Consent, actor: events.Actor, **_: Any) -> None:
    end_grants(reason="consent_withdrawn", actor=actor, consent=consent)
