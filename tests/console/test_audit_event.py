"""The page of one event."""

import pytest

from audit.events import Actor, Code, Event, Outcome
from audit.models import AuditEvent
from authfi.lib import tenancy
from tests.console.conftest import refusal

pytestmark = pytest.mark.spec("A2", "A14")


@pytest.fixture
def opened(admin, mercy, tell):
    """Record an event and open its page."""

    def opened(event):
        tell(mercy, event)
        with tenancy.bind(mercy):
            stored = AuditEvent.objects.latest("seq")
        response = admin.get(f"console/audit/{stored.pk}")
        assert response.status_code == 200
        return stored, response.content.decode()

    return opened


def test_it_shows_all_that_is_stored(opened, dr_ada):
    details = {
        "scopes": ["patient/Observation.rs", "launch/patient"],
        "jti": "jti-0815",
        "query": "category=laboratory",
        "purpose_of_use": "TREAT",
        "before": {"state": "active"},
    }
    stored, html = opened(refusal(dr_ada, 9, patient="456", details=details))
    expected = (
        "Ada Quimby",
        "doctor",
        "AAL2, two factors",
        "203.0.113.7",
        "curl/8.5",
        "Observation/9",
        "Patient/456",
        "growth-chart",
        "patient/Observation.rs",
        "launch/patient",
        "jti-0815",
        "Searched for",
        "category=laboratory",
        "Purpose of use",
        "TREAT",
        "&quot;state&quot;: &quot;active&quot;",
        "Why it was refused",
        "inside_compartment",
        "fhir.read.deny",
        "cafe",
        str(stored.pk),
        bytes(stored.hash).hex(),
        bytes(stored.prev).hex(),
        bytes(stored.leaf).hex(),
    )
    assert [text for text in expected if text not in html] == []


def test_it_leads_to_all_of_the_person_and_of_the_patient(opened, dr_ada, admin):
    _stored, html = opened(refusal(dr_ada, 9, patient="456"))
    assert f'href="{admin.base}/console/audit?person={dr_ada.pk}"' in html
    assert f'href="{admin.base}/console/audit?patient=Patient/456"' in html
    assert admin.objects(person=dr_ada.pk) == admin.objects(patient="Patient/456")


def test_scopes_as_one_text_are_listed_too(opened):
    event = Event(
        code=Code.FHIR_SEARCH_ALLOW,
        outcome=Outcome.SUCCESS,
        actor=Actor.client("growth-chart"),
        details={"scopes": "system/Observation.rs system/Patient.r"},
    )
    _stored, html = opened(event)
    assert "<li><code>system/Observation.rs</code></li>" in html
    assert "Everything this person did" not in html


def test_opening_it_is_recorded_about_the_same_patient(opened, dr_ada, mercy, readings):
    stored, _html = opened(refusal(dr_ada, 9, patient="456"))
    (reading,) = readings(mercy)
    assert reading.details["object"] == f"AuditEvent/{stored.pk}"
    assert reading.patient_index == stored.patient_index
