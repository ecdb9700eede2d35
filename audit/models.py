"""The audit trail as stored: events, the head of each chain, signed checkpoints (A2, A5, A6).

Events and heads are written by `audit.chain.append` alone; on PostgreSQL the application's role
could not do otherwise, and no row of the trail is ever changed or deleted (A7).
"""

from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import UUID

from django.db import models

from audit.events import Outcome
from authfi.crypto import keyring
from authfi.crypto.fields import SealedJSONField
from authfi.lib.models import BoundManager, TenantModel

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def actor_index(actor_id: str) -> str:
    """What `AuditEvent.actor_index` holds for an actor of the bound tenant: a keyed pseudonym."""
    return keyring.pseudonym("audit.actor", actor_id) if actor_id else ""


def patient_index(patient: str) -> str:
    """What `AuditEvent.patient_index` holds for a patient, given as `789` or `Patient/789`."""
    patient = patient.removeprefix("Patient/")
    return keyring.pseudonym("audit.patient", patient) if patient else ""


class AuditEvent(TenantModel):
    """One event. What could name a person is in `details`, sealed; the rest is for searching."""

    plain_columns: ClassVar[dict[str, str]] = {
        "code": "names what happened, of a fixed list",
        "outcome": "names how it ended",
        "actor_index": "keyed pseudonym",
        "patient_index": "keyed pseudonym",
        "client_id": "names an app",
        "request_id": "random",
        "leaf": "digest of ciphertext and plain columns",
        "prev": "digest",
        "hash": "digest",
    }

    seq = models.BigIntegerField()
    at = models.DateTimeField()
    code = models.CharField(max_length=64)
    outcome = models.CharField(max_length=8, choices=[(value, value) for value in Outcome])
    actor_index = models.CharField(max_length=64)
    patient_index = models.CharField(max_length=64)
    client_id = models.CharField(max_length=255)
    request_id = models.CharField(max_length=64)
    details = SealedJSONField()
    leaf = models.BinaryField()
    prev = models.BinaryField()
    hash = models.BinaryField()

    class Meta(TenantModel.Meta):
        db_table = "audit_event"
        ordering = ["-seq"]
        constraints = [
            # On PostgreSQL the key is (tenant, seq, at), since a partitioned table's key must
            # hold `at`; there the locked head keeps numbers unique and verification proves it.
            models.UniqueConstraint(fields=["tenant_id", "seq"], name="audit_event_seq_once"),
            models.CheckConstraint(
                condition=models.Q(outcome__in=[str(value) for value in Outcome]),
                name="audit_event_outcome_known",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "at"], name="audit_event_at"),
            models.Index(fields=["tenant_id", "actor_index", "at"], name="audit_event_actor"),
            models.Index(
                fields=["tenant_id", "patient_index", "at"],
                condition=~models.Q(patient_index=""),
                name="audit_event_patient",
            ),
        ]


def find_event(event_id: UUID) -> AuditEvent | None:
    """An event of the bound tenant by its id.

    On PostgreSQL ids have no index: their first 48 bits are the event's time, which has one.
    """
    try:
        at = _EPOCH + timedelta(milliseconds=event_id.int >> 80)
    except OverflowError:  # beyond the year 9999: not an id of ours
        return None
    return AuditEvent.objects.filter(at=at, pk=event_id).first()


class AuditHead(models.Model):
    """The last number and hash of a tenant's chain, read under lock and cached by nobody (D7)."""

    plain_columns: ClassVar[dict[str, str]] = {"hash": "digest"}

    tenant_id = models.UUIDField(primary_key=True)
    seq = models.BigIntegerField()
    hash = models.BinaryField()

    objects: ClassVar[BoundManager["AuditHead"]] = BoundManager()

    class Meta:
        db_table = "audit_head"
        base_manager_name = "objects"
        default_manager_name = "objects"


class AuditCheckpoint(TenantModel):
    """A signed statement of what the chain's first `size` events are (A6).

    `root` is the Merkle tree hash over the events' hashes, `head` the last of these; `frontier`
    lets the next checkpoint go on from here.
    """

    plain_columns: ClassVar[dict[str, str]] = {
        "root": "digest",
        "head": "digest",
        "frontier": "digests",
        "kid": "public",
        "signature": "public",
    }

    size = models.BigIntegerField()
    root = models.BinaryField()
    head = models.BinaryField()
    frontier = models.BinaryField()
    at = models.DateTimeField()
    kid = models.CharField(max_length=64)
    signature = models.BinaryField()

    class Meta(TenantModel.Meta):
        db_table = "audit_checkpoint"
        ordering = ["-size"]
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "size"], name="audit_checkpoint_once"),
            models.CheckConstraint(
                condition=models.Q(size__gt=0), name="audit_checkpoint_not_empty"
            ),
        ]
