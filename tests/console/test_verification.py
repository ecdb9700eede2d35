"""The verdict on the trail turns red soon after an edit, and stays red."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from audit import verdicts, verify
from authfi.accounts.models import Session
from authfi.console import verification
from authfi.lib import tenancy
from tests.audit.conftest import forging
from tests.console.conftest import read_by

pytestmark = pytest.mark.spec("A8", "A9")


@pytest.fixture
def at_once(monkeypatch):
    """No verdict is kept."""
    monkeypatch.setattr(verification, "MAX_AGE_SECONDS", 0)


def verdict(admin, page="console/audit/verification"):
    response = admin.get(page)
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.usefixtures("at_once")
def test_it_names_the_range_and_the_time_it_verified(admin, mercy, dr_ada, tell):
    tell(mercy, *(read_by(dr_ada, number) for number in range(1200)))
    response = admin.get("console/audit/verification")
    found = response.context["verification"]
    assert (found.first_seq, found.broken) == (1, None)
    html = response.content.decode()
    assert f"records 1 to {found.last_seq:,}" in html
    assert f"{found.verified_at:%H:%M:%S} UTC" in html
    assert 'data-verdict="intact"' in html
    assert "no-store" in response["Cache-Control"]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("page", ["console", "console/audit", "console/audit/verification"])
def test_an_edit_behind_the_applications_back_turns_it_red(admin, mercy, dr_ada, tell, page):
    tell(mercy, read_by(dr_ada, 1), read_by(dr_ada, 2))
    seq = admin.rows()[1].event.seq
    assert 'data-verdict="intact"' in verdict(admin, page)
    with forging(mercy) as forger:
        forger.edit(seq, "client_id", "another-app")
    for _ in range(2):
        html = verdict(admin, page)
        assert 'data-verdict="broken"' in html
        assert f"Record {seq} was changed." in html
        assert 'data-verdict="intact"' not in html
    assert f"?before={seq + 1}&amp;" in html
    assert admin.rows(before=seq + 1)[0].event.seq == seq


@pytest.mark.usefixtures("at_once")
def test_a_removed_record_turns_it_red(admin, mercy, dr_ada, tell):
    tell(mercy, read_by(dr_ada, 1), read_by(dr_ada, 2))
    seq = admin.rows()[1].event.seq
    with forging(mercy) as forger:
        forger.run("DELETE FROM audit_event WHERE tenant_id = {tenant} AND seq = %s", seq)
    assert f"Record {seq} is missing" in verdict(admin)


@pytest.mark.usefixtures("at_once")
def test_another_tenants_edit_is_not_ours(admin, mercy, lakeside, dr_ada, tell):
    tell(lakeside, read_by(dr_ada))
    with forging(lakeside) as forger:
        forger.edit(1, "client_id", "another-app")
    assert verify.verify(lakeside).broken
    assert 'data-verdict="intact"' in verdict(admin)


def test_age_of_a_verdict_and_wait_of_a_page_are_under_a_minute(admin):
    assert verification.MAX_AGE_SECONDS + verification.REFRESH_SECONDS <= 45
    html = verdict(admin, "console/audit")
    assert f'data-seconds="{verification.REFRESH_SECONDS}"' in html
    assert f'data-verification="{admin.base}/console/audit/verification"' in html


@pytest.mark.parametrize("error", [DatabaseError("gone"), ImproperlyConfigured("no key")])
def test_where_nothing_can_be_verified_nothing_is_said_to_be_intact(admin, monkeypatch, error):
    def fails(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(verdicts, "recent", fails)
    html = verdict(admin, "console/audit")
    assert 'data-verdict="unknown"' in html
    assert ">Intact<" not in html


@pytest.mark.spec("N12")
def test_asking_again_does_not_keep_the_session_alive(admin, mercy):
    with tenancy.bind(mercy):
        session = Session.objects.get(user=admin.person.user)
        early = session.last_seen_at.replace(year=session.last_seen_at.year - 1)
        Session.objects.filter(pk=session.pk).update(last_seen_at=early)
        verdict(admin)
        session.refresh_from_db(fields=["last_seen_at"])
        assert session.last_seen_at == early
        admin.rows()
        session.refresh_from_db(fields=["last_seen_at"])
        assert session.last_seen_at > early


def test_it_is_not_recorded_as_reading(admin, mercy, readings):
    verdict(admin)
    assert readings(mercy) == []
