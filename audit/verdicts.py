"""What the console says of a trail: verified a moment ago, however long it is (A9).

A short trail is read in full each time. Of a long one only the last signed checkpoint and what
follows it are read at once; all of it is read in the background, and what was found there is an
event of the trail itself (docs/decisions/0007-long-trails-are-read-in-the-background.md).
"""

import threading
import time
from dataclasses import replace
from uuid import UUID

from audit import record, verify
from audit.chain import Break
from audit.events import Actor, Code, Event, Outcome
from audit.models import AuditCheckpoint, AuditEvent, actor_index
from audit.verify import Verification
from authfi.crypto.envelope import SealBrokenError
from authfi.lib import tenancy
from authfi.lib.tenancy import TenantRef
from authfi.lib.ttl import Ttl

#: Events that are read within a second or two.
SHORT = 50_000
_READER = Actor.system("audit-verification")

MAX_AGE_SECONDS = 20.0
_recent: Ttl[UUID, Verification] = Ttl(MAX_AGE_SECONDS)
#: Two tenants may share one; a lock for each would stay for ever.
_one_at_a_time = tuple(threading.Lock() for _ in range(64))


def recent(tenant: TenantRef, max_age_seconds: float = MAX_AGE_SECONDS) -> Verification:
    """The last verdict of this process if it is recent, else a new one. Raises as `verify`.

    Pages that ask meanwhile share one verification, so it is as old as its end.
    """
    with _one_at_a_time[tenant.id.int % len(_one_at_a_time)]:
        hit = _recent.get(tenant.id)
        if hit and time.monotonic() - hit.at < max_age_seconds:
            return hit.value
        fresh = _verdict(tenant)
        return _recent.put(tenant.id, fresh, time.monotonic())


def read_in_full(tenant: TenantRef) -> Verification:
    """Read the whole trail; where it is long or broken, record what was found. Raises as `verify`.

    Raises record.AuditUnavailableError too.
    """
    found = verify.verify(tenant)
    if found.broken or found.count > SHORT:
        record.record_for(tenant, _event(found))
    return found


def _verdict(tenant: TenantRef) -> Verification:
    with tenancy.bind(tenant):
        if not AuditCheckpoint.objects.filter(size__gt=SHORT).exists():
            return verify.verify(tenant)
        told = _last_event()
        behind = _break_in(told) if told else None
    found = verify.verify(tenant, tail=True)
    return replace(found, broken=found.broken or behind, full_at=told.at if told else None)


def _last_event() -> AuditEvent | None:
    """The newest of a reading in full; by its actor, since codes have no index."""
    events = AuditEvent.objects.filter(actor_index=actor_index(_READER.id))
    return events.filter(code=Code.AUDIT_VERIFY).order_by("-at", "-seq").first()


def _break_in(told: AuditEvent) -> Break | None:
    """What a reading in full found."""
    if told.outcome == Outcome.SUCCESS:
        return None
    try:
        return Break(told.details["seq"], told.details["cause"])
    except (SealBrokenError, KeyError):
        return Break(told.seq, "was changed")


def _event(found: Verification) -> Event:
    details: dict[str, object] = {"last": found.last_seq}
    if found.broken:
        details |= {"seq": found.broken.seq, "cause": found.broken.reason}
    return Event(
        code=Code.AUDIT_VERIFY,
        outcome=Outcome.FAILURE if found.broken else Outcome.SUCCESS,
        actor=_READER,
        reason="the trail is broken" if found.broken else "",
        details=details,
    )
