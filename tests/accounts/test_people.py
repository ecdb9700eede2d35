"""People: made, found, changed, deactivated; nothing of them in clear (D2, D8)."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from audit.models import AuditEvent
from authfi.accounts import people, signals
from authfi.accounts.mfa.totp import TOTPDevice
from authfi.accounts.models import Role, Session, User
from authfi.lib import tenancy
from tenants.models import Tenant
from tenants.services import create_tenant
from tests.cast import ADMIN, PASSWORD, a_person, sign_in


def make(**facts):
    facts = {"email": "ada@mercy.example", "name": "Ada", "roles": ["doctor"], **facts}
    return people.create_person(**facts)


@pytest.mark.spec("T1")
def test_a_person_is_found_by_address_whatever_its_case_and_only_at_home(mercy, lakeside):
    with tenancy.bind(mercy):
        ada = make(email="Ada@Mercy.example")
        assert people.find_by_email(" ada@MERCY.example ") == ada
        assert people.find_by_email("eve@mercy.example") is None
    with tenancy.bind(lakeside):
        assert people.find_by_email("ada@mercy.example") is None
        assert make(email="ada@mercy.example").pk != ada.pk


def test_an_address_and_a_fhir_resource_are_one_persons(bound):
    make(fhir_user="Practitioner/1")
    with pytest.raises(ValidationError) as twice:
        make(email="ADA@mercy.example")
    assert "email" in twice.value.message_dict
    with pytest.raises(ValidationError) as twice:
        make(email="bo@mercy.example", fhir_user="Practitioner/1")
    assert "fhir_user" in twice.value.message_dict
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "no address"), ("email", ""), ("name", "   "), ("name", "a\0b"),
        ("fhir_user", "Observation/1"), ("fhir_user", "Patient/"), ("fhir_user", "Patient/1/x"),
        ("fhir_user", "patient/1"), ("fhir_user", "Patient/1\n"), ("fhir_user", "Patient/../2"),
        ("fhir_user", "Patient/."), ("fhir_user", "Patient/.."),
        ("npi", "123"), ("npi", "12345678901"), ("npi", "١٢٣٤٥٦٧٨٩٠"), ("mrn", "x" * 65),
        ("roles", ["surgeon"]), ("roles", []), ("roles", ["operator"]),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(bound, field, value):
    with pytest.raises(ValidationError) as refused:
        make(**{field: value})
    assert list(refused.value.message_dict) == [field]
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "reference",
    ["Practitioner/123", "PractitionerRole/a-b.c", "Patient/789", "RelatedPerson/1", "Person/9"],
)
def test_a_person_may_be_any_of_the_five_resources(bound, reference):
    assert make(fhir_user=reference).fhir_user == reference


@pytest.mark.parametrize(
    ("npi", "valid"),
    [
        ("1234567893", True),
        ("1245319599", True),
        ("1234567890", False),
        ("0987654321", False),
        ("x", False),
    ],
)
def test_the_check_digit_of_an_npi(npi, valid):
    assert people.npi_is_valid(npi) is valid


def test_an_npi_with_a_wrong_check_digit_is_kept(bound):
    assert User.objects.get(pk=make(npi="1234567890").pk).npi == "1234567890"


def test_roles_are_given_taken_and_told(bound):
    ada = make(roles=["doctor", "nurse"])
    told = []

    def hear(user, **_):
        told.append((user.pk, people.roles_of(user)))

    signals.roles_changed.connect(hear)
    try:
        people.change_roles(user=ada, roles=["doctor", "admin"], actor=ADMIN)
    finally:
        signals.roles_changed.disconnect(hear)
    assert people.roles_of(ada) == {Role.DOCTOR, Role.ADMIN}
    assert told == [(ada.pk, frozenset({Role.DOCTOR, Role.ADMIN}))]
    event = AuditEvent.objects.get(code="admin.role")
    assert event.details["before"] == ["doctor", "nurse"]
    assert event.details["after"] == ["admin", "doctor"]


def test_operators_are_people_of_the_platform_and_nobody_else_is():
    ref = Tenant.objects.filter(slug=tenancy.PLATFORM_SLUG).first()
    platform = ref.ref if ref else create_tenant(slug=tenancy.PLATFORM_SLUG, name="Platform")
    with tenancy.bind(platform):
        operator = a_person(platform, "operator").user
        assert people.roles_of(operator) == {Role.OPERATOR}
        for role in ("patient", "doctor", "nurse"):
            with pytest.raises(ValidationError):
                make(roles=[role])


@pytest.mark.spec("N14")
def test_deactivating_ends_sessions_and_keeps_out(client, dr_ada, is_signed_in):
    sign_in(client, dr_ada)
    told = []

    def hear(user, session_ids=(), **_):
        told.append((user.pk, len(session_ids)))

    signals.user_deactivated.connect(hear)
    signals.sessions_ended.connect(hear)
    try:
        with tenancy.bind(dr_ada.tenant):
            people.deactivate(dr_ada.user, actor=ADMIN)
            assert not Session.objects.filter(user=dr_ada.user).exists()
    finally:
        signals.user_deactivated.disconnect(hear)
        signals.sessions_ended.disconnect(hear)
    assert told == [(dr_ada.user.pk, 1), (dr_ada.user.pk, 0)]
    assert not is_signed_in(client, dr_ada.tenant)
    page = client.post(
        f"/t/{dr_ada.tenant.slug}/login", {"email": dr_ada.email, "password": PASSWORD}
    )
    assert page.status_code == 200


def test_what_a_listener_refuses_did_not_happen(bound):
    ada = make()

    def refuse(**_):
        raise RuntimeError("grants cannot be reached")

    signals.user_deactivated.connect(refuse)
    try:
        with pytest.raises(RuntimeError):
            people.deactivate(ada)
    finally:
        signals.user_deactivated.disconnect(refuse)
    ada.refresh_from_db()
    assert ada.is_active
    told = [event.details["reason"] for event in AuditEvent.objects.filter(code="admin.user")]
    assert told == ["created"]


def stored_values():
    """Every value of every row that the bound tenant's database session can read."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in cursor.fetchall():
                for value in row:
                    yield bytes(value) if isinstance(value, memoryview) else str(value).encode()
                    if isinstance(value, bytes):
                        yield value


@pytest.mark.spec("H5", "K5")
def test_nothing_of_a_person_is_stored_in_clear(client, mercy):
    secrets_of_ada: dict[str, Any] = {
        "email": "canary.address@mercy.example", "name": "Canaria Vogelsang", "npi": "1987654322",
        "mrn": "MRN-CANARY-77", "fhir_user": "Practitioner/canary-4711",
    }  # fmt: skip
    ada = a_person(mercy, "doctor", **secrets_of_ada)
    sign_in(client, ada)
    client.post(
        f"/t/{mercy.slug}/login",
        {"email": secrets_of_ada["email"], "password": "wrong " + PASSWORD},
    )
    with tenancy.bind(mercy):
        device = TOTPDevice.objects.get(user=ada.user)
        hidden = [*secrets_of_ada.values(), "canary.address", "Vogelsang", PASSWORD, device.seed]
        hidden += [cookie.value for cookie in client.cookies.values()]
        values = list(stored_values())
    if connection.vendor == "sqlite":
        file = Path(str(connection.settings_dict["NAME"]))
        # By another process: closing the file in this one would drop SQLite's locks on it, and the
        # next process to leave the database would remove the log that is in use here.
        files = [str(path) for path in file.parent.glob(f"{file.name}*")]
        values += [subprocess.check_output(["cat", path]) for path in files]
    assert len(values) > 50
    for secret in hidden:
        for form in (secret.encode(), secret.lower().encode(), secret.encode().hex().encode()):
            assert not any(form in value for value in values), secret


@pytest.mark.spec("A1")
def test_the_trail_tells_who_was_made_by_whom(bound):
    ada = make(actor=ADMIN)
    event = AuditEvent.objects.get(code="admin.user")
    assert event.details["object"] == f"User/{ada.pk}"
    assert event.details["actor"]["id"] == "tests"
    assert event.details["after"] == ["doctor"]
