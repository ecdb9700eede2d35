"""Mercy in front of the general hospital's sandbox, and its clinicians."""

from collections.abc import Iterator
from typing import Any

import pytest

from authfi.lib import tenancy
from authfi.lib.tenancy import TenantRef
from smart import access, activation
from smart.access import Person
from smart.sandbox.store import Store
from smart.sandbox.synthetic.people import CASTS
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
    forget()


def forget() -> None:
    """As after a few seconds: people and evidence are looked up anew."""
    access._people.clear()
    access._evidence.clear()


@pytest.fixture
def hospital(mercy: TenantRef, sandbox: Sandbox) -> TenantRef:
    """Mercy, with the records of the general hospital."""
    connect(mercy, sandbox.base, sandbox.bearer)
    return mercy


@pytest.fixture
def upstream_server(lakeside: TenantRef) -> Iterator[tuple[TenantRef, fhir_server.FhirServer]]:
    """Lakeside, in front of a FHIR server that answers what the test says."""
    with fhir_server.serve() as server:
        connect(lakeside, server.base, "a-bearer")
        server.asked.clear()
        yield lakeside, server


def a_patient(number: int) -> dict[str, Any]:
    """One of ten thousand: as little as can be searched for, so that loading is quick."""
    families = CASTS["general-hospital"].families.split()
    return {
        "resourceType": "Patient",
        "id": f"p{number:05d}",
        "meta": {"lastUpdated": "2026-01-01T00:00:00Z"},
        "identifier": [{"type": {"coding": [{"code": "MR"}]}, "value": f"M{number:05d}"}],
        "name": [
            {"family": f"{families[number % 22]}{number // 22}", "given": ["Ada"]},
        ],
        "birthDate": f"{1950 + number % 50}-0{1 + number % 9}-11",
    }


def a_team(number: int) -> dict[str, Any]:
    """The nurse's care team of one of them."""
    return {
        "resourceType": "CareTeam",
        "id": f"t{number:05d}",
        "meta": {"lastUpdated": "2026-01-01T00:00:00Z"},
        "status": "active",
        "subject": {"reference": f"Patient/p{number:05d}"},
        "participant": [{"member": {"reference": "Practitioner/456"}}],
    }


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A FHIR server with ten thousand patients, each hundredth of them the nurse's."""
    database = tmp_path_factory.mktemp("crowd") / "crowd.sqlite3"
    store = Store(database)
    store.load((a_patient(number) for number in range(10_000)), {})
    store.load((a_team(number) for number in range(0, 10_000, 100)), {})
    store.close()
    with running(database) as server:
        yield server


@pytest.fixture
def many(mercy: TenantRef, crowd: Sandbox) -> TenantRef:
    """Mercy, with ten thousand patients."""
    connect(mercy, crowd.base, crowd.bearer)
    return mercy


def person(tenant: TenantRef, *roles: str, fhir_user: str | None) -> Person:
    """Somebody with these roles, as `smart.access` sees them."""
    made = a_person(tenant, *roles, fhir_user=fhir_user, mfa=False)
    with tenancy.bind(tenant):
        return access.person_of_user(made.user)
