"""Mercy's people in their browsers, and a trail to look at."""

import pytest
from django.test import Client

from audit.events import Actor, Outcome
from audit.models import AuditEvent
from audit.record import record
from authfi.lib import requestinfo, tenancy
from tests import cast
from tests.audit.conftest import a_read
from tests.cast import a_person


class Reader:
    """A person's browser at the console of their tenant."""

    def __init__(self, person):
        self.person, self.client = person, Client()
        cast.sign_in(self.client, person)
        self.base = f"/t/{person.tenant.slug}"

    def get(self, path, **query):
        return self.client.get(f"{self.base}/{path}", query)

    def rows(self, **query):
        """What the audit page shows."""
        response = self.get("console/audit", **query)
        assert response.status_code == 200, response.content
        return response.context["rows"]

    def objects(self, **query):
        """What the shown reads are about, newest first."""
        return [row.object for row in self.rows(**query) if row.event.code.startswith("fhir.")]


@pytest.fixture
def admin(mercy):
    """Mercy's admin."""
    return Reader(a_person(mercy, "admin", name="Mia Admin", email="mia@mercy.example"))


@pytest.fixture
def dr_ada(mercy):
    """A doctor of Mercy, who has never signed in here."""
    return a_person(mercy, "doctor", name="Ada Quimby", email="ada@mercy.example").user


@pytest.fixture
def tell():
    """Record events in a tenant's trail, as if they came in one request."""

    def tell(tenant, *events, ip="203.0.113.7", user_agent="curl/8.5"):
        info = requestinfo.RequestInfo(request_id="cafe", ip=ip, user_agent=user_agent)
        with tenancy.bind(tenant), requestinfo.serving(info):
            record(*events)

    return tell


@pytest.fixture
def readings():
    """The readings of the trail that a tenant's trail holds, oldest first."""

    def read(tenant):
        with tenancy.bind(tenant):
            found = list(AuditEvent.objects.filter(code="audit.read").order_by("seq"))
            assert all(event.details["actor"] for event in found)  # opens them
            return found

    return read


def read_by(user, number=1, **changes):
    """That person read an observation."""
    return a_read(number, actor=Actor.person(user.pk, roles=("doctor",), aal=2), **changes)


def refusal(user, number=1, **changes):
    """That person was refused an observation."""
    told = {"outcome": Outcome.DENIED, "rule": "inside_compartment", "reason": "Another patient's."}
    return read_by(user, number, code="fhir.read.deny", **told | changes)
