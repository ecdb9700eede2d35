"""A write is announced before it is tried, and its outcome told after (design D7; V8, V9).

The announcement is an event and a row of `WriteIntent`, made in one transaction; the outcome is
an event that takes the row away. What stays is found by a sweep and told as an anomaly.
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from audit.events import Actor, Code, Event, Outcome
from audit.record import record
from authfi.lib import database, requestinfo
from authfi.lib.requestinfo import RequestInfo
from authfi.lib.tenancy import TenantRef
from authfi.lib.transaction import transaction
from smart.models import WriteIntent

#: How long an upstream call and its outcome's event may take before the write counts as orphaned.
ORPHANED_SECONDS: Final = 120
#: Told by one sweep of one tenant; the next one tells of the rest.
_MOST: Final = 1000


async def announce(tenant: TenantRef, intent: UUID, event: Event) -> None:
    """Store the intent's event, which names it in its details; durable on return.

    Raises AuditUnavailableError, DatabaseError: nothing is stored then.
    """
    await database.run(tenant, _announce, intent, event)


async def conclude(tenant: TenantRef, intent: UUID, event: Event) -> None:
    """Store the outcome's event; durable on return. Raises as `announce`."""
    await database.run(tenant, _conclude, intent, event)


def report_orphans(now: datetime) -> int:
    """Tell of the bound tenant's writes without an outcome, each once; returns how many.

    The event has the request id of the write and stands under its patient.
    """
    before = now - timedelta(seconds=ORPHANED_SECONDS)
    orphans = WriteIntent.objects.filter(created_at__lt=before).order_by("created_at")[:_MOST]
    return sum(_report(orphan) for orphan in orphans)


def _announce(intent: UUID, event: Event) -> None:
    with transaction():
        WriteIntent.objects.create(
            id=intent,
            client_id=event.client_id,
            request_id=requestinfo.current().request_id,
            about={
                "patient": event.patient,
                "object": event.object,
                "interaction": str(event.details["interaction"]),
            },
        )
        record(event)


def _conclude(intent: UUID, event: Event) -> None:
    with transaction():
        WriteIntent.objects.filter(pk=intent).delete()
        record(event)


def _report(orphan: WriteIntent) -> bool:
    with requestinfo.serving(RequestInfo(request_id=orphan.request_id)), transaction():
        found, _ = WriteIntent.objects.filter(pk=orphan.pk).delete()
        if not found:
            return False
        record(
            Event(
                code=Code.AUDIT_ANOMALY,
                outcome=Outcome.FAILURE,
                actor=Actor.system("orphan-writes"),
                client_id=orphan.client_id,
                patient=orphan.about["patient"],
                object=orphan.about["object"],
                reason="A write was announced, but its outcome was never recorded.",
                rule="write.outcome",
                details={
                    "intent": str(orphan.pk),
                    "interaction": orphan.about["interaction"],
                    "announced_at": orphan.created_at,
                },
            )
        )
    return True
