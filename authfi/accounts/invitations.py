"""Invitations: a link with which a new person sets up how they sign in, once (N1, N8, H7).

Nothing of the account changes before the last step: what was entered waits in the sealed session.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils import timezone

from audit import events, record
from authfi.accounts import people, throttling
from authfi.accounts.models import Invitation, User
from authfi.crypto import keyring
from authfi.lib import tenancy
from authfi.lib.transaction import transaction
from tenants.http import issuer

LIFE = timedelta(hours=72)


class SpentError(Exception):
    """The invitation was used, has expired or was withdrawn meanwhile."""


@dataclass(frozen=True, slots=True)
class Authenticator:
    """An authenticator app that has shown a right code: its seed as hex, and the code's step."""

    seed: str
    step: int


def invite(*, user: User, actor: events.Actor) -> str:
    """The link for a person of the bound tenant, told only now; links made before are void.

    Raises ValidationError where the person has set up their account already, or may not sign in.
    """
    if not user.is_active or user.has_usable_password():
        raise ValidationError("This person has an account that is set up, or switched off.")
    handle, now = secrets.token_urlsafe(32), timezone.now()
    with transaction():
        Invitation.objects.filter(user=user, used_at=None).update(expires_at=now)
        Invitation.objects.create(user=user, handle_digest=_digest(handle), expires_at=now + LIFE)
        record.record(_event(events.Code.ADMIN_USER, user, actor, "invited"))
    return f"{issuer(tenancy.current())}/invitation/{handle}"


def find(handle: str) -> Invitation | None:
    """The invitation of that link, whatever has become of it."""
    found = Invitation.objects.filter(handle_digest=_digest(handle))
    return found.select_related("user").first()


def get(invitation_id: UUID | str) -> Invitation | None:
    """The invitation of that id, whatever has become of it."""
    return Invitation.objects.filter(pk=invitation_id).select_related("user").first()


def is_open(invitation: Invitation) -> bool:
    """Can it be accepted now?"""
    return (
        invitation.used_at is None
        and invitation.expires_at > timezone.now()
        and invitation.user.is_active
    )


def accept(
    *, invitation: Invitation, password_hash: str, authenticator: Authenticator | None
) -> User:
    """Give the person their password and their authenticator, and spend the invitation.

    Of several that try at once one succeeds. Raises SpentError.
    """
    now = timezone.now()
    with transaction():
        # One table only: with a join, of two that wait for each other both would count.
        spent = Invitation.objects.filter(pk=invitation.pk, used_at=None, expires_at__gt=now)
        if not spent.update(used_at=now):
            raise SpentError
        user = User.objects.filter(pk=invitation.user_id, is_active=True).first()
        if user is None:
            raise SpentError
        actor = events.Actor.person(user.pk, roles=tuple(sorted(people.roles_of(user))))
        user.password = password_hash
        user.save(update_fields=["password"])
        throttling.rebind(user, throttling.PASSWORD)
        record.record(_event(events.Code.ENROL, user, actor, "password"))
        if authenticator:
            people.enrol_totp(user, authenticator.seed, actor=actor, last_step=authenticator.step)
    return user


def _digest(handle: str) -> str:
    return keyring.digest("accounts_invitation.handle", handle)


def _event(code: events.Code, user: User, actor: events.Actor, reason: str) -> events.Event:
    return events.Event(
        code=code,
        outcome=events.Outcome.SUCCESS,
        actor=actor,
        object=f"User/{user.pk}",
        reason=reason,
    )
