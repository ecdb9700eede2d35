"""Signed checkpoints (A6)."""

import json
import stat
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from django.conf import settings

from audit import chain, checkpoints, record, signature, verify
from audit.events import Code
from audit.models import AuditCheckpoint
from authfi.lib import tenancy
from tenants import directory, tasks
from tests.audit.conftest import a_read, broken, details_of, forging, trail
from tests.audit.test_merkle import defined


def stored(tenant):
    with tenancy.bind(tenant):
        return list(AuditCheckpoint.objects.order_by("size"))


@pytest.mark.spec("A6")
def test_a_third_party_can_check_a_checkpoint(mercy):
    record.record_for(mercy, a_read(2), a_read(3))
    checkpoints.seal(mercy)
    (checkpoint,) = stored(mercy)
    events = trail(mercy)
    statement = {
        "tenant": str(mercy.id),
        "size": 3,
        "root": defined([bytes(event.hash) for event in events]).hex(),
        "head": bytes(events[-1].hash).hex(),
        "time": checkpoint.at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
        "kid": checkpoint.kid,
    }
    message = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    pem = settings.AUDIT_KEY_FILE.read_bytes()
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signed = bytes(checkpoint.signature)
    r, s = signed[:32], signed[32:]
    der = utils.encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    key.public_key().verify(der, message, ec.ECDSA(hashes.SHA256()))


@pytest.mark.spec("A6")
def test_the_key_is_its_owners_only(mercy):
    checkpoints.seal(mercy)
    assert stat.S_IMODE(settings.AUDIT_KEY_FILE.stat().st_mode) == 0o600


@pytest.mark.spec("A6")
def test_a_checkpoint_goes_on_from_the_one_before_and_reads_only_what_is_new(mercy, monkeypatch):
    read = []
    walk = chain.walk

    def watched(*args, **kwargs):
        for hashes in walk(*args, **kwargs):
            read.append(hashes)
            yield hashes

    monkeypatch.setattr(chain, "walk", watched)
    checkpoints.seal(mercy)
    record.record_for(mercy, a_read(2), a_read(3))
    checkpoints.seal(mercy)
    hashes = [bytes(event.hash) for event in trail(mercy)]
    assert read == [hashes[:1], hashes[1:]]
    assert bytes(stored(mercy)[-1].root) == defined(hashes)
    assert checkpoints.seal(mercy) is None
    assert [checkpoint.size for checkpoint in stored(mercy)] == [1, 3]
    monkeypatch.undo()
    assert verify.verify(mercy).broken is None


@pytest.mark.spec("A8")
def test_a_broken_chain_is_not_signed(mercy, lakeside):
    record.record_for(mercy, a_read(2), a_read(3))
    with forging(mercy) as forger:
        forger.run(
            "UPDATE audit_event SET code = 'auth.logout' WHERE tenant_id = {tenant} AND seq = 2"
        )
    with pytest.raises(chain.ChainBrokenError, match="record 2"):
        checkpoints.seal(mercy)
    assert stored(mercy) == []


@pytest.mark.spec("A6")
def test_the_task_seals_every_chain_that_has_grown(mercy, lakeside, monkeypatch):
    assert {mercy, lakeside} <= set(directory.everyone())
    # Not those of tests that run at this moment.
    monkeypatch.setattr(directory, "everyone", lambda: [lakeside, mercy])
    record.record_for(mercy, a_read(2))
    with forging(lakeside) as forger:
        forger.run(
            "UPDATE audit_event SET code = 'auth.logout' WHERE tenant_id = {tenant} AND seq = 1"
        )
    with pytest.raises(tasks.TenantsFailedError, match=lakeside.slug):
        tasks.seal_checkpoints()
    assert [checkpoint.size for checkpoint in stored(mercy)] == [2]
    assert stored(lakeside) == []
    with pytest.raises(tasks.TenantsFailedError, match=lakeside.slug):
        tasks.seal_checkpoints()
    assert len(stored(mercy)) == 1


@pytest.mark.spec("A8")
@pytest.mark.parametrize("column", ["root", "head", "signature", "kid", "frontier", "at"])
def test_a_changed_checkpoint_is_found(mercy, column):
    record.record_for(mercy, a_read(2))
    checkpoints.seal(mercy)
    record.record_for(mercy, a_read(3))
    value = {"kid": "other", "at": "2020-01-01 00:00:00.000000", "signature": b"s" * 64}
    with forging(mercy) as forger:
        forger.run(
            f"UPDATE audit_checkpoint SET {column} = %s WHERE tenant_id = {{tenant}}",
            value.get(column, b"r" * 32),
        )
    assert broken(mercy).seq == 2
    if column != "kid":
        with pytest.raises(chain.ChainBrokenError):
            checkpoints.seal(mercy)


@pytest.mark.spec("A1", "A8")
def test_a_clock_that_went_back_is_recorded_and_said(mercy):
    noon = datetime.now(UTC) + timedelta(days=1)
    for hours, number in ((0, 2), (-1, 3), (-0.999, 4), (0, 5), (-0.01, 6)):
        with time_machine.travel(noon + timedelta(hours=hours)):
            record.record_for(mercy, a_read(number))
    assert [one.seq for one in verify.verify(mercy).clock_back] == [3]
    checkpoints.seal(mercy)
    assert [told["seq"] for told in details_of(mercy, Code.AUDIT_ANOMALY)] == [3]
    found = verify.verify(mercy)
    assert (found.broken, [one.seq for one in found.clock_back]) == (None, [3, 7])


@pytest.mark.spec("A8")
def test_a_clock_behind_the_last_checkpoint_is_noticed(mercy):
    checkpoints.seal(mercy)
    with time_machine.travel(datetime.now(UTC) - timedelta(hours=1)):
        record.record_for(mercy, a_read(2))
    checkpoints.seal(mercy)
    assert [told["seq"] for told in details_of(mercy, Code.AUDIT_ANOMALY)] == [2]


@pytest.mark.spec("A6")
def test_a_signature_of_another_key_is_none(mercy):
    checkpoints.seal(mercy)
    foreign = ec.generate_private_key(ec.SECP256R1()).sign(b"m", ec.ECDSA(hashes.SHA256()))
    r, s = utils.decode_dss_signature(foreign)
    assert not signature.is_valid(b"m", r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    assert not signature.is_valid(b"m", b"")
    assert signature.is_valid(b"m", signature.sign(b"m"))
    assert stored(mercy)[0].kid == signature.kid()
