"""`POST /api/v1/tenants/{tenant}/launch-contexts`."""

import secrets
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from audit.events import Actor, Code
from audit.models import AuditEvent
from authfi.accounts import people
from authfi.lib import tenancy
from smart import activation, launch
from smart.models import Application, LaunchContext
from smart.server.register import register_application
from tenants.http import fhir_base
from tests.api.test_problems import denials, expect_problem

SYSTEM = Actor.system("tests")


@pytest.fixture
def hospital(mercy, fhir):
    """Mercy with a FHIR server, one app and one doctor."""
    with tenancy.bind(mercy):
        activation.activate(preset="custom", fhir_base=fhir.base, actor=SYSTEM)
        register_application(
            client_id="growth-chart",
            name="Growth Chart",
            client_type=Application.CLIENT_PUBLIC,
            redirect_uris=["https://growth.example.org/"],
            launch_uris=["https://growth.example.org/launch"],
            scopes="launch openid fhirUser patient/Observation.rs",
            grant_types=["authorization_code"],
            actor=SYSTEM,
        )
    return mercy


@pytest.fixture
def doctor(hospital):
    with tenancy.bind(hospital):
        return people.create_person(
            email=f"ada-{secrets.token_hex(4)}@example.org", name="Ada", roles=["doctor"]
        )


def body_for(doctor, **changed):
    body = {"client_id": "growth-chart", "user": str(doctor.pk), "patient": "456", **changed}
    return {name: value for name, value in body.items() if value is not ...}


@pytest.mark.spec("EHRL-01", "EHRL-03")
@pytest.mark.parametrize("by", ["id", "email"])
def test_an_ehr_registers_a_launch(launch_contexts, hospital, doctor, token, by):
    with tenancy.bind(hospital):
        named = doctor.email.upper() if by == "email" else str(doctor.pk)
    response = launch_contexts.call(
        "POST",
        hospital,
        token(hospital, "authfi/launch", client_id="ehr"),
        body_for(
            doctor,
            user=named,
            encounter="e1",
            intent="reconcile",
            need_patient_banner=False,
            smart_style_url="https://ehr.example.org/style.json",
            fhirContext=[{"reference": "ImagingStudy/9"}],
        ),
    )
    assert response.status_code == 201, response.content
    said = response.json()
    assert set(said) == {"launch", "launch_url", "expires_in"}
    assert 0 < said["expires_in"] <= 300
    query = parse_qs(urlsplit(said["launch_url"]).query)
    assert query == {"iss": [fhir_base(hospital)], "launch": [said["launch"]]}
    assert said["launch_url"].startswith("https://growth.example.org/launch?")
    with tenancy.bind(hospital):
        application = Application.objects.get(client_id="growth-chart")
        opened = launch.resolve(said["launch"], application)
        assert (opened.user_id, opened.patient, opened.encounter) == (doctor.pk, "456", "e1")
        assert opened.members["need_patient_banner"] is False
        assert opened.members["intent"] == "reconcile"
        event = AuditEvent.objects.get(code=Code.LAUNCH_START)
        assert event.details["actor"]["id"] == "ehr"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"client_id": ...}, "client_id"),
        ({"user": ...}, "user"),
        ({"client_id": "nobody"}, "client_id"),
        ({"user": "nobody@example.org"}, "user"),
        ({"user": str(uuid4())}, "user"),
        ({"user": "Practitioner/1"}, "user"),
        ({"patient": 456}, "patient"),
        ({"patient": "Patient/456"}, "patient"),
        ({"patient": "."}, "patient"),
        ({"patient": ".."}, "patient"),
        ({"encounter": "a b"}, "encounter"),
        ({"encounter": ".."}, "encounter"),
        ({"patient": ..., "encounter": "e1"}, "encounter"),
        ({"need_patient_banner": "true"}, "need_patient_banner"),
        ({"intent": 1}, "intent"),
        ({"smart_style_url": "javascript:1"}, "smart_style_url"),
        ({"fhirContext": {}}, "fhirContext"),
        ({"fhirContext": [{"reference": "Patient/1"}]}, "fhirContext"),
        ({"fhirContext": [{"reference": "ImagingStudy/.."}]}, "fhirContext"),
        ({"fhirContext": [{"reference": "ImagingStudy/9/x"}]}, "fhirContext"),
        ({"patients": ["1"]}, "patients: Unknown member."),
        ({"iss": "https://evil.example"}, "iss: Unknown member."),
    ],
)
def test_a_wrong_member_is_named(launch_contexts, hospital, doctor, token, changed, said):
    response = launch_contexts.call(
        "POST", hospital, token(hospital, "authfi/launch"), body_for(doctor, **changed)
    )
    problem = expect_problem(response, 400)
    assert said in problem["detail"]
    with tenancy.bind(hospital):
        assert not AuditEvent.objects.filter(code=Code.LAUNCH_START).exists()


def test_a_refused_launch_is_recorded(launch_contexts, hospital, doctor, token):
    raw = token(hospital, "authfi/launch")
    launch_contexts.call("POST", hospital, raw, body_for(doctor, user="nobody@example.org"))
    with tenancy.bind(hospital):
        people.deactivate(doctor, actor=SYSTEM)
    expect_problem(launch_contexts.call("POST", hospital, raw, body_for(doctor)), 400)
    assert denials(hospital, Code.LAUNCH_DENY) == [
        "user: there is no such person",
        "the user is not active",
    ]


def test_people_and_apps_of_another_tenant_are_not_there(
    launch_contexts, hospital, doctor, lakeside, token
):
    response = launch_contexts.call(
        "POST", lakeside, token(lakeside, "authfi/launch"), body_for(doctor)
    )
    assert "there is no such app" in expect_problem(response, 400)["detail"]


@pytest.mark.spec("T6")
def test_no_operator_opens_a_launch(launch_contexts, hospital, doctor, platform, token):
    raw = token(platform, "authfi/tenants authfi/launch")
    expect_problem(launch_contexts.call("POST", hospital, raw, body_for(doctor)), 404)


def test_the_scope_of_another_call_is_not_enough(launch_contexts, hospital, doctor, token):
    expect_problem(launch_contexts.call("POST", hospital, token(hospital), body_for(doctor)), 403)
    assert denials(hospital, Code.LAUNCH_DENY) == ["the token lacks authfi/launch"]


@pytest.mark.spec("EHRL-10", "A1")
def test_no_patient_is_launched_on_the_record_of_another(launch_contexts, hospital, token):
    with tenancy.bind(hospital):
        john = people.create_person(
            email="john.doe@email.com", name="John Doe", roles=["patient"], fhir_user="Patient/789"
        )
    raw = token(hospital, "authfi/launch")
    body = {"client_id": "growth-chart", "user": "john.doe@email.com", "patient": "790"}
    expect_problem(launch_contexts.call("POST", hospital, raw, body), 400)
    assert denials(hospital, Code.LAUNCH_DENY) == [
        "the user is neither this patient nor a clinician"
    ]
    own = launch_contexts.call("POST", hospital, raw, {**body, "patient": "789"})
    assert own.status_code == 201, own.content
    with tenancy.bind(hospital):
        assert [row.user_id for row in LaunchContext.objects.all()] == [john.pk]


@pytest.mark.spec("A1")
@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"client_id": "growth-chart"}, 400, "user: This field is required."),
        ({"jane@email.com": 1}, 400, "jane@email.com: Unknown member."),
        (b"{", 400, "The body is not JSON, or names a member twice."),
        (b"x" * 70_000, 413, "The body is larger than 64 KiB."),
    ],
)
def test_a_body_that_cannot_be_used_is_recorded(
    launch_contexts, hospital, token, body, status, said
):
    raw = token(hospital, "authfi/launch", client_id="ehr")
    expect_problem(launch_contexts.call("POST", hospital, raw, body), status)
    [reason] = denials(hospital, Code.LAUNCH_DENY)
    assert reason.startswith(f"the body was refused: {said}")
    with tenancy.bind(hospital):
        event = AuditEvent.objects.get(code=Code.LAUNCH_DENY)
        assert (event.client_id, event.details["actor"]["id"]) == ("ehr", "ehr")


@pytest.mark.spec("A2")
def test_what_names_no_app_is_kept_sealed(launch_contexts, hospital, doctor, token):
    raw = token(hospital, "authfi/launch")
    claim = "jane.doe@email.com MRN12346"
    launch_contexts.call("POST", hospital, raw, body_for(doctor, client_id=claim))
    launch_contexts.call("POST", hospital, raw, body_for(doctor, encounter="e1", patient=None))
    with tenancy.bind(hospital):
        unknown, known = AuditEvent.objects.filter(code=Code.LAUNCH_DENY).order_by("seq")
        assert (unknown.client_id, unknown.details["claimed_client_id"]) == ("", claim)
        assert known.client_id == "growth-chart"
        assert "claimed_client_id" not in known.details
