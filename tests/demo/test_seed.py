"""The demo's seed: what the contract names is there, once, and its people stay as they are."""

import asyncio
import base64
import json
import re

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from audit.models import AuditEvent
from authfi.accounts import people
from authfi.accounts.mfa import totp
from authfi.accounts.models import Role, User
from authfi.lib import outbound, tenancy
from smart import upstream
from smart.demo import cast, seed, summary
from smart.models import Application, HealthcareModule
from tenants import directory, policies
from tests.cast import Person, sign_in
from tests.gateway import asgi
from tests.gateway.ward import ORDER, changed
from tests.server.conftest import Flow, answer_of

pytestmark = pytest.mark.usefixtures("seeded")


def bind(slug: str):
    tenant = directory.find(slug)
    assert tenant is not None
    return tenancy.bind(tenant.ref)


def person(email: str) -> User:
    found = people.find_by_email(email)
    assert found is not None
    return found


def test_the_people_of_the_product_page_are_there():
    with bind("general-hospital"):
        doctor = person("dr.smith@hospital.com")
        patient = person("john.doe@email.com")
        assert (doctor.fhir_user, doctor.npi) == ("Practitioner/123", "1234567890")
        assert people.roles_of(doctor) == {Role.DOCTOR}
        assert (patient.fhir_user, patient.mrn) == ("Patient/789", "12345")
        assert person("nurse.jones@hospital.com").npi == "0987654321"
        assert person("jane.doe@email.com").fhir_user == "Patient/790"
        assert people.roles_of(person("admin@hospital.com")) == {Role.ADMIN}
    with bind("platform"):
        assert people.roles_of(person("operator@authfi.example")) == {Role.OPERATOR}


@pytest.mark.spec("H7")
def test_staff_have_a_second_factor_and_patients_need_none():
    for organization in (*cast.ORGANIZATIONS, cast.PLATFORM):
        with bind(organization.slug):
            for one in organization.people:
                assert totp.is_enrolled(person(one.email)) is (one.roles != ("patient",))
    with bind("general-hospital"):
        assert policies.sign_in().patient_mfa is False
    with bind("acme-wellness"):
        assert policies.sign_in().patient_mfa is True


def test_the_secret_that_demo_info_prints_opens_the_second_step():
    """An authenticator app takes base32."""
    [doctor] = [
        user
        for user in summary.info()["tenants"][0]["users"]
        if user["email"] == "dr.smith@hospital.com"
    ]
    seed_hex = base64.b32decode(doctor["totp_secret"]).hex()
    with bind("general-hospital"):
        code = totp.code_at(seed_hex, timezone.now())
        assert totp.verify(person("dr.smith@hospital.com"), code)


@pytest.mark.spec("D16")
def test_doctors_open_all_records_and_nurses_those_of_their_care_teams():
    with bind("general-hospital"):
        rules = policies.clinician_access()
    assert rules.by_role.get("doctor", rules.default) == "all"
    assert rules.by_role.get("nurse", rules.default) == "care-team"


def test_healthcare_is_on_where_it_should_be_and_reads_its_own_server():
    names = {}
    for slug in ("general-hospital", "lakeside-clinic"):
        with bind(slug):
            names[slug] = upstream.patient_name("456")
    assert names["general-hospital"] == "Margaret Ellis"
    assert names["lakeside-clinic"] not in (None, "Margaret Ellis")
    with bind("acme-wellness"):
        assert not HealthcareModule.objects.exists()


def test_a_second_start_changes_nothing():
    def everything():
        held = {}
        for organization in (*cast.ORGANIZATIONS, cast.PLATFORM):
            with bind(organization.slug):
                held[organization.slug] = (
                    User.objects.count(),
                    Application.objects.count(),
                    HealthcareModule.objects.count(),
                    AuditEvent.objects.count(),
                )
        return held

    before = everything()
    seed.ensure()
    assert everything() == before


def test_a_second_start_leaves_a_changed_policy_alone():
    with bind("lakeside-clinic"):
        policies.change(kind="sign-in", changes={"patient_mfa": True}, actor=seed.ACTOR)
    seed.ensure()
    with bind("lakeside-clinic"):
        assert policies.sign_in().patient_mfa is True


@pytest.mark.spec("EHRL-01")
def test_on_another_port_the_app_is_launched_there(settings):
    settings.ORIGIN = "http://localhost:8765"
    seed.ensure()
    with bind("general-hospital"):
        app = Application.objects.get(client_id="lab-results")
        assert app.launch_uris == "http://localhost:8765/demo/lab-results/launch.html"
        assert app.redirect_uris == "http://localhost:8765/demo/lab-results/"
        assert app.allowed_origins == "http://localhost:8765"
        event = AuditEvent.objects.order_by("-seq").first()
        assert event is not None
        assert event.code == "admin.app"
    settings.ORIGIN = "http://localhost:8000"
    seed.ensure()


def test_demo_info_prints_the_contracts_members(settings, capsys):
    settings.DEMO = True
    call_command("demo_info", "--json")
    info = json.loads(capsys.readouterr().out)
    assert set(info) == {"base_url", "platform_admin", "tenants"}
    assert set(info["platform_admin"]) == {"email", "password", "totp_secret"}
    hospital, lakeside, acme = info["tenants"]
    assert set(hospital) == {
        *("slug", "issuer", "fhir_base", "healthcare", "users", "apps", "patients"),
    }
    assert hospital["fhir_base"] == f"{info['base_url']}/t/general-hospital/fhir"
    assert {"456", "789", "790"} < set(hospital["patients"])
    assert len(hospital["patients"]) >= 23
    assert lakeside["healthcare"] is True
    assert (acme["healthcare"], acme["fhir_base"], acme["patients"]) == (False, None, [])
    apps = {app["client_id"]: app for app in hospital["apps"]}
    assert apps["lab-results"]["client_secret"] is None
    assert apps["lab-results"]["launch_uri"].endswith("/demo/lab-results/launch.html")
    assert len(apps["ehr"]["client_secret"]) == 43
    assert apps["ehr"]["client_secret"] != lakeside["apps"][1]["client_secret"]
    assert set(apps["ehr"]) == {
        *("name", "client_id", "type", "client_secret", "private_jwk"),
        *("redirect_uris", "launch_uri", "scopes"),
    }


def test_demo_info_in_words_says_where_to_begin(settings, capsys):
    settings.DEMO = True
    call_command("demo_info")
    out = capsys.readouterr().out
    assert "/t/general-hospital/demo/ehr/" in out
    assert "dr.smith@hospital.com" in out
    assert cast.PASSPHRASE in out


def test_demo_info_is_refused_outside_the_demo(settings):
    settings.DEMO = False
    with pytest.raises(CommandError, match="demo only"):
        call_command("demo_info", "--json")


@pytest.mark.spec("H5")
def test_nothing_that_names_a_person_is_in_clear_in_any_table():
    secret = [
        word.encode()
        for organization in cast.ORGANIZATIONS
        for member in organization.people
        for word in (member.email, member.name, member.fhir_user, member.npi, member.mrn)
        if word
    ]
    assert len(secret) > 20
    for organization in cast.ORGANIZATIONS:
        with bind(organization.slug), connection.cursor() as cursor:
            key = AuditEvent._meta.get_field("tenant_id").get_db_prep_value(
                tenancy.current().id, connection
            )
            tables = connection.introspection.table_names(cursor)
            for table in (name for name in tables if not name.startswith("audit_event_")):
                columns = connection.introspection.get_table_description(cursor, table)
                own = "WHERE tenant_id = %s" if "tenant_id" in {c.name for c in columns} else ""
                cursor.execute(f'SELECT * FROM "{table}" {own}', [key] if own else [])
                for value in (value for row in cursor for value in row):
                    assert not shown(value, secret), table


def shown(value: object, secret: list[bytes]) -> list[bytes]:
    """The words a stored value shows as words of their own; digits inside a digest are no MRN."""
    raw = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
    return [
        word
        for word in secret
        if re.search(rb"(?<![0-9A-Za-z])" + re.escape(word) + rb"(?![0-9A-Za-z])", raw)
    ]


@pytest.mark.spec("SCOP-17", "RSVR-12")
def test_a_doctor_orders_medication_with_order_entry_and_a_nurse_cannot():
    """As any SMART client would that has the app's id and secret."""
    hospital = summary.info()["tenants"][0]
    (app,) = [one for one in hospital["apps"] if one["client_id"] == "order-entry"]
    assert (app["type"], app["launch_uri"]) == ("confidential", None)
    assert "patient/MedicationRequest.write" in app["scopes"].split()
    doctor = token_of(app, "dr.smith@hospital.com")
    assert "patient/MedicationRequest.write" in doctor["scope"].split()
    order = changed(ORDER, subject={"reference": f"Patient/{doctor['patient']}"})
    reply = asked("POST", "MedicationRequest", doctor["access_token"], order)
    assert (reply.status, reply.json["intent"]) == (201, "order")
    nurse = token_of(app, "nurse.jones@hospital.com")
    assert "patient/MedicationRequest.rs" in nurse["scope"].split()
    assert "write" not in nurse["scope"]
    asked("POST", "MedicationRequest", nurse["access_token"], order).outcome(403, "forbidden")


def test_order_entry_says_what_came_back(client):
    for query, text in (("", b"has a secret"), ("?code=x", b"a code"), ("?error=no", b"not given")):
        page = client.get(f"/demo/order-entry/{query}")
        assert page.status_code == 200
        assert text in page.content


def token_of(app, email):
    """The token response of Order Entry, where the person chose Patient/456."""
    found = directory.find("general-hospital")
    assert found is not None
    tenant = found.ref
    with tenancy.bind(tenant):
        someone = person(email)
    (seed_hex,) = [one.totp_seed for one in cast.GENERAL_HOSPITAL.people if one.email == email]
    who = Person(someone, tenant, email, cast.PASSPHRASE, seed_hex)
    flow = Flow(tenant, client_id="order-entry")
    sign_in(flow.client, who)
    scope = app["scopes"].removeprefix("launch ")
    going_on = flow.begin(redirect_uri=app["redirect_uris"][0], scope=scope)
    flow.choose(flow.client.get(going_on)["Location"], patient="456")
    pair = f"order-entry:{app['client_secret']}".encode()
    basic = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    answer = answer_of(flow.decide(going_on))
    sent = {"redirect_uri": app["redirect_uris"][0], "client_id": None}
    return flow.exchange(answer["code"], basic, **sent).json()


def asked(method, path, token, resource):
    """One request to the hospital's FHIR base."""
    headers = [
        (b"authorization", f"Bearer {token}".encode()),
        (b"content-type", b"application/fhir+json"),
    ]
    raw_path = f"/t/general-hospital/fhir/{path}".encode()

    async def ask():
        try:
            return await asgi.call(method, raw_path, b"", headers, json.dumps(resource).encode())
        finally:
            await outbound.close()

    return asyncio.run(ask())
