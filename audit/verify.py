"""Verify a tenant's chain, its head, its checkpoints and its anchor (A6, A8, A9). Reads only."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from audit import anchors, chain, signature
from audit.anchors import Anchor
from audit.chain import Break, ChainBrokenError
from audit.clock import Clock, Rollback
from audit.merkle import Tree
from authfi.lib.tenancy import TenantRef


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found. An empty chain has count, first and last number 0.

    `unsealed_since` is the time of the first event behind the last checkpoint; `sealed` and
    `is_anchored` say how many events checkpoints cover, and whether the anchor file knows the
    chain; `clock_back` tells where recorded time runs backwards. These mean nothing where it is
    broken. `read_from` is the first number that was read: what stands before it rests on the
    signed checkpoint, and was read the last time at `full_at`, if ever.
    """

    tenant: str
    first_seq: int
    last_seq: int
    count: int
    verified_at: datetime
    broken: Break | None
    sealed: int = 0
    unsealed_since: datetime | None = None
    is_anchored: bool = False
    clock_back: tuple[Rollback, ...] = ()
    read_from: int = 1
    full_at: datetime | None = None


def verify(
    tenant: TenantRef, *, tail: bool = False, progress: Callable[[int], None] | None = None
) -> Verification:
    """Check all that is stored of a tenant's trail, as it is at this moment.

    `tail` reads only the last signed checkpoint and the events behind it. `progress` is told the
    number of events read so far. Reads only, in bounded memory; the key is needed where there is a
    checkpoint or an anchor. Raises django.db.DatabaseError, ImproperlyConfigured (no key to check
    with, an anchor file that cannot be read).
    """
    verified_at, count, broken, since = timezone.now(), 0, None, None
    clock = Clock()
    # Before the snapshot: a checkpoint signed meanwhile would know of more than can be seen.
    anchor = anchors.read().get(tenant.id)
    with chain.snapshot(tenant) as connection:
        checkpoints = _Checkpoints(connection, tenant, anchor)
        start, head = 0, chain.FIRST_PREV
        try:
            if tail:
                start, head = checkpoints.resume()
            count = start
            walked = chain.walk(
                connection, tenant, after=start, head=head, clock=clock, progress=progress
            )
            for hashes in walked:
                count, head = count + len(hashes), hashes[-1]
                checkpoints.follow(hashes)
            checkpoints.finish(count)
            _check_head(connection, tenant, count, head)
            since = _time_of_next(connection, tenant, checkpoints.covered)
        except ChainBrokenError as error:
            broken = error.found
    return Verification(
        tenant=tenant.slug,
        first_seq=min(count, 1),
        last_seq=count,
        count=count,
        verified_at=verified_at,
        broken=broken,
        sealed=checkpoints.covered,
        unsealed_since=since,
        is_anchored=anchor is not None,
        clock_back=tuple(clock.rollbacks),
        read_from=start + 1,
    )


def strangers(known: Collection[UUID]) -> list[UUID]:
    """Tenants that have a trail, but are not among those known.

    Heads and checkpoints tell where the database shows those of all tenants (SQLite); the anchor
    file tells everywhere. Raises django.db.DatabaseError, ImproperlyConfigured.
    """
    found, connection = set(anchors.read()), connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT hex(tenant_id) FROM audit_head UNION "
                "SELECT hex(tenant_id) FROM audit_checkpoint"
            )
            texts = [bytes.fromhex(text) for (text,) in cursor.fetchall()]
        found |= {UUID(text.decode()) for text in texts if _is_key(text)}
    return sorted(found - set(known))


def _is_key(text: bytes) -> bool:
    return len(text) == 32 and all(character in b"0123456789abcdef" for character in text)


class _Checkpoints:
    """Compares a tenant's checkpoints, and its anchor, with the events as they go by."""

    def __init__(
        self, connection: BaseDatabaseWrapper, tenant: TenantRef, anchor: Anchor | None
    ) -> None:
        self.connection = connection
        self.tenant_id = tenant.id
        self.anchor = anchor
        self.tree = Tree()
        self.covered = 0
        self._wait_for(chain.CHECKPOINTS)

    def _wait_for(self, query: str) -> None:
        streams = chain.stream(self.connection, query, self.tenant_id)
        self.waiting = (row for rows in streams for row in rows)
        self.next = next(self.waiting, None)

    def resume(self) -> tuple[int, bytes]:
        """Size and head of the last checkpoint, to go on behind it. Raises ChainBrokenError."""
        self._wait_for(chain.LAST_CHECKPOINT)
        if self.next is None:
            return 0, chain.FIRST_PREV
        size, _, head, frontier = self.next[:4]
        try:
            self.tree = Tree.restore(size, bytes(frontier))
        except (TypeError, ValueError, AttributeError) as error:
            raise ChainBrokenError(size, "has a checkpoint that was changed") from error
        self._meet(size, head)
        return size, head

    def follow(self, hashes: list[bytes]) -> None:
        """The hashes of the next events. Raises ChainBrokenError."""
        while hashes:
            size = self.tree.size
            until = min((mark - size for mark in self._marks() if mark > size), default=len(hashes))
            met = hashes[:until]
            self.tree.extend(met)
            self._meet(self.tree.size, met[-1])
            hashes = hashes[until:]

    def _marks(self) -> Iterator[int]:
        """Numbers at which there is something to compare; a changed row may hold anything."""
        if self.next and isinstance(self.next[0], int):
            yield self.next[0]
        if self.anchor:
            yield self.anchor.size

    def _meet(self, seq: int, head: bytes) -> None:
        """Compare what is known of the chain's first `seq` events."""
        if self.next and self.next[0] == seq:
            try:
                self._check(head, *self.next)
            except (TypeError, ValueError, AttributeError) as error:
                raise ChainBrokenError(seq, "has a checkpoint that was changed") from error
            self.covered, self.next = seq, next(self.waiting, None)
        if self.anchor and self.anchor.size == seq:
            self._check_anchor(self.anchor, head)

    def finish(self, count: int) -> None:
        """Raises ChainBrokenError where a checkpoint knows of more events than there are."""
        if self.next:
            reason = f"is missing: a checkpoint was signed over {self.next[0]} records"
            raise ChainBrokenError(count + 1, reason)
        if self.anchor is None:
            return
        if self.anchor.size > count:
            reason = f"is missing: the anchor file knows of {self.anchor.size} records"
            raise ChainBrokenError(count + 1, reason)
        if self.anchor.size > self.covered:
            reason = "has lost its checkpoint, which the anchor file still knows"
            raise ChainBrokenError(self.anchor.size, reason)

    def _check(
        self,
        walked: bytes,
        size: int,
        root: bytes,
        head: bytes,
        frontier: bytes,
        time_text: str,
        kid: str,
        signed: bytes,
    ) -> None:
        if len(time_text) == len("2020-01-01T00:00:00"):
            time_text += ".000000"  # SQLite holds a whole second without
        at = time_text[:23] + "Z" if time_text[23:] == "000" else time_text
        message = signature.statement(self.tenant_id, size, root, head, at, kid)
        if kid != signature.kid() or not signature.is_valid(message, signed):
            raise ChainBrokenError(size, "has a checkpoint with a wrong signature")
        if (head, root) != (walked, self.tree.root()):
            reason = f"or one up to {size} was rewritten: the signed checkpoint at {size} differs"
            raise ChainBrokenError(self.covered + 1, reason)
        if frontier != self.tree.stored_frontier():
            raise ChainBrokenError(size, "has a checkpoint with a wrong frontier")

    def _check_anchor(self, anchor: Anchor, walked: bytes) -> None:
        size, root, head = anchor.size, bytes.fromhex(anchor.root), bytes.fromhex(anchor.head)
        message = signature.statement(self.tenant_id, size, root, head, anchor.time, anchor.kid)
        signed = bytes.fromhex(anchor.signature)
        if anchor.kid != signature.kid() or not signature.is_valid(message, signed):
            raise ChainBrokenError(size, "has a wrong signature in the anchor file")
        if (head, root) != (walked, self.tree.root()):
            reason = f"or one before it was rewritten: the anchor file differs at {size}"
            raise ChainBrokenError(size, reason)


def _check_head(
    connection: BaseDatabaseWrapper, tenant: TenantRef, count: int, head: bytes
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq, hash FROM audit_head WHERE tenant_id = %s",
            [tenant.id if connection.vendor == "postgresql" else tenant.id.hex],
        )
        seq, stored = cursor.fetchone() or (0, chain.FIRST_PREV)
    if isinstance(stored, memoryview):
        stored = bytes(stored)
    if isinstance(seq, int) and seq > count:
        raise ChainBrokenError(count + 1, f"is missing: the chain's head is at {seq}")
    if (seq, stored) != (count, head):
        raise ChainBrokenError(max(count, 1), f"is the last, but the chain's head is at {seq}")


def _time_of_next(
    connection: BaseDatabaseWrapper, tenant: TenantRef, covered: int
) -> datetime | None:
    found: list[tuple[Any, ...]] = []
    for rows in chain.stream(connection, chain.TIME_OF_NEXT, tenant.id, covered):
        found += rows
    return datetime.fromisoformat(f"{found[0][0]}+00:00") if found else None
