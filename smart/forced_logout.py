"""Ending all that a person has open, at once: sessions, grants, tokens (A1, D3, REFR-15)."""

from dataclasses import dataclass

from django.utils import timezone

from audit import events, record
from authfi.accounts import sessions
from authfi.accounts.models import User
from authfi.lib.transaction import transaction
from smart.grants import end_grants


@dataclass(frozen=True, slots=True)
class Ended:
    """How many browser sessions and how many grants, with all their tokens, have ended."""

    sessions: int
    grants: int


def log_out(*, user: User, actor: events.Actor) -> Ended:
    """End every session and grant of a person of the bound tenant, access that lasts included.

    They may sign in again. Every process follows within five seconds (D3).
    """
    with transaction():
        grants = end_grants(
            reason="forced_logout", actor=actor, user=user, expires_at__gt=timezone.now()
        )
        ended = Ended(sessions=len(sessions.end(user)), grants=grants)
        record.record(
            events.Event(
                code=events.Code.ADMIN_SESSION,
                outcome=events.Outcome.SUCCESS,
                actor=actor,
                object=f"User/{user.pk}",
                reason="forced logout",
                details={"sessions": ended.sessions, "grants": ended.grants},
            )
        )
    return ended
