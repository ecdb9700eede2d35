"""Who may open the console, and whose data it shows."""

import re
from uuid import uuid4

import pytest
from django.test import Client

from audit import record
from audit.models import AuditEvent
from authfi.lib import tenancy
from tenants.models import Tenant
from tenants.services import create_tenant
from tests import cast
from tests.cast import a_person
from tests.console.conftest import Reader, read_by

PAGES = ("console", "console/audit", "console/audit/verification")


def first_event(tenant):
    with tenancy.bind(tenant):
        return AuditEvent.objects.order_by("seq").first()


@pytest.fixture
def platform():
    """The operators' tenant, shared by all tests."""
    found = Tenant.objects.filter(slug=tenancy.PLATFORM_SLUG).first()
    return found.ref if found else create_tenant(slug=tenancy.PLATFORM_SLUG, name="AuthFI")


@pytest.mark.spec("A14", "T6")
@pytest.mark.parametrize("role", ["admin", "privacy-officer"])
def test_admins_and_privacy_officers_read_the_trail(mercy, role):
    reader = Reader(a_person(mercy, role))
    event = first_event(mercy)
    for page in (*PAGES, f"console/audit/{event.pk}"):
        response = reader.get(page)
        assert response.status_code == 200, page
        assert response["Cache-Control"].count("no-store")


@pytest.mark.spec("A1", "A14", "T6")
@pytest.mark.parametrize("role", ["doctor", "nurse", "patient"])
def test_nobody_else_does(mercy, role, readings):
    reader = Reader(a_person(mercy, role))
    event = first_event(mercy)
    for page in (*PAGES, f"console/audit/{event.pk}"):
        response = reader.get(page)
        assert response.status_code == 403
        assert b"Not allowed" in response.content
        assert str(event.pk).encode() not in response.content
    assert readings(mercy) == []
    with tenancy.bind(mercy):
        refused = list(AuditEvent.objects.filter(code="admin.deny").order_by("seq"))
        told = [(row.outcome, row.details["object"], row.details["actor"]) for row in refused]
    who = {"type": "person", "id": str(reader.person.user.pk), "roles": [role], "aal": 2}
    asked = [f"GET {reader.base}/{page}" for page in (*PAGES, f"console/audit/{event.pk}")]
    assert told == [("denied", page, who) for page in asked]


@pytest.mark.spec("A1", "V8")
def test_a_refusal_that_cannot_be_recorded_is_a_refusal_all_the_same(mercy, monkeypatch):
    reader = Reader(a_person(mercy, "doctor"))

    def fails(*_events):
        raise record.AuditUnavailableError("the disk is full")

    monkeypatch.setattr(record, "record", fails)
    reader.client.raise_request_exception = False
    assert reader.get("console").status_code == 503


@pytest.mark.spec("T6")
def test_operators_have_the_console_of_the_platform_and_no_other(platform, mercy):
    operator = Reader(a_person(platform, "operator"))
    response = operator.get("console")
    assert response.status_code == 200
    assert b"SMART on FHIR" not in response.content
    assert operator.get("console/audit").status_code == 200
    elsewhere = operator.client.get(f"/t/{mercy.slug}/console/audit")
    assert elsewhere.status_code == 302
    assert elsewhere["Location"].startswith(f"/t/{mercy.slug}/login")


@pytest.mark.spec("N13")
def test_who_is_not_signed_in_signs_in_first(mercy):
    response = Client().get(f"/t/{mercy.slug}/console/audit?patient=456")
    assert response.status_code == 302
    assert response["Location"].startswith(f"/t/{mercy.slug}/login?next=")
    half = Client()
    cast.give_password(half, a_person(mercy, "admin"))
    assert half.get(f"/t/{mercy.slug}/console").status_code == 302


@pytest.mark.spec("T4", "A14")
def test_an_admin_sees_nothing_of_another_tenant(admin, lakeside, dr_ada, tell):
    tell(lakeside, read_by(dr_ada, 77, patient="456"))
    with tenancy.bind(lakeside):
        strange = AuditEvent.objects.latest("seq")
    absent = admin.get(f"console/audit/{uuid4()}")
    response = admin.get(f"console/audit/{strange.pk}")
    assert response.status_code == absent.status_code == 404
    changing = re.compile(rb'<code>[0-9a-f]+</code>|name="csrfmiddlewaretoken" value="\w+"')
    assert changing.sub(b"", response.content) == changing.sub(b"", absent.content)
    assert admin.client.get(f"/t/{lakeside.slug}/console/audit").status_code == 302
    for query in ({}, {"patient": "456"}, {"person": str(dr_ada.pk)}, {"readings": "on"}):
        rows = admin.rows(**query)
        assert {row.event.tenant_id for row in rows} <= {admin.person.tenant.id}
        assert "Observation/77" not in [row.object for row in rows]


def test_the_bare_addresses_lead_to_the_console(admin):
    for address in ("/console", "/console/"):
        response = Client().get(address)
        assert (response.status_code, response["Location"]) == (302, "/t/platform/console")
    slashed = admin.get("console/")
    assert (slashed.status_code, slashed["Location"]) == (302, f"{admin.base}/console")


def test_pages_are_for_reading_only(admin):
    for page in PAGES:
        assert admin.client.post(f"{admin.base}/{page}").status_code == 405


@pytest.mark.spec("A14")
def test_what_cannot_be_recorded_is_not_shown(admin, dr_ada, tell, monkeypatch):
    tell(admin.person.tenant, read_by(dr_ada, 5))

    def fails(*_events):
        raise record.AuditUnavailableError("the disk is full")

    monkeypatch.setattr(record, "record", fails)
    for page in ("console", "console/audit"):
        response = admin.get(page)
        assert response.status_code == 503
        assert b"Observation/5" not in response.content
