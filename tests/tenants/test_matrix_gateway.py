"""Another hospital's ids and tokens at the FHIR base, in every interaction (T4, G50)."""

import json

import pytest

from smart.policy.request import FhirInteraction as Fhir
from tests.fhir_server import Answer
from tests.tenants.matrix import two_hospitals
from tests.tenants.routes import Attempt
from tests.tenants.strangers import Caller, absent, comparable

BASE = "/t/{own_slug}/fhir"
OBSERVATION = json.dumps(
    {
        "resourceType": "Observation",
        "id": "{observation}",
        "status": "final",
        "code": {"text": "pulse"},
        "subject": {"reference": "Patient/{patient}"},
    }
)
CREATED = json.dumps({**json.loads(OBSERVATION), "id": None}).replace('"id": null, ', "")
BUNDLE = json.dumps(
    {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": "Patient/{patient}"}}],
    }
)


def a(method, path, body="", **fields):
    return Attempt(method, BASE + path, fields, body)


#: How each interaction names a patient, a resource or a page; a new interaction belongs here.
ATTEMPTS = {
    Fhir.CAPABILITIES: [],
    Fhir.READ: [a("GET", "/Patient/{patient}"), a("GET", "/Observation/{observation}")],
    Fhir.VREAD: [a("GET", "/Patient/{patient}/_history/1")],
    Fhir.SEARCH_TYPE: [
        a("GET", "/Observation", patient="{patient}"),
        a("GET", "/Observation", patient="Patient/{patient}"),
        a("GET", "/Patient", _id="{patient}"),
        a("GET", "/Observation", patient="{base}/Patient/{patient}"),
    ],
    Fhir.SEARCH_POST: [a("POST", "/Observation/_search", patient="{patient}")],
    Fhir.SEARCH_SYSTEM: [a("GET", "", _type="Observation", patient="{patient}")],
    Fhir.COMPARTMENT_SEARCH: [a("GET", "/Patient/{patient}/Observation")],
    Fhir.PAGE: [a("GET", "?_page={cursor}")],
    Fhir.HISTORY_INSTANCE: [a("GET", "/Patient/{patient}/_history")],
    Fhir.HISTORY_TYPE: [a("GET", "/Patient/_history", _id="{patient}")],
    Fhir.HISTORY_SYSTEM: [a("GET", "/_history", patient="{patient}")],
    Fhir.CREATE: [a("POST", "/Observation", CREATED)],
    Fhir.UPDATE: [a("PUT", "/Observation/{observation}", OBSERVATION)],
    Fhir.CONDITIONAL_UPDATE: [a("PUT", "/Observation?patient={patient}", OBSERVATION)],
    Fhir.PATCH: [a("PATCH", "/Observation/{observation}", "[]")],
    Fhir.CONDITIONAL_PATCH: [a("PATCH", "/Observation?patient={patient}", "[]")],
    Fhir.DELETE: [a("DELETE", "/Observation/{observation}")],
    Fhir.CONDITIONAL_DELETE: [a("DELETE", "/Observation?patient={patient}")],
    Fhir.OPERATION: [
        a("GET", "/Patient/{patient}/$everything"),
        a("POST", "/Patient/{patient}/$everything", BUNDLE),
    ],
    Fhir.BATCH: [a("POST", "", BUNDLE)],
}


def stock(house, name):
    """Give a hospital's FHIR server a patient with an observation, found and paged."""
    patient = {"resourceType": "Patient", "id": house.patient, "name": [{"family": house.family}]}
    pulse = {**json.loads(OBSERVATION), "id": name}
    pulse |= {"subject": {"reference": f"Patient/{house.patient}"}, "meta": {"versionId": "1"}}
    found = {
        "resourceType": "Bundle",
        "type": "searchset",
        "link": [{"relation": "next", "url": f"{house.upstream.base}?_getpages=77"}],
        "entry": [{"resource": pulse, "search": {"mode": "match"}}],
    }
    routes = {
        f"Patient/{house.patient}": patient,
        f"Observation/{name}": pulse,
        "Observation/_search": found,
        "Observation": found,
        "": {**found, "link": []},
    }
    house.upstream.routes.update({path: Answer(body) for path, body in routes.items()})


def an_app(house):
    """The patient's app, which may write."""
    flow = house.flows["patient"]
    issued = flow.exchange(flow.code(scope="launch/patient openid fhirUser patient/*.cruds"))
    return Caller("patient's app", bearer=issued.json()["access_token"])


@pytest.fixture(scope="module")
def matrix(database, signing_keys):
    """Two hospitals with records, and a page of a search in the hidden one."""
    with two_hospitals() as made:
        stock(made.hidden, made.found["observation"])
        stock(made.own, "o1")
        made.strangers["patient's app"] = an_app(made.own)
        owner = Caller("owner", bearer=made.found["access_token"])
        reply = made.door.ask(owner, Attempt("GET", "/t/{slug}/fhir/Observation"), made.found)
        (link,) = [one["url"] for one in reply.json["link"] if one["relation"] == "next"]
        made.found["cursor"] = link.partition("?_page=")[2]
        made.foreign["cursor"] = made.found["cursor"]
        made.absent |= absent({"cursor": made.found["cursor"]})
        yield made


def at_theirs(attempt):
    """The same at the other hospital's base."""
    return Attempt(
        attempt.method,
        attempt.path.replace("{own_slug}", "{slug}"),
        attempt.fields,
        attempt.body,
    )


def test_every_interaction_is_tried():
    missing = set(Fhir) - set(ATTEMPTS)
    assert not missing, f"say in ATTEMPTS how {missing} names what it is about"


@pytest.mark.spec("T4", "G50")
@pytest.mark.parametrize("interaction", list(ATTEMPTS), ids=str)
def test_foreign_ids_are_as_absent_ones(matrix, interaction):
    before, asked = matrix.hidden.seq(), len(matrix.hidden.upstream.asked)
    told = [line for attempt in ATTEMPTS[interaction] for line in matrix.told(attempt)]
    assert not told, "\n".join(told)
    assert (matrix.hidden.seq(), len(matrix.hidden.upstream.asked)) == (before, asked)


@pytest.mark.spec("T4", "G50")
@pytest.mark.parametrize("interaction", list(ATTEMPTS), ids=str)
def test_a_token_or_session_of_ours_is_at_their_base_as_one_of_nobody(matrix, interaction):
    asked = len(matrix.hidden.upstream.asked)
    for caller in matrix.strangers.values():
        pair = matrix.at_theirs(caller)
        for attempt in map(at_theirs, ATTEMPTS[interaction]):
            ours, nobodys = (matrix.door.ask(who, attempt, matrix.foreign) for who in pair)
            assert ours.status == 401
            assert comparable(ours, matrix.foreign) == comparable(nobodys, matrix.foreign)
            assert not matrix.leaked(ours, attempt)
    assert len(matrix.hidden.upstream.asked) == asked


@pytest.mark.spec("T4")
@pytest.mark.parametrize(
    "attempt",
    [
        *ATTEMPTS[Fhir.READ],
        *ATTEMPTS[Fhir.SEARCH_TYPE][:2],
        *ATTEMPTS[Fhir.PAGE],
        *ATTEMPTS[Fhir.CREATE],
    ],
    ids=lambda attempt: f"{attempt.method} {attempt.path}",
)
def test_at_home_the_ids_open_something(matrix, attempt):
    owner = Caller("owner", bearer=matrix.found["access_token"])
    served, missing = (
        comparable(matrix.door.ask(owner, at_theirs(attempt), ids), ids)
        for ids in (matrix.found, {**matrix.absent, "slug": matrix.found["slug"]})
    )
    assert served != missing
    assert served[0] != 401
