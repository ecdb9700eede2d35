"""`manage.py audit_verify` (contract; A9)."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import OperationalError

from audit import checkpoints, record, verify
from authfi.management.commands import audit_verify
from tenants import directory
from tests.audit.conftest import UNREADABLE, a_read, forging


def run(*slugs):
    """Exit status, and what was said on both streams."""
    out = StringIO()
    try:
        call_command("audit_verify", *slugs, stdout=out, stderr=out)
    except SystemExit as end:
        return end.code, out.getvalue()
    return 0, out.getvalue()


def only(monkeypatch, *tenants, strangers_of=frozenset()):
    """A directory of these alone; of all others in the database only the named are strangers."""
    real = verify.strangers
    monkeypatch.setattr(directory, "everyone", lambda: list(tenants))
    monkeypatch.setattr(
        verify, "strangers", lambda known: [one for one in real(known) if one in strangers_of]
    )


@pytest.mark.spec("A9")
def test_an_intact_chain_ends_with_0_and_tells_its_range(mercy):
    record.record_for(mercy, a_read(2), a_read(3))
    status, said = run(mercy.slug)
    assert status == 0
    assert said.startswith(f"{mercy.slug}: 1-3, 3 events, checked at 2")
    assert said.endswith(": intact\n")


@pytest.mark.spec("A8", "A9")
def test_a_broken_chain_ends_with_1_and_names_the_record(mercy, lakeside, monkeypatch):
    record.record_for(mercy, a_read(2), a_read(3))
    with forging(mercy) as forger:
        forger.run(
            "UPDATE audit_event SET outcome = 'denied' WHERE tenant_id = {tenant} AND seq = 2"
        )
    status, said = run(mercy.slug)
    assert status == 1
    assert "BROKEN: record 2 was changed" in said
    only(monkeypatch, mercy, lakeside)
    status, said = run()
    assert status == 1
    assert f"{lakeside.slug}: 1-1, 1 events" in said


@pytest.mark.spec("A9")
def test_an_unknown_tenant_ends_with_2():
    with pytest.raises(CommandError, match="no tenant nowhere") as caught:
        run("nowhere")
    assert caught.value.returncode == 2


@pytest.mark.spec("A9")
@pytest.mark.parametrize("error", [OperationalError("refused"), ImproperlyConfigured("refused")])
def test_a_chain_that_cannot_be_read_ends_with_2_unless_another_is_broken(
    mercy, lakeside, monkeypatch, error
):
    real = verify.verify

    def unreadable(tenant, progress):
        if tenant == mercy:
            raise error
        return real(tenant)

    monkeypatch.setattr(verify, "verify", unreadable)
    only(monkeypatch, mercy, lakeside)
    status, said = run()
    assert status == 2
    assert f"{mercy.slug}: not checked: refused" in said
    assert f"{lakeside.slug}: 1-1, 1 events" in said
    with forging(lakeside) as forger:
        forger.edit(1, "client_id", "another-app")
    assert run()[0] == 1


@pytest.mark.spec("A9")
def test_without_its_key_a_signed_trail_is_not_checked_and_no_key_is_made(
    mercy, tmp_path, settings
):
    checkpoints.seal(mercy)
    settings.AUDIT_KEY_FILE = tmp_path / "audit.key"
    status, said = run(mercy.slug)
    assert status == 2
    assert f"{mercy.slug}: not checked: the audit key is missing" in said
    record.record_for(mercy, a_read(2))
    with pytest.raises(ImproperlyConfigured, match="missing"):
        checkpoints.seal(mercy)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.spec("A8", "A9")
def test_a_trail_whose_tenant_is_not_in_the_directory_is_told_and_checked(
    mercy, lakeside, monkeypatch
):
    checkpoints.seal(lakeside)
    only(monkeypatch, mercy, strangers_of={lakeside.id})
    status, said = run()
    assert status == 1
    assert f"{lakeside.id}: this tenant is missing from the directory" in said
    assert f"{lakeside.id}: 1-1, 1 events" in said
    assert f"{mercy.slug}: 1-1, 1 events" in said


@pytest.mark.spec("A6", "A9")
def test_what_an_intact_trail_lacks_is_said(mercy, monkeypatch, settings, tmp_path):
    assert run(mercy.slug)[1].endswith(": intact\n")
    monkeypatch.setattr(audit_verify, "UNSEALED", timedelta(0))
    status, said = run(mercy.slug)
    assert (status, said.endswith(": intact; not sealed behind record 0\n")) == (0, True)
    checkpoints.seal(mercy)
    assert run(mercy.slug)[1].endswith(": intact\n")
    settings.AUDIT_ANCHOR_FILE = tmp_path / "none.json"
    status, said = run(mercy.slug)
    assert (status, said.endswith(": intact; no anchor outside the database\n")) == (0, True)


@pytest.mark.spec("A8", "A9")
def test_an_undecodable_record_is_named_and_the_next_tenant_checked(mercy, lakeside, monkeypatch):
    record.record_for(mercy, a_read(2), a_read(3))
    with forging(mercy) as forger:
        forger.edit_to(2, *UNREADABLE)
    only(monkeypatch, mercy, lakeside)
    status, said = run()
    assert status == 1
    assert f"{mercy.slug}: 1-1, 1 events" in said
    assert "BROKEN: record 2 was changed" in said
    assert f"{lakeside.slug}: 1-1, 1 events" in said
