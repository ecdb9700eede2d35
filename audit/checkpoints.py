"""Signed checkpoints of a chain, so that its past cannot be rewritten as a whole (A6, A8)."""

from django.db import IntegrityError
from django.utils import timezone

from audit import anchors, chain, record, signature
from audit.clock import Clock, Rollback
from audit.events import Actor, Code, Event, Outcome
from audit.merkle import Tree
from audit.models import AuditCheckpoint
from authfi.lib import tenancy
from authfi.lib.tenancy import TenantRef
from authfi.lib.transaction import transaction

#: Of one sealing: more would say nothing new.
MOST_ANOMALIES = 10


def seal(tenant: TenantRef) -> AuditCheckpoint | None:
    """Check the events behind the last checkpoint and sign a new one; None where there are none.

    The newest goes to the anchor file too; where time runs backwards, that is recorded. Two
    processes sealing at once make one checkpoint. Raises chain.ChainBrokenError (what does not
    verify is not signed), ImproperlyConfigured (no key, no readable anchor file), OSError (the
    anchor file cannot be written), record.AuditUnavailableError.
    """
    with tenancy.bind(tenant):
        last = AuditCheckpoint.objects.first()
        tree, head = _resume(last)
        sealed, clock = tree.size, Clock(chain.rfc3339(last.at) if last else "")
        with chain.snapshot(tenant) as connection:
            for hashes in chain.walk(connection, tenant, after=sealed, head=head, clock=clock):
                tree.extend(hashes)
                head = hashes[-1]
        made = _sign(tenant, tree, head) if tree.size > sealed else None
        _anchor(made or last)
        record.record(*map(_anomaly, clock.rollbacks[:MOST_ANOMALIES]))
        return made


def _resume(last: AuditCheckpoint | None) -> tuple[Tree, bytes]:
    if last is None:
        return Tree(), chain.FIRST_PREV
    head = bytes(last.head)
    tree = Tree.restore(last.size, bytes(last.frontier))
    message = _statement(last)
    if tree.root() != bytes(last.root) or not signature.is_valid(message, bytes(last.signature)):
        raise chain.ChainBrokenError(last.size, "has a checkpoint with a wrong signature")
    return tree, head


def _sign(tenant: TenantRef, tree: Tree, head: bytes) -> AuditCheckpoint:
    signature.prepare()
    now = timezone.now()
    checkpoint = AuditCheckpoint(
        tenant_id=tenant.id,
        size=tree.size,
        root=tree.root(),
        head=head,
        frontier=tree.stored_frontier(),
        at=now.replace(microsecond=now.microsecond // 1000 * 1000),
        kid=signature.kid(),
    )
    checkpoint.signature = signature.sign(_statement(checkpoint))
    try:
        with transaction():
            checkpoint.save(force_insert=True)
    except IntegrityError:
        # Another process was faster; what it signed is as good.
        return AuditCheckpoint.objects.get(size=tree.size)
    return checkpoint


def _anchor(checkpoint: AuditCheckpoint | None) -> None:
    if checkpoint is None:
        return
    anchor = anchors.Anchor(
        size=checkpoint.size,
        root=bytes(checkpoint.root).hex(),
        head=bytes(checkpoint.head).hex(),
        time=chain.rfc3339(checkpoint.at),
        kid=checkpoint.kid,
        signature=bytes(checkpoint.signature).hex(),
    )
    anchors.keep(checkpoint.tenant_id, anchor)


def _statement(checkpoint: AuditCheckpoint) -> bytes:
    return signature.statement(
        checkpoint.tenant_id,
        checkpoint.size,
        bytes(checkpoint.root),
        bytes(checkpoint.head),
        chain.rfc3339(checkpoint.at),
        checkpoint.kid,
    )


def _anomaly(rollback: Rollback) -> Event:
    return Event(
        code=Code.AUDIT_ANOMALY,
        outcome=Outcome.FAILURE,
        actor=Actor.system("audit-checkpoints"),
        reason="the clock went back",
        details={"seq": rollback.seq, "from": rollback.before, "to": rollback.after},
    )
