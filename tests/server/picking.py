"""Somebody at a picker, and what its pages show."""

import re
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from authfi.lib import tenancy
from smart.models import AuthorizationRequest
from tests.access.conftest import set_rules
from tests.cast import Person, a_person, sign_in
from tests.server.conftest import Flow, an_app, answer_of, trail

SCOPE = "launch/patient openid patient/*.rs"
VISIT_SCOPE = f"{SCOPE} launch/encounter"
NURSES = {"456", "789", "790", "1002", "1004"}  # some whose care team has the nurse


@dataclass
class Clinician(Flow):
    """A browser with somebody signed in."""

    person: Person = field(kw_only=True)


def a_flow(tenant, *roles, fhir_user="Practitioner/456", mfa=True):
    """A clinician's browser at the app's tenant, signed in."""
    an_app(tenant, scopes=f"{VISIT_SCOPE} user/*.rs fhirUser launch")
    person = a_person(tenant, *roles, fhir_user=fhir_user, mfa=mfa)
    flow = Clinician(tenant, person=person)
    sign_in(flow.client, person)
    return flow


@pytest.fixture
def nurse(hospital):
    """A nurse, who opens the records of her care teams' patients."""
    return a_flow(hospital, "nurse")


@pytest.fixture
def doctor(hospital):
    """A doctor, who opens every record."""
    set_rules(hospital, "care-team", doctor="all")
    return a_flow(hospital, "doctor", fhir_user="Practitioner/123")


def picker_of(flow, scope=SCOPE):
    """The picker's address, of a new request."""
    going_on = flow.begin(scope=scope)
    location = flow.client.get(going_on)["Location"]
    assert location == f"{going_on}/patient"
    return location


def shown(response):
    """Ids of the patients on the page."""
    assert response.status_code == 200, response.content
    return re.findall(r'name="patient" value="([^"]+)"', response.content.decode())


def search(flow, path, **typed):
    """The page that a search leads to."""
    response = flow.client.post(path, {"search": "1", **typed})
    if response.status_code == 303:
        return flow.client.get(response["Location"])
    return response


def every_page(flow, path, **typed):
    """The ids of all pages, page by page."""
    found, response = [], search(flow, path, **typed) if typed else flow.client.get(path)
    while True:
        found.append(shown(response))
        if not response.context["next_url"]:
            return found
        response = flow.client.get(response.context["next_url"])


def kept(flow, path):
    """The request as it is kept, its sealed fields opened."""
    with tenancy.bind(flow.tenant):
        row = AuthorizationRequest.objects.get(pk=path.split("/")[-2])
        return SimpleNamespace(
            patient=row.patient, encounter=row.encounter, question=row.consent_request_id
        )


def granted(flow, path):
    """The token response, once everything is chosen."""
    answer = answer_of(flow.decide(path.rpartition("/")[0]))
    assert "code" in answer, answer
    return flow.exchange(answer["code"]).json()


def refused(flow, path, **form):
    """The forged form is refused, and told in the trail of the patient it names."""
    before = len(trail(flow.tenant, "launch.deny"))
    response = flow.client.post(path, form)
    assert response.status_code == 403
    assert b"may not open this record" in response.content
    assert kept(flow, path).question is None
    [(_, outcome, details)] = trail(flow.tenant, "launch.deny")[before:]
    assert outcome == "denied"
    assert details["actor"]["id"] == str(flow.person.user.pk)
    return details
