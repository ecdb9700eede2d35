"""Grants end in one place, and what ended here is known here at once (design D3)."""

from collections import OrderedDict
from typing import Any
from uuid import UUID

from django.db import transaction as django_transaction
from django.utils import timezone

from audit import events, record
from authfi.lib.transaction import transaction
from smart.models import Grant

#: Member of a grant's context: an EHR launch vouches for its patient (D16). The launch's own row is
#: swept long before.
LAUNCHED = "is_launched"

#: Grants ended by this process; the database knows them all.
_ended_here: OrderedDict[UUID, None] = OrderedDict()
_REMEMBERED = 10_000


def end_grants(*, reason: str, actor: events.Actor, **filters: Any) -> int:
    """End every live grant that the filters find (`user=`, `application=`, `consent=`, `id=`).

    `reason` is a short machine word, kept on the grant and in the trail. Each grant is one event
    (A3). Returns how many ended; their codes and tokens are dead with them.
    """
    with transaction():
        grants = list(
            Grant.objects.select_for_update(of=("self",))
            .select_related("application")
            .filter(ended_at__isnull=True, **filters)
            .order_by("id")
        )
        ids = [grant.id for grant in grants]
        if ids:
            Grant.objects.filter(id__in=ids).update(ended_at=timezone.now(), ended_reason=reason)
            record.record(*(_ended_event(grant, reason, actor) for grant in grants))
            django_transaction.on_commit(lambda: _remember(ids))
    return len(ids)


def ended_here(grant_id: UUID) -> bool:
    """True when this process ended the grant; False says nothing."""
    return grant_id in _ended_here


def notice_end(grant_id: UUID) -> None:
    """Remember a grant that another process ended, for the tokens that this one still holds."""
    if (
        not ended_here(grant_id)
        and Grant.objects.filter(pk=grant_id, ended_at__isnull=False).exists()
    ):
        _remember([grant_id])


def _ended_event(grant: Grant, reason: str, actor: events.Actor) -> events.Event:
    return events.Event(
        code=events.Code.TOKEN_REVOKE,
        outcome=events.Outcome.SUCCESS,
        actor=actor,
        client_id=grant.application.client_id,
        patient=grant.patient or "",
        object=f"Grant/{grant.id}",
        reason=reason,
        details={"on_behalf_of": str(grant.user_id or ""), "scopes": grant.scopes.split()},
    )


def _remember(ids: list[UUID]) -> None:
    for grant_id in ids:
        _ended_here[grant_id] = None
        if len(_ended_here) > _REMEMBERED:
            _ended_here.popitem(last=False)
