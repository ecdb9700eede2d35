"""Record events: with the transaction that is open, else with the group writer (D7, V8)."""

import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from django.core.exceptions import SynchronousOnlyOperation
from django.db import Error as DatabaseError

from audit import chain, loop_writer, writer
from audit.events import Event
from audit.models import actor_index, patient_index
from audit.rows import Row, id_text, leaf_digest, new_id, tenant_text, time_text
from audit.writer import AuditUnavailableError
from authfi.crypto import keyring
from authfi.lib import database, requestinfo, tenancy, transaction
from authfi.lib.compiled import Write
from authfi.lib.tenancy import TenantRef

_TABLE = "audit_event"
_CLIENT_ID_LENGTH, _REQUEST_ID_LENGTH, _USER_AGENT_LENGTH = 255, 64, 512


def record(*events: Event) -> None:
    """Store events of the bound tenant: all of them or, with an exception, none.

    Inside `lib.transaction` they are kept or lost with the change they tell of; outside they are
    durable on return. Raises AuditUnavailableError, transaction.BareTransactionError,
    TenantNotBoundError.
    """
    rows = _prepare(events)
    if rows and not transaction.defer(rows):
        writer.write(rows)


def record_with(wanted: Write | None, event: Event) -> bool:
    """Write what is wanted, if anything, and store the event that tells of it, in one commit.

    False, and nothing was stored, where a change hit nothing: what it was judged by has changed.
    Durable on return; not for an open transaction. Raises AuditUnavailableError,
    transaction.BareTransactionError, TenantNotBoundError, WrongTenantError.
    """
    if transaction.in_transaction():
        raise transaction.BareTransactionError("record_with commits by itself")
    if wanted is None:
        record(event)
        return True
    rows = _prepare((event,))
    try:
        return chain.append_with(wanted, rows)
    except DatabaseError as error:
        raise AuditUnavailableError("the audit trail cannot be written") from error


def flush(rows: Sequence[Row]) -> None:
    """Write what a transaction deferred, as its last statement. Raises AuditUnavailableError."""
    try:
        chain.flush(rows)
    except DatabaseError as error:
        raise AuditUnavailableError("the audit trail cannot be written") from error


def record_for(tenant: TenantRef, *events: Event) -> None:
    """Store events in the chain of a named tenant. Raises as `record`."""
    with tenancy.bind(tenant):
        record(*events)


async def arecord(*events: Event) -> None:
    """Store events of the bound tenant without blocking the loop; durable on return.

    They are stored even if the caller is cancelled meanwhile. Raises AuditUnavailableError,
    TenantNotBoundError.
    """
    try:
        rows = _prepare(events)
    except SynchronousOnlyOperation:
        # The tenant's keys are not in memory yet: only then a thread is needed.
        rows = await database.run(tenancy.current(), _prepare, events)
    if rows:
        await loop_writer.awrite(rows)


def _prepare(events: tuple[Event, ...]) -> list[Row]:
    """Rows for the bound tenant: sealed and digested, neither numbered nor stored."""
    tenant, info = tenancy.current(), requestinfo.current()
    at = time.time_ns() // 1_000_000
    try:
        return [_row(event, tenant.id, at, info) for event in events]
    except DatabaseError as error:
        raise AuditUnavailableError("the tenant's keys cannot be read") from error


def _row(event: Event, tenant_id: UUID, at: int, info: requestinfo.RequestInfo) -> Row:
    event_id = new_id(at)
    text = id_text(event_id)
    actor, patient = actor_index(event.actor.id), patient_index(event.patient)
    client_id = _storable(event.client_id)[:_CLIENT_ID_LENGTH]
    request_id = _storable(info.request_id)[:_REQUEST_ID_LENGTH]
    details = keyring.seal(_details(event, info), _TABLE, "details", text)
    leaf = leaf_digest(
        time_text(at),
        tenant_text(tenant_id),
        actor,
        client_id,
        event.code,
        details,
        text,
        event.outcome,
        patient,
        request_id,
    )
    return Row(
        tenant_id,
        event_id,
        at,
        str(event.code),
        str(event.outcome),
        actor,
        patient,
        client_id,
        request_id,
        details,
        leaf,
    )


def _details(event: Event, info: requestinfo.RequestInfo) -> bytes:
    """The JSON that is sealed: what the event says, and where its request came from."""
    actor = event.actor
    members = {
        "actor": {
            "type": actor.type,
            "id": actor.id,
            "roles": list(actor.roles),
            "aal": actor.aal,
        },
        "patient": event.patient,
        "object": event.object,
        "reason": event.reason,
        "rule": event.rule,
        "ip": info.ip,
        "user_agent": info.user_agent[:_USER_AGENT_LENGTH],
        **event.details,
    }
    try:
        return orjson.dumps(members, default=_plain)
    except orjson.JSONEncodeError:
        # Text that is not Unicode: it came from outside, and must not keep its event from us.
        return json.dumps(members, default=_plain, ensure_ascii=False).encode(errors="replace")


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def _storable(text: str) -> str:
    """Text from outside as a text column takes it: Unicode without NUL."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


__all__ = ["AuditUnavailableError", "arecord", "record", "record_for", "record_with"]
