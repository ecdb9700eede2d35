"""The newest checkpoint of each tenant outside the database (A6, A8)."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest
from django.conf import settings as configured
from django.core.exceptions import ImproperlyConfigured

from audit import anchors, chain, checkpoints, record, verify
from tests.audit.conftest import a_read, broken, forging, is_postgres
from tests.audit.test_chain import rewrite_from

AN_ANCHOR = anchors.Anchor(size=3, root="aa", head="bb", time="t", kid="k", signature="cc")


@pytest.fixture
def sealed(mercy):
    """Mercy with three events, sealed."""
    record.record_for(mercy, a_read(2), a_read(3))
    checkpoints.seal(mercy)
    return mercy


@pytest.fixture
def file(tmp_path, settings):
    """An anchor file that does not exist yet."""
    settings.AUDIT_ANCHOR_FILE = tmp_path / "new" / "anchors.json"
    return settings.AUDIT_ANCHOR_FILE


def forget_checkpoints(forger):
    forger.run("DELETE FROM audit_checkpoint WHERE tenant_id = {tenant}")


@pytest.mark.spec("A6")
def test_sealing_keeps_the_newest_checkpoint_in_the_file(sealed):
    assert anchors.read()[sealed.id].size == 3
    record.record_for(sealed, a_read(4))
    checkpoint = checkpoints.seal(sealed)
    assert checkpoint is not None
    anchor = anchors.read()[sealed.id]
    assert (anchor.size, anchor.head) == (4, bytes(checkpoint.head).hex())
    assert stat.S_IMODE(configured.AUDIT_ANCHOR_FILE.stat().st_mode) == 0o600
    found = verify.verify(sealed)
    assert (found.broken, found.sealed, found.is_anchored) == (None, 4, True)


@pytest.mark.spec("A6")
def test_a_lost_file_is_written_again_though_nothing_is_new(sealed, file):
    assert checkpoints.seal(sealed) is None
    assert anchors.read()[sealed.id].size == 3
    assert [path.name for path in file.parent.iterdir() if ".json." not in path.name] == [file.name]


@pytest.mark.spec("A6")
def test_an_anchor_never_goes_back_however_many_write(file):
    one, other = uuid4(), uuid4()
    sizes = [*range(1, 30), *range(20, 1, -1)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda size: anchors.keep(one, replace(AN_ANCHOR, size=size)), sizes))
        list(pool.map(lambda size: anchors.keep(other, replace(AN_ANCHOR, size=size)), sizes))
    assert {tenant: anchor.size for tenant, anchor in anchors.read().items()} == {
        one: 29,
        other: 29,
    }
    assert sorted(os.listdir(file.parent)) == [".anchors.json.lock", "anchors.json"]


@pytest.mark.spec("A8")
def test_a_chain_computed_anew_without_its_checkpoints_is_found(sealed):
    record.record_for(sealed, a_read(4))
    rewrite_from(sealed, 2)
    with forging(sealed) as forger:
        forget_checkpoints(forger)
    assert broken(sealed) == chain.Break(
        3, "or one before it was rewritten: the anchor file differs at 3"
    )


@pytest.mark.spec("A8")
def test_a_trail_deleted_as_a_whole_is_found(sealed):
    with forging(sealed) as forger:
        for table in ("audit_event", "audit_head", "audit_checkpoint"):
            forger.run(f"DELETE FROM {table} WHERE tenant_id = {{tenant}}")
    assert broken(sealed) == chain.Break(1, "is missing: the anchor file knows of 3 records")


@pytest.mark.spec("A8")
def test_checkpoints_deleted_alone_are_missed(sealed):
    with forging(sealed) as forger:
        forget_checkpoints(forger)
    assert broken(sealed).reason == "has lost its checkpoint, which the anchor file still knows"


@pytest.mark.spec("A6", "A8")
@pytest.mark.parametrize("member", ["root", "head", "time", "kid", "signature"])
def test_a_changed_anchor_is_found(sealed, file, member):
    checkpoints.seal(sealed)
    stored = json.loads(file.read_text())
    stored[str(sealed.id)][member] = "ab" * 32
    file.write_text(json.dumps(stored))
    assert broken(sealed) == chain.Break(3, "has a wrong signature in the anchor file")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"x": {}}', '{"136e5325-21aa-4d6c-a8e8-62b31b2533bd": {"size": "3"}}'],
)
def test_a_file_that_cannot_be_read_is_no_verdict(sealed, file, content):
    checkpoints.seal(sealed)
    file.write_text(content)
    with pytest.raises(ImproperlyConfigured, match="AUDIT_ANCHOR_FILE"):
        verify.verify(sealed)


@pytest.mark.spec("A8", "A9")
def test_a_tenant_that_is_not_known_is_a_stranger(sealed, lakeside):
    """By the anchor file everywhere; by the heads where the database shows them (SQLite)."""
    found = verify.strangers({lakeside.id})
    assert sealed.id in found
    assert lakeside.id not in found
    assert (lakeside.id in verify.strangers({sealed.id})) is not is_postgres()


@pytest.mark.spec("A6")
def test_only_sealing_makes_the_key_and_only_where_nothing_was_signed(
    mercy, lakeside, file, settings
):
    key = settings.AUDIT_KEY_FILE = file.with_name("audit.key")
    assert verify.verify(mercy).broken is None
    assert not key.exists()
    checkpoints.seal(mercy)
    assert verify.verify(mercy).broken is None
    key.unlink()
    with pytest.raises(ImproperlyConfigured, match="the audit key is missing"):
        checkpoints.seal(lakeside)
    assert not key.exists()
