"""People and shortcuts of the account tests."""

from datetime import UTC, datetime

import pytest
import time_machine
from django.test import Client

from audit.models import AuditEvent
from authfi.lib import tenancy
from tests.cast import a_person, let_patients_sign_in_with_a_password

NOON = datetime(2031, 5, 6, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def clock():
    """Time stands still at noon, until the test shifts it."""
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def dr_ada(mercy):
    """A doctor of Mercy, with an authenticator app."""
    return a_person(mercy, "doctor", name="Ada Quimby", fhir_user="Practitioner/123")


@pytest.fixture
def pat(mercy):
    """A patient of Mercy whose password is enough."""
    let_patients_sign_in_with_a_password(mercy)
    return a_person(mercy, "patient", mfa=False, name="Pat Lindqvist", fhir_user="Patient/789")


@pytest.fixture
def client():
    """A browser whose forms need the page's CSRF token only where a test asks for that."""
    return Client()


@pytest.fixture
def trail():
    """What the trail of a tenant holds, oldest first: code, outcome and details of each event."""

    def read(tenant, prefix="auth."):
        with tenancy.bind(tenant):
            rows = AuditEvent.objects.filter(code__startswith=prefix).order_by("seq")
            return [(row.code, row.outcome, row.details) for row in rows]

    return read


@pytest.fixture
def is_signed_in():
    """Does the browser reach a page for signed-in people?"""

    def ask(client, tenant):
        response = client.get(f"/t/{tenant.slug}/")
        assert response.status_code in (200, 302)
        return response.status_code == 200

    return ask
