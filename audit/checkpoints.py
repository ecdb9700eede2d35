"""Signed checkpoints of a chain, so that its past cannot be rewritten as a whole (A6, A8)."""

from django.utils import timezone

from audit import chain, signature
from audit.merkle import Tree
from audit.models import AuditCheckpoint
from authfi.lib import tenancy
from authfi.lib.tenancy import TenantRef


def seal(tenant: TenantRef) -> AuditCheckpoint | None:
    """Check the events behind the last checkpoint and sign a new one; None where there are none.

    Two processes sealing at once make one checkpoint. Raises chain.ChainBrokenError: what does not
    verify is not signed.
    """
    with tenancy.bind(tenant):
        last = AuditCheckpoint.objects.first()
        tree, head = _resume(last)
        sealed = tree.size
        with chain.snapshot(tenant) as connection:
            for _, digest in chain.walk(connection, tenant, after=sealed, head=head):
                tree.append(digest)
                head = digest
        return _sign(tenant, tree, head) if tree.size > sealed else None


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
    AuditCheckpoint.objects.bulk_create([checkpoint], ignore_conflicts=True)
    return checkpoint


def _statement(checkpoint: AuditCheckpoint) -> bytes:
    return signature.statement(
        checkpoint.tenant_id,
        checkpoint.size,
        bytes(checkpoint.root),
        bytes(checkpoint.head),
        chain.rfc3339(checkpoint.at),
        checkpoint.kid,
    )
