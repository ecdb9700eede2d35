"""Whatever is sent: never a fault, and never a resource that is not the token's patient's.

What belongs to whom is read off the synthetic records here, by the plainest rule, and not by the
policy's: an id belongs to the patient its own subject, patient or beneficiary names.
"""

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from smart.sandbox.generate import generate
from tests.gateway import asgi
from tests.sandbox.conftest import ANCHOR

OWN = "789"
PEOPLE = {"Practitioner", "PractitionerRole", "Organization", "Location", "Medication"}
NO_RECORD = {"OperationOutcome", "CapabilityStatement"}
SCOPES = [
    "openid fhirUser launch/patient patient/*.rs",
    "patient/*.cruds",
    "patient/Observation.rs patient/Encounter.r",
    "patient/Observation.rs?category=vital-signs patient/*.r?_security=x",
    "user/*.rs system/*.rs",
]


def one_of(words: str) -> st.SearchStrategy[str]:
    """One of the words of a text."""
    return st.sampled_from(words.split())


TYPES = one_of(
    "Patient Observation Condition Encounter Provenance RelatedPerson Coverage List Group "
    "Device Practitioner Organization Binary Bundle Person CareTeam DocumentReference "
    "Appointment Task patient Starship metadata _history _search $everything $graphql * "
    ".well-known"
)
IDS = one_of(
    "789 790 456 enc-789-1 enc-790-1 rel-790 rel-789 123 789x .. . %2e%2e ..%2f790 7%390 "
    "789%00 789;x=1 %252e%252e %37%38%39 _history _search $everything metadata 1"
)
WORDS = st.text(max_size=12)
PARAMETERS = one_of(
    "patient subject _id identifier name code category date performer encounter focus "
    "link value _include _revinclude _has _elements _summary _count _sort _total _type "
    "_filter _list _text _lastUpdated _security _format _pretty access_token _method "
    "frobnicate code-value-quantity patient:Patient subject:Group patient:not "
    "patient:missing patient:identifier code:in _id:not patient.name "
    "subject:Patient.birthdate _has:Observation:patient:code code:text"
)
VALUES = st.one_of(
    one_of(
        "789 790 Patient/789 Patient/790 789,790 789%2C790 790,789 789\\,790 "
        "Group/1,Patient/790 http://evil.example/Patient/789 Patient/789/_history/1 "
        "laboratory vital-signs 0 1 200 1000000 gt2020 le2024-01-01T00:00:00Z true false json "
        "xml -date,code * | |x x| a|b|c Observation:subject %26patient%3D790 %00 %0d%0aX:1 "
        "%ff %u0041 %2525 accurate"
    ),
    WORDS.map(lambda text: "".join(f"%{byte:02x}" for byte in text.encode())),
    st.binary(max_size=8).map(lambda raw: raw.decode("latin-1")),
)
HEADER_NAMES = one_of(
    "accept prefer content-type content-length transfer-encoding origin host cookie "
    "user-agent x-http-method-override x-forwarded-for if-none-match authorization "
    "connection range te"
)
HEADER_VALUES = st.one_of(
    one_of(
        "application/fhir+json application/fhir+xml */*;q=0 respond-async handling=lenient 0 "
        "5 -1 chunked null * https://app.example DELETE 127.0.0.1 ,,,; bytes=0-1 gzip"
    ).map(str.encode),
    st.binary(max_size=20),
)
METHODS = st.sampled_from(["GET"] * 8 + ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "X"])
PATHS = st.one_of(
    st.builds(lambda kind: f"/{kind}", TYPES),
    st.builds(lambda kind, number: f"/{kind}/{number}", TYPES, IDS),
    st.lists(st.one_of(TYPES, IDS, st.just("")), max_size=6).map(lambda all_: "/" + "/".join(all_)),
    st.binary(max_size=20).map(lambda raw: "/" + raw.decode("latin-1")),
)
QUERIES = st.lists(
    st.tuples(PARAMETERS, VALUES).map("=".join) | st.binary(max_size=8).map(str), max_size=4
).map("&".join)


@pytest.fixture(scope="module")
def owners() -> dict[tuple[str, str], str]:
    """Whose each resource of the sandbox is; nobody's where none is named."""
    return {
        (one["resourceType"], one["id"]): _owner(one)
        for one in generate("general-hospital", ANCHOR)
    }


def _owner(resource: dict[str, Any]) -> str:
    if resource["resourceType"] == "Patient":
        return str(resource["id"])
    for name in ("subject", "patient", "beneficiary"):
        if name in resource:
            return str(resource[name]["reference"]).removeprefix("Patient/")
    return ""


def resources_in(reply: asgi.Reply) -> list[dict[str, Any]]:
    """Every resource of an answer but refusals and the statement."""
    if not reply.body or not reply.headers["content-type"].startswith("application/fhir+json"):
        return []
    whole = json.loads(reply.body)
    found = [entry["resource"] for entry in whole.get("entry", [])]
    found = found if whole["resourceType"] == "Bundle" else [whole]
    return [one for one in found if one["resourceType"] not in NO_RECORD]


def is_allowed(resource: dict[str, Any], owners: dict[tuple[str, str], str]) -> bool:
    key = resource["resourceType"], resource["id"]
    return owners[key] == OWN or (owners[key] == "" and key[0] in PEOPLE)


@pytest.mark.spec("RSVR-06", "SCOP-14", "G1", "G2", "G8", "G10", "G13", "D6")
@settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    method=METHODS,
    path=PATHS,
    query=QUERIES,
    headers=st.lists(st.tuples(HEADER_NAMES.map(str.encode), HEADER_VALUES), max_size=2),
    scope=st.sampled_from(SCOPES),
)
@example(method="GET", path="/Observation", query="", headers=[], scope=SCOPES[0])
@example(method="GET", path="/Patient/789", query="", headers=[], scope=SCOPES[0])
@example(
    method="GET", path="/Patient", query="_sort=-birthdate&_count=1", headers=[], scope=SCOPES[1]
)
def test_no_request_faults_or_reaches_another_patient(
    hospital, tokens_of, owners, method, path, query, headers, scope
):
    raw_path = f"/t/{hospital.tenant.slug}/fhir".encode() + path.encode("latin-1")
    sent = [*headers, (b"authorization", b"Bearer " + tokens_of[scope].encode())]
    reply = hospital.run(asgi.call(method, raw_path, query.encode("latin-1", "replace"), sent))
    assert reply.status < 500, (reply.status, path, query, reply.body)
    is_fhir = reply.headers.get("content-type", "").startswith("application/fhir+json")
    assert is_fhir or method == "OPTIONS" or "/.well-known/" in path
    assert all(is_allowed(one, owners) for one in resources_in(reply)), reply.body
    assert hospital.address not in reply.everything


SEGMENTS = st.one_of(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
        max_leaves=5,
    )
    | st.fixed_dictionaries(
        {"alg": st.sampled_from(["ES256", "none", "HS256", [], None])},
        optional={"kid": WORDS | st.none(), "typ": st.just("at+jwt"), "crit": st.just(["x"])},
    ),
).map(lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"="))


@pytest.mark.spec("RSVR-02", "O18")
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(credential=st.lists(SEGMENTS, max_size=4).map(b".".join) | st.binary(max_size=30))
def test_no_other_credential_opens_anything(hospital, credential):
    raw_path = f"/t/{hospital.tenant.slug}/fhir/Patient/789".encode()
    headers = [(b"authorization", b"Bearer " + credential)]
    reply = hospital.run(asgi.call("GET", raw_path, b"", headers))
    reply.outcome(401, "login")
    assert len(hospital.events(reply)) == bool(credential.strip())


@pytest.fixture
def tokens_of(hospital) -> dict[str, str]:
    """A live token for each of the scopes, all of John Doe."""
    return {scope: hospital.token(scope, seconds=3600) for scope in SCOPES}


def test_the_oracle_knows_its_own_from_others(hospital, owners):
    """It finds the records of an ordinary search, and would object to anybody else's."""
    reply = hospital.ask("/Observation", hospital.token())
    found = resources_in(reply)
    assert len(found) == 165
    assert all(is_allowed(one, owners) for one in found)
    theirs = hospital.ask("/Observation?_count=1", hospital.token(patient="456"))
    assert not any(is_allowed(one, owners) for one in resources_in(theirs))
