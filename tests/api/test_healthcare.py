"""`PUT` and `GET /api/v1/tenants/{tenant}/healthcare`."""

import json

import pytest

from audit.events import Code
from audit.models import AuditEvent
from authfi.lib import tenancy
from smart.models import HealthcareModule
from tenants.http import fhir_base, issuer
from tests.api.test_problems import denials, expect_problem
from tests.fhir_server import Answer

SECRET = "a-bearer-nobody-may-read-4711"


def events_of(tenant, code):
    with tenancy.bind(tenant):
        rows = AuditEvent.objects.filter(code=code).order_by("seq")
        return [(row.outcome, row.details) for row in rows]


def test_the_one_call(healthcare, mercy, token, fhir):
    raw = token(mercy)
    expect_problem(healthcare.call("GET", mercy, raw), 404)
    body = {"preset": "custom", "fhir_base": fhir.base, "scopes": ["patient/Observation.rs"]}
    response = healthcare.call("PUT", mercy, raw, body)
    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    said = response.json()
    assert said["issuer"] == issuer(mercy)
    assert said["fhir_base"] == fhir_base(mercy)
    assert said["smart_configuration"] == f"{fhir_base(mercy)}/.well-known/smart-configuration"
    assert said["upstream"] == {"software": "Fake FHIR 7", "fhir_version": "4.0.1"}
    assert said["scopes"] == ["patient/Observation.rs"]
    assert [(check["name"], check["ok"]) for check in said["checks"]] == [
        ("address", True),
        ("capability statement", True),
        ("read", True),
    ]
    ((outcome, details),) = events_of(mercy, Code.ADMIN_HEALTHCARE)
    assert (outcome, details["actor"]["id"]) == ("success", "admin-api")
    assert details["after"]["fhir_base"] == fhir.base


def test_again_replaces_and_get_tells(healthcare, mercy, token, fhir):
    raw = token(mercy)
    auth = {"mode": "static_bearer", "token": SECRET}
    healthcare.call("PUT", mercy, raw, {"preset": "custom", "fhir_base": fhir.base})
    again = healthcare.call(
        "PUT", mercy, raw, {"preset": "hapi", "fhir_base": fhir.base, "auth": auth}
    )
    assert (again.status_code, again.json()["version"]) == (200, 2)
    told = healthcare.call("GET", mercy, raw)
    assert told.status_code == 200
    assert told.json() == {**again.json(), "checks": []}
    assert told.json()["scopes"] is None
    assert SECRET not in told.content.decode()
    assert SECRET not in again.content.decode()


@pytest.mark.spec("EHR-38")
def test_a_server_that_fails_a_check(healthcare, mercy, token, fhir):
    fhir.routes["metadata"] = Answer(b"<html></html>")
    response = healthcare.call(
        "PUT", mercy, token(mercy), {"preset": "custom", "fhir_base": fhir.base}
    )
    said = expect_problem(response, 422)
    assert [(check["name"], check["ok"]) for check in said["checks"]] == [
        ("address", True),
        ("capability statement", False),
    ]
    assert said["checks"][1]["remedy"]
    with tenancy.bind(mercy):
        assert not HealthcareModule.objects.exists()


@pytest.mark.parametrize(
    ("body", "members"),
    [
        ({}, ["preset"]),
        ({"preset": "custom", "colour": "red", "auht": {}}, ["auht", "colour"]),
        ({"preset": 7}, ["preset"]),
        ({"preset": "lotus"}, ["preset"]),
        ({"preset": "epic", "fhir_base": "https://ehr.example.org"}, ["preset"]),
        ({"preset": "custom"}, ["fhir_base"]),
        ({"preset": "custom", "fhir_base": ["x"]}, ["fhir_base"]),
        ({"preset": "custom", "fhir_base": "x", "auth": "none"}, ["auth"]),
        ({"preset": "custom", "fhir_base": "x", "auth": {"mode": 1}}, ["auth.mode"]),
        ({"preset": "custom", "fhir_base": "x", "auth": {"mode": "magic"}}, ["auth"]),
        ({"preset": "custom", "fhir_base": "x", "scopes": "openid"}, ["scopes"]),
        ({"preset": "custom", "fhir_base": "x", "scopes": [1]}, ["scopes.0"]),
        ({"preset": "custom", "fhir_base": "x", "scopes": ["openid"]}, ["scopes"]),
        ({"preset": "custom", "fhir_base": "x\u0000"}, ["fhir_base"]),
    ],
)
def test_a_wrong_member_is_named(healthcare, mercy, token, body, members):
    said = expect_problem(healthcare.call("PUT", mercy, token(mercy), body), 400)
    assert [error["member"] for error in said["errors"]] == members
    assert all(member in said["detail"] for member in members)


@pytest.mark.spec("T6")
def test_an_operator_configures_a_tenant_and_both_trails_tell(
    healthcare, mercy, platform, token, fhir
):
    raw = token(platform)
    response = healthcare.call("PUT", mercy, raw, {"preset": "custom", "fhir_base": fhir.base})
    assert response.status_code == 201
    assert response.json()["issuer"] == issuer(mercy)
    ((_, details),) = events_of(mercy, Code.ADMIN_HEALTHCARE)
    assert details["actor"]["id"] == "platform/admin-api"
    for tenant in (mercy, platform):
        told = [details for _, details in events_of(tenant, Code.ADMIN_TENANT)]
        assert told[-1]["object"] == f"Tenant/{mercy.slug}"
        assert told[-1]["purpose"] == f"PUT /api/v1/tenants/{mercy.slug}/healthcare"
    expect_problem(healthcare.call("GET", "no-such-tenant", raw), 404)


@pytest.mark.spec("T6")
def test_an_operator_without_the_scope_knows_no_other_tenant(healthcare, mercy, platform, token):
    raw = token(platform, "authfi/users authfi/launch")
    expect_problem(healthcare.call("GET", mercy, raw), 404)
    assert denials(mercy) == []


def test_the_answer_is_json(healthcare, mercy, token, fhir):
    response = healthcare.call(
        "PUT", mercy, token(mercy), {"preset": "custom", "fhir_base": fhir.base}
    )
    assert response["Content-Type"] == "application/json"
    json.loads(response.content)
