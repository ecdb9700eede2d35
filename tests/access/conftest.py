"""Mercy in front of the general hospital's sandbox, and its clinicians."""

from collections.abc import Iterator

import pytest

from authfi.lib import tenancy
from authfi.lib.tenancy import TenantRef
from smart import access, activation
from smart.access import Person
from tenants import policies
from tests import fhir_server
from tests.cast import ADMIN, a_person
from tests.sandbox.conftest import Sandbox, running

DEMO_PATIENTS = ("456", "789", "790", "1001", "1002")


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The general hospital's FHIR server, with synthetic records of two dozen patients."""
    database = tmp_path_factory.mktemp("sandbox") / "hospital.sqlite3"
    with running(database, "--seed", "general-hospital") as server:
        yield server


def connect(tenant: TenantRef, base: str, bearer: str) -> None:
    """Switch healthcare on in front of a FHIR server."""
    with tenancy.bind(tenant):
        auth = {"mode": "static_bearer", "token": bearer}
        activation.activate(preset="custom", fhir_base=base, auth=auth, actor=ADMIN)


def set_rules(tenant: TenantRef, default: str = "care-team", **by_role: str) -> None:
    """The tenant's policy of design D16."""
    changes = {"default": default, "by_role": by_role}
    with tenancy.bind(tenant):
        policies.change(kind="clinician-access", changes=changes, actor=ADMIN)
    access.forget(tenant.id)


@pytest.fixture
def hospital(mercy: TenantRef, sandbox: Sandbox) -> TenantRef:
    """Mercy, with the records of the general hospital."""
    connect(mercy, sandbox.base, sandbox.bearer)
    return mercy


@pytest.fixture
def upstream() -> Iterator[fhir_server.FhirServer]:
    """A FHIR server that answers what the test says."""
    with fhir_server.serve() as server:
        yield server


def person(tenant: TenantRef, *roles: str, fhir_user: str | None) -> Person:
    """Somebody with these roles, as `smart.access` sees them."""
    made = a_person(tenant, *roles, fhir_user=fhir_user, mfa=False)
    with tenancy.bind(tenant):
        return access.person_of_user(made.user)
