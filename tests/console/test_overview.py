"""The console's first page."""

from datetime import timedelta

import pytest
from django.utils import timezone

from authfi.accounts import people
from authfi.console import overview
from authfi.lib import tenancy
from smart.models import Application, Grant, HealthcareModule
from tests.console.conftest import read_by


def figures(admin):
    return admin.get("console").context["figures"]


def test_it_counts_what_is_there_now(admin, mercy, dr_ada):
    before = figures(admin)
    assert (before["people"], before["apps"], before["grants"]) == (2, 0, 0)
    later = timezone.now() + timedelta(hours=1)
    with tenancy.bind(mercy):
        app = Application.objects.create(
            client_id="a", name="A", client_type="public", grant_types="authorization_code"
        )
        Application.objects.create(
            client_id="b", name="B", client_type="public", grant_types="", state="suspended"
        )
        told = {"application": app, "scopes": "openid", "context": {}}
        Grant.objects.create(**told, expires_at=later)
        Grant.objects.create(**told, expires_at=later, ended_at=timezone.now())
        Grant.objects.create(**told, expires_at=timezone.now() - timedelta(seconds=1))
        people.deactivate(dr_ada)
    after = figures(admin)
    assert (after["people"], after["apps"], after["grants"]) == (1, 1, 1)


def test_events_of_today_are_counted_up_to_a_limit(admin, mercy, dr_ada, tell, monkeypatch):
    before = figures(admin)["events"]
    tell(mercy, read_by(dr_ada), read_by(dr_ada))
    # The page that counted before was recorded itself.
    assert figures(admin)["events"] == before + 3
    monkeypatch.setattr(overview, "MAX_COUNTED", 2)
    response = admin.get("console")
    assert response.context["figures"]["events"] == 3
    assert b"over 2" in response.content


@pytest.mark.spec("A14")
def test_the_latest_events_are_shown_and_that_is_recorded(admin, mercy, dr_ada, tell, readings):
    tell(mercy, *(read_by(dr_ada, number) for number in range(9)))
    response = admin.get("console")
    shown = [row.object for row in response.context["rows"]]
    assert shown == [f"Observation/{number}" for number in (8, 7, 6, 5, 4, 3)]
    assert [event.details["object"] for event in readings(mercy)] == ["latest"]


def test_the_healthcare_module_is_told_as_it_is(admin, mercy):
    off = admin.get("console").content.decode()
    assert "No FHIR server is connected" in off
    with tenancy.bind(mercy):
        HealthcareModule.objects.create(
            preset="hapi",
            connection={"fhir_base": "https://fhir.inside.example", "auth": {"token": "s3cret"}},
            capabilities={},
            checked_at=timezone.now(),
        )
    on = admin.get("console").content.decode()
    base = f"http://localhost:8000/t/{mercy.slug}"
    for text in ("hapi", base, f"{base}/fhir", f"{base}/fhir/.well-known/smart-configuration"):
        assert f">{text}<" in on
    assert "No FHIR server" not in on
    assert "s3cret" not in on
