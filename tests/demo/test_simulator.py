"""The EHR simulator: who may open it, and how it launches apps."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from audit.models import AuditEvent
from authfi.lib import tenancy
from smart import activation, upstream
from smart.demo import sandboxes
from smart.models import LaunchContext
from tests.cast import (
    ADMIN,
    Person,
    a_person,
    let_patients_sign_in_with_a_password,
    sign_in,
)
from tests.conftest import fresh_tenant
from tests.server.conftest import an_app

LAUNCH = "http://127.0.0.1:9/launch.html"


@dataclass(frozen=True)
class Hospital:
    """A tenant whose records are those of General Hospital's sandbox, and its doctor's browser."""

    tenant: tenancy.TenantRef
    doctor: Person
    browser: Client

    @property
    def ehr(self) -> str:
        return f"/t/{self.tenant.slug}/demo/ehr/"


@pytest.fixture(scope="module")
def hospital(database: None, sandbox_servers: None) -> Iterator[Hospital]:
    tenant = fresh_tenant("hospital")
    said = sandboxes.credentials(tenant.slug)
    shutil.copy(sandboxes.credentials("general-hospital"), said)
    with tenancy.bind(tenant):
        activation.activate(preset="sandbox", actor=ADMIN)
    an_app(tenant, "lab-results", launch_uris=[LAUNCH], redirect_uris=["http://127.0.0.1:9/"])
    doctor = a_person(tenant, "doctor", fhir_user="Practitioner/123")
    browser = Client()
    sign_in(browser, doctor)
    yield Hospital(tenant, doctor, browser)
    said.unlink()


@pytest.fixture
def doctor(hospital: Hospital) -> Client:
    return hospital.browser


@pytest.fixture
def ehr(hospital: Hospital) -> str:
    return hospital.ehr


def test_a_stranger_is_sent_to_the_hospitals_sign_in(client, ehr, hospital):
    response = client.get(ehr)
    assert response.status_code == 302
    assert response["Location"].startswith(f"/t/{hospital.tenant.slug}/login?next=")


def test_an_admin_is_no_clinician(client, ehr, hospital):
    sign_in(client, a_person(hospital.tenant, "admin"))
    assert client.get(ehr).status_code == 403
    assert client.get(f"{ehr}patients/789").status_code == 403


@pytest.mark.parametrize("mfa", [False, True])
def test_a_patient_gets_no_further_than_the_door(client, ehr, hospital, mfa):
    let_patients_sign_in_with_a_password(hospital.tenant)
    sign_in(client, a_person(hospital.tenant, "patient", mfa=mfa))
    response = client.get(f"{ehr}patients/789")
    assert response.status_code == (403 if mfa else 302)
    assert b"Doe" not in response.content


def test_a_session_of_another_hospital_opens_nothing_here(client, ehr, lakeside):
    sign_in(client, a_person(lakeside, "doctor"))
    assert client.get(ehr).status_code == 302


def test_patients_are_found_by_name(doctor, ehr):
    everyone = doctor.get(ehr).content.decode()
    assert "Margaret Ellis" in everyone
    assert "Jane Doe" in everyone
    found = doctor.get(ehr, {"name": "ellis"}).content.decode()
    assert "Margaret Ellis" in found
    assert "Jane Doe" not in found
    assert "Nobody of that name" in doctor.get(ehr, {"name": "xyzzy<script>"}).content.decode()


def test_a_chart_shows_who_it_is_the_visits_and_the_results(doctor, ehr):
    response = doctor.get(f"{ehr}patients/456")
    text = response.content.decode()
    for shown in ("Margaret Ellis", "14 Mar 1958", "12344", "Glucose", "Blood pressure"):
        assert shown in text
    assert 'value="enc-456-1"' in text
    assert text.count("Launch Growth Chart") == 1
    assert "Runs in the browser, from" in text
    assert "no-store" in response["Cache-Control"]


def test_the_charts_forms_may_lead_to_the_app_and_nowhere_else(doctor, ehr):
    policy = doctor.get(f"{ehr}patients/456")["Content-Security-Policy"]
    [directive] = [part for part in policy.split("; ") if part.startswith("form-action")]
    assert directive == "form-action 'self' http://127.0.0.1:9"


@pytest.mark.parametrize("patient", ["nobody", "..%2Fmetadata", "456%3F_count=1", "456'"])
def test_an_unknown_patient_is_a_404(doctor, ehr, patient):
    assert doctor.get(f"{ehr}patients/{patient}").status_code == 404


@pytest.mark.spec("EHRL-01", "EHRL-02", "EHRL-03")
def test_launching_registers_a_context_and_opens_the_app(doctor, ehr, hospital):
    response = doctor.post(
        f"{ehr}patients/456/launch", {"client_id": "lab-results", "encounter": "enc-456-1"}
    )
    assert response.status_code == 303
    url = urlsplit(response["Location"])
    query = parse_qs(url.query)
    assert f"{url.scheme}://{url.netloc}{url.path}" == LAUNCH
    assert query["iss"] == [f"http://localhost:8000/t/{hospital.tenant.slug}/fhir"]
    with tenancy.bind(hospital.tenant):
        opened = LaunchContext.objects.order_by("-created_at").first()
        event = AuditEvent.objects.order_by("-seq").first()
        assert opened is not None
        assert event is not None
        assert (opened.patient, opened.encounter) == ("456", "enc-456-1")
    assert opened.user_id == hospital.doctor.user.pk
    assert query["launch"][0] not in opened.handle_digest
    assert (event.code, event.client_id) == ("launch.start", "lab-results")


@pytest.mark.parametrize(
    "form",
    [
        {"client_id": "lab-results", "encounter": "enc-789-1"},
        {"client_id": "lab-results", "encounter": "none"},
        {"client_id": "lab-results"},
        {"client_id": "backend", "encounter": "enc-456-1"},
        {"encounter": "enc-456-1"},
    ],
    ids=["another's visit", "no such visit", "no visit", "unknown app", "no app"],
)
def test_a_launch_that_makes_no_sense_opens_nothing(doctor, ehr, hospital, form):
    with tenancy.bind(hospital.tenant):
        before = LaunchContext.objects.count()
        assert doctor.post(f"{ehr}patients/456/launch", form).status_code == 404
        assert LaunchContext.objects.count() == before


def test_launching_needs_our_own_page(doctor, ehr):
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = doctor.cookies
    form = {"client_id": "lab-results", "encounter": "enc-456-1"}
    assert strict.post(f"{ehr}patients/456/launch", form).status_code == 403
    assert strict.get(f"{ehr}patients/456/launch").status_code == 405


def test_without_healthcare_there_is_no_ehr(client, lakeside):
    sign_in(client, a_person(lakeside, "doctor"))
    assert client.get(f"/t/{lakeside.slug}/demo/ehr/").status_code == 404


def test_a_silent_server_is_told_calmly(doctor, ehr, hospital, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    upstream.forget(hospital.tenant.id)
    response = doctor.get(ehr)
    assert response.status_code == 502
    assert "does not answer" in response.content.decode()
