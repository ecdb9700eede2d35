"""`manage.py audit_verify` (contract; A9)."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from audit import chain, record
from tenants import directory
from tests.audit.conftest import a_read, forging


def run(*slugs):
    out = StringIO()
    try:
        call_command("audit_verify", *slugs, stdout=out)
    except SystemExit as end:
        return end.code, out.getvalue()
    return 0, out.getvalue()


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
    monkeypatch.setattr(directory, "everyone", lambda: [mercy, lakeside])
    status, said = run()
    assert status == 1
    assert f"{lakeside.slug}: 1-1, 1 events" in said


@pytest.mark.spec("A9")
def test_an_unknown_tenant_ends_with_2():
    with pytest.raises(CommandError, match="no tenant nowhere") as caught:
        run("nowhere")
    assert caught.value.returncode == 2


@pytest.mark.spec("A9")
def test_a_chain_that_cannot_be_read_ends_with_2(mercy, monkeypatch):
    def unreadable(tenant, progress):
        raise OperationalError("connection refused")

    monkeypatch.setattr(chain, "verify", unreadable)
    with pytest.raises(CommandError, match="not checked: connection refused") as caught:
        run(mercy.slug)
    assert caught.value.returncode == 2
