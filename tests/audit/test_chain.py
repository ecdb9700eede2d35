"""The chain's format, recomputed here on its own, and every way of tampering with it (A5, A8)."""

import base64
import hashlib
import json
import struct
from datetime import UTC
from uuid import uuid4

import pytest

from audit import chain, checkpoints, record, verify
from audit.models import AuditHead
from authfi.lib import tenancy
from tests.audit.conftest import a_read, broken, forging, is_postgres, key, trail


@pytest.fixture
def written(mercy):
    """Mercy with nine events: its creation and eight reads."""
    with tenancy.bind(mercy):
        for number in range(2, 10):
            record.record(a_read(number))
    return mercy


def leaf_of(event):
    """RFC 8785 and SHA-256 from the standard library alone."""
    stored = event.__dict__["details"]
    at = event.at.astimezone(UTC)
    members = {
        "tenant_id": str(event.tenant_id),
        "id": str(event.id),
        "at": at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z",
        "code": event.code,
        "outcome": event.outcome,
        "actor_index": event.actor_index,
        "patient_index": event.patient_index,
        "client_id": event.client_id,
        "request_id": event.request_id,
        "details": base64.b64encode(stored).decode(),
    }
    text = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).digest()


def hash_of(event, prev):
    label = b"authfi-audit-v1"
    parts = [struct.pack(">H", len(label)), label, event.tenant_id.bytes]
    parts += [struct.pack(">Q", event.seq), prev, bytes(event.leaf)]
    return hashlib.sha256(b"".join(parts)).digest()


@pytest.mark.spec("A5")
def test_anyone_can_recompute_the_chain(mercy):
    with tenancy.bind(mercy):
        record.record(a_read(1, client_id='odd "\\/\x01\x7f\n\u20ac\U0001f642 <app>'), a_read(2))
    prev = bytes(32)
    for number, event in enumerate(trail(mercy), start=1):
        assert event.seq == number
        assert bytes(event.prev) == prev
        assert bytes(event.leaf) == leaf_of(event)
        assert bytes(event.hash) == hash_of(event, prev)
        prev = bytes(event.hash)
    with tenancy.bind(mercy):
        head = AuditHead.objects.get()
    assert (head.seq, bytes(head.hash)) == (3, prev)


@pytest.mark.spec("A9")
def test_an_intact_chain_is_told_with_its_range(written):
    checkpoints.seal(written)
    seen: list[int] = []
    found = verify.verify(written, progress=seen.append)
    assert found.tenant == written.slug
    assert (found.first_seq, found.last_seq, found.count) == (1, 9, 9)
    assert found.broken is None
    assert seen[-1] == 9


def test_a_chain_without_events_is_intact():
    nobody = tenancy.TenantRef(id=uuid4(), slug="nobody")
    found = verify.verify(nobody)
    assert (found.first_seq, found.last_seq, found.count, found.broken) == (0, 0, 0, None)


def test_a_long_chain_is_read_in_pieces(written, monkeypatch):
    monkeypatch.setattr(chain, "READ_ROWS", 2)
    seen: list[int] = []
    assert verify.verify(written, progress=seen.append).count == 9
    assert seen == [2, 4, 6, 8, 9]


OTHER_VALUES = {
    "at": "2020-01-01 00:00:00.000000+00",
    "code": "auth.logout",
    "outcome": "denied",
    "actor_index": "ab" * 32,
    "patient_index": "",
    "client_id": "other-app",
    "request_id": "other-request",
    "details": b"other",
    "leaf": b"l" * 32,
    "prev": b"p" * 32,
    "hash": b"h" * 32,
}


@pytest.mark.spec("A5", "A8")
@pytest.mark.parametrize("column", [*OTHER_VALUES, "id", "microseconds"])
def test_an_edit_of_any_column_is_found(written, column):
    value = OTHER_VALUES.get(column, key(uuid4()))
    if column == "at" and not is_postgres():
        value = "2020-01-01 00:00:00.000000"
    with forging(written) as forger:
        if column == "microseconds":
            later = "at + interval '1 microsecond'" if is_postgres() else "substr(at, 1, 25) || '1'"
            forger.run(
                f"UPDATE audit_event SET at = {later} WHERE tenant_id = {{tenant}} AND seq = 5"
            )
        else:
            forger.edit(5, column, value)
    assert broken(written).seq == 5


@pytest.mark.spec("A8")
def test_a_value_that_cannot_be_read_is_a_break(written):
    with forging(written) as forger:
        if is_postgres():
            forger.run(
                "UPDATE audit_event SET at = 'infinity' WHERE tenant_id = {tenant} AND seq = 4"
            )
        else:
            forger.edit(4, "details", 7)
    assert broken(written) == chain.Break(4, "was changed")


@pytest.mark.spec("A5", "A8")
@pytest.mark.parametrize("column", ["id", "at", "client_id", "details", "leaf", "prev", "hash"])
def test_the_same_bytes_in_another_form_are_a_break(written, column):
    """SQLite keeps any type in any column; PostgreSQL gets the nearest change that it takes."""
    other = "CAST(x'ff' || {0} AS TEXT)" if column in BYTES else "CAST({0} AS BLOB)"
    if is_postgres():
        forms = {"id": "gen_random_uuid()", "at": "at + interval '1 millisecond'"}
        other = forms.get(
            column, "'x' || {0}" if column == "client_id" else "{0} || '\\x00'::bytea"
        )
    if is_postgres() and column in ("leaf", "prev", "hash"):
        other = "sha256({0})"
    with forging(written) as forger:
        forger.edit_to(5, column, other.format(column))
    assert broken(written).seq == 5


BYTES = ("details", "leaf", "prev", "hash")


@pytest.mark.spec("A5", "A8")
@pytest.mark.parametrize(
    ("column", "spelling"),
    [
        ("at", "substr(at, 1, 10) || 'T' || substr(at, 12)"),
        ("at", "at || char(0) || 'x'"),
        ("at", "at || '+00'"),
        ("id", "upper(id) || ''"),
        ("id", "id || char(0) || 'x'"),
    ],
)
def test_another_spelling_of_a_time_or_an_id_is_a_break(written, column, spelling):
    """PostgreSQL stores a number, which has one spelling: there another value is given."""
    if is_postgres():
        spelling = {"at": "at + interval '1 microsecond'", "id": "gen_random_uuid()"}[column]
    with forging(written) as forger:
        forger.edit_to(5, column, spelling)
    assert broken(written) == chain.Break(5, "was changed")


@pytest.mark.spec("A8")
def test_a_deleted_event_is_found(written):
    with forging(written) as forger:
        forger.run("DELETE FROM audit_event WHERE tenant_id = {tenant} AND seq = 4")
    assert broken(written) == chain.Break(4, "is missing")


@pytest.mark.spec("A8")
def test_events_that_changed_places_are_found(written):
    with forging(written) as forger:
        for old, new in ((4, 100), (6, 4), (100, 6)):
            forger.run(
                "UPDATE audit_event SET seq = %s WHERE tenant_id = {tenant} AND seq = %s", new, old
            )
    assert broken(written).seq == 4


@pytest.mark.spec("A8", "T4")
def test_an_event_of_another_tenant_is_found(written, lakeside):
    record.record_for(lakeside, *(a_read(number) for number in range(2, 6)))
    theirs = str(lakeside.id) if is_postgres() else lakeside.id.hex
    with forging(written) as forger:
        forger.run("DELETE FROM audit_event WHERE tenant_id = {tenant} AND seq = 5")
        forger.run(
            "UPDATE audit_event SET tenant_id = {tenant} WHERE tenant_id = %s AND seq = 5", theirs
        )
    assert broken(written).seq == 5
    assert broken(lakeside) == chain.Break(5, "is missing: the chain's head is at 5")


@pytest.mark.spec("A8")
@pytest.mark.postgres
def test_a_number_that_occurs_twice_is_found(written):
    with forging(written) as forger:
        forger.run(
            "INSERT INTO audit_event SELECT tenant_id, seq, id, at - interval '1 day', code, "
            "outcome, actor_index, patient_index, client_id, request_id, details, leaf, prev, hash "
            "FROM audit_event WHERE tenant_id = {tenant} AND seq = 3"
        )
    assert broken(written).seq in (3, 4)


@pytest.mark.spec("A8")
def test_a_moved_head_is_found(written):
    with forging(written) as forger:
        forger.run("UPDATE audit_head SET hash = %s WHERE tenant_id = {tenant}", b"x" * 32)
    assert broken(written).seq == 9
    with forging(written) as forger:
        forger.run("UPDATE audit_head SET seq = 12 WHERE tenant_id = {tenant}")
    assert broken(written).seq == 10
    with forging(written) as forger:
        forger.run("DELETE FROM audit_head WHERE tenant_id = {tenant}")
    assert broken(written).seq == 9


def cut_behind(tenant, size):
    """Remove the end and set the head back, so that the rest is a correct chain."""
    with forging(tenant) as forger:
        forger.run(f"DELETE FROM audit_event WHERE tenant_id = {{tenant}} AND seq > {size}")
        (last,) = forger.columns(size, "hash")
        forger.run(
            "UPDATE audit_head SET seq = %s, hash = %s WHERE tenant_id = {tenant}", size, last
        )


@pytest.mark.spec("A8", "A6")
def test_an_end_cut_off_behind_a_checkpoint_is_found(written):
    checkpoints.seal(written)
    cut_behind(written, 6)
    found = broken(written)
    assert found.seq == 7
    assert "checkpoint was signed over 9" in found.reason


def rewrite_from(tenant, first):
    """Somebody with every right changes an event and computes all that follows anew."""
    events = trail(tenant)
    prev = bytes(events[first - 1].prev)
    with forging(tenant) as forger:
        for event in events[first - 1 :]:
            event.client_id = "another-app"
            event.leaf = leaf_of(event)
            digest = hash_of(event, prev)
            forger.run(
                "UPDATE audit_event SET client_id = %s, leaf = %s, prev = %s, hash = %s "
                "WHERE tenant_id = {tenant} AND seq = %s",
                event.client_id, event.leaf, prev, digest, event.seq,
            )  # fmt: skip
            prev = digest
        forger.run("UPDATE audit_head SET hash = %s WHERE tenant_id = {tenant}", prev)


@pytest.mark.spec("A8", "A6")
def test_a_chain_computed_anew_contradicts_its_checkpoints(written):
    checkpoints.seal(written)
    record.record_for(written, a_read(10), a_read(11))
    checkpoints.seal(written)
    rewrite_from(written, 10)
    found = broken(written)
    assert found.seq == 10
    assert "checkpoint at 11" in found.reason


def test_a_chain_computed_anew_in_full_is_right_but_for_the_checkpoints(written):
    """The forger of these tests really computes a correct chain: only a checkpoint shows it."""
    rewrite_from(written, 1)
    assert verify.verify(written).broken is None
