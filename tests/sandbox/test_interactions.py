"""The RESTful interactions over HTTP (FHIR R4 3.1.0)."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smart.sandbox.interactions import Interactions, Request
from smart.sandbox.outcome import Resource
from tests.sandbox.conftest import Reply, Sandbox


def observation(**members: Any) -> Resource:
    return {"resourceType": "Observation", "status": "final", **members}


def assert_outcome(reply: Reply, status: int, code: str) -> None:
    assert reply.status == status
    assert reply.headers["content-type"].startswith("application/fhir+json")
    assert reply.json["resourceType"] == "OperationOutcome"
    assert reply.json["issue"][0]["code"] == code


def test_read_gives_version_and_date(sandbox):
    reply = sandbox.call("GET", "/Patient/456")
    assert reply.status == 200
    assert reply.json["name"][0]["text"] == "Margaret Ellis"
    assert reply.headers["etag"] == 'W/"1"'
    assert reply.headers["last-modified"].endswith("GMT")
    assert reply.headers["content-type"] == "application/fhir+json; charset=utf-8"


def test_an_unchanged_resource_is_not_sent_again(sandbox):
    same = sandbox.call("GET", "/Patient/456", If_None_Match='W/"1"')
    assert (same.status, same.content) == (304, b"")
    assert sandbox.call("GET", "/Patient/456", If_None_Match='W/"9"').status == 200


def test_head_is_a_read_without_a_body(sandbox):
    reply = sandbox.call("HEAD", "/Patient/456")
    assert (reply.status, reply.content) == (200, b"")
    assert reply.headers["etag"] == 'W/"1"'


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/Patient/nobody", "not-found"),
        ("/Patient/..", "not-found"),
        ("/PATIENT/456", "not-supported"),
        ("/Patients", "not-supported"),
        ("/Patient/456/Observation", "not-supported"),
        ("/Patient/456/$everything", "not-supported"),
        ("/Patient/a%20b", "not-supported"),
        ("/Patient/456/_history/2", "not-found"),
        ("/Patient/456/_history/x", "not-found"),
        ("/Patient/456/_history/99999999999999999999", "not-found"),
        ("/Patient/nobody/_history", "not-found"),
        ("/OperationOutcome/1", "not-supported"),
    ],
)
def test_what_is_not_there_is_a_404(sandbox, path, code):
    assert_outcome(sandbox.call("GET", path), 404, code)


def test_a_resource_lives_through_its_versions(sandbox):
    created = sandbox.call("POST", "/Observation", observation(id="mine"))
    assert created.status == 201
    assert created.headers["etag"] == 'W/"1"'
    name = created.json["id"]
    assert name != "mine"
    assert created.headers["location"] == f"{sandbox.base}/Observation/{name}/_history/1"
    address = f"/Observation/{name}"

    updated = sandbox.call(
        "PUT", address, observation(id=name, note=[{"text": "two"}]), If_Match='W/"1"'
    )
    assert (updated.status, updated.json["meta"]["versionId"]) == (200, "2")
    stale = sandbox.call("PUT", address, observation(id=name), If_Match='W/"1"')
    assert_outcome(stale, 412, "conflict")
    assert_outcome(sandbox.call("DELETE", address, If_Match='W/"1"'), 412, "conflict")

    gone = sandbox.call("DELETE", address)
    assert (gone.status, gone.content) == (204, b"")
    assert_outcome(sandbox.call("GET", address), 410, "deleted")
    assert_outcome(sandbox.call("GET", f"{address}/_history/3"), 410, "deleted")
    assert "note" not in sandbox.call("GET", f"{address}/_history/1").json
    assert sandbox.call("GET", f"{address}/_history/2").json["note"] == [{"text": "two"}]
    assert sandbox.search("Observation", ("_id", name)).json["total"] == 0

    history = sandbox.call("GET", f"{address}/_history").json
    assert (history["type"], history["total"]) == ("history", 3)
    entries = [(e["request"]["method"], e["response"]["status"]) for e in history["entry"]]
    assert entries == [("DELETE", "204"), ("PUT", "200"), ("POST", "201")]
    assert "resource" not in history["entry"][0]

    back = sandbox.call("PUT", address, observation(id=name))
    assert (back.status, back.headers["etag"]) == (201, 'W/"4"')


def test_update_as_create_takes_the_given_id(sandbox):
    reply = sandbox.call("PUT", "/Patient/new-one", {"resourceType": "Patient", "id": "new-one"})
    assert (reply.status, reply.headers["etag"]) == (201, 'W/"1"')
    assert sandbox.call("DELETE", "/Patient/new-one").status == 204


def test_deleting_nothing_is_no_error(sandbox):
    assert sandbox.call("DELETE", "/Patient/nobody").status == 204


def test_any_type_of_r4_can_be_stored(sandbox):
    task = {"resourceType": "Task", "id": "t", "status": "draft", "intent": "order"}
    assert sandbox.call("PUT", "/Task/t", task).status == 201
    assert sandbox.search("Task", ("_id", "t")).ids() == ["Task/t"]


def test_the_answer_to_a_write_can_be_minimal(sandbox):
    reply = sandbox.call("POST", "/Observation", observation(), Prefer="return=minimal")
    assert (reply.status, reply.content) == (201, b"")
    assert reply.headers["location"].startswith(f"{sandbox.base}/Observation/")


@pytest.mark.parametrize(
    ("path", "resource", "code"),
    [
        ("/Observation/x", {"resourceType": "Observation", "id": "y"}, "invalid"),
        ("/Observation/x", {"resourceType": "Observation"}, "invalid"),
        ("/Observation/x", {"resourceType": "Patient", "id": "x"}, "structure"),
        ("/Observation/x", {"id": "x"}, "structure"),
        ("/Observation/x", [], "structure"),
        ("/Observation/x", {"resourceType": "Observation", "id": "x", "meta": 1}, "structure"),
    ],
)
def test_a_resource_that_is_not_what_the_url_says_is_refused(sandbox, path, resource, code):
    assert_outcome(sandbox.call("PUT", path, resource), 400, code)
    assert sandbox.call("GET", path).status == 404


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"<Patient/>", b"[" * 5000])
def test_a_body_that_is_no_json_is_refused(sandbox, body):
    headers = {
        "Authorization": f"Bearer {sandbox.bearer}",
        "Content-Type": "application/fhir+json",
    }
    assert_outcome(sandbox.send("POST", "/fhir/Patient", body, headers), 400, "structure")


@pytest.mark.parametrize("media_type", ["application/fhir+xml", "text/plain", ""])
def test_other_media_types_are_refused(sandbox, media_type):
    headers = {"Authorization": f"Bearer {sandbox.bearer}", "Content-Type": media_type}
    body = json.dumps(observation()).encode()
    assert_outcome(sandbox.send("POST", "/fhir/Observation", body, headers), 415, "not-supported")


def test_a_body_over_the_limit_is_refused(sandbox):
    big = observation(note=[{"text": "x" * (5 * 1024 * 1024)}])
    assert_outcome(sandbox.call("POST", "/Observation", big), 413, "too-long")


def test_xml_cannot_be_had(sandbox):
    asked = sandbox.call("GET", "/Patient/456?_format=xml")
    accepted = sandbox.call("GET", "/Patient/456", Accept="application/fhir+xml")
    for reply in (asked, accepted):
        assert_outcome(reply, 406, "not-supported")
    assert sandbox.call("GET", "/Patient/456?_format=application/fhir%2Bjson").status == 200
    assert sandbox.call("GET", "/Patient/456", Accept="application/fhir+json").status == 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/Patient", "GET, POST"),
        ("PUT", "/Patient", "GET, POST"),
        ("PATCH", "/Patient/456", "DELETE, GET, PUT"),
        ("POST", "/Patient/456", "DELETE, GET, PUT"),
        ("GET", "/Patient/_search", "POST"),
        ("POST", "", "GET"),
        ("POST", "/metadata", "GET"),
    ],
)
def test_other_methods_are_refused(sandbox, method, path, allow):
    reply = sandbox.call(method, path)
    assert_outcome(reply, 405, "not-supported")
    assert reply.headers["allow"] == allow


def test_conditional_writes_are_refused_not_ignored(sandbox):
    before = sandbox.search("Observation", ("_summary", "count")).json["total"]
    reply = sandbox.call("POST", "/Observation", observation(), If_None_Exist="identifier=1")
    assert_outcome(reply, 400, "not-supported")
    assert_outcome(sandbox.call("DELETE", "/Patient/456", If_Match="*"), 400, "invalid")
    assert sandbox.search("Observation", ("_summary", "count")).json["total"] == before
    assert sandbox.call("GET", "/Patient/456").status == 200


def post_search(
    sandbox: Sandbox,
    body: bytes,
    media_type: str = "application/x-www-form-urlencoded",
    query: str = "",
) -> Reply:
    headers = {"Authorization": f"Bearer {sandbox.bearer}", "Content-Type": media_type}
    return sandbox.send("POST", f"/fhir/Encounter/_search{query}", body, headers)


def test_search_by_form_joins_body_and_query(sandbox):
    by_form = post_search(sandbox, b"patient=456&_count=3")
    by_url = sandbox.search("Encounter", ("patient", "456"), ("_count", "3"))
    assert by_form.ids() == by_url.ids()
    assert by_form.json["total"] == by_url.json["total"]
    assert post_search(sandbox, b"patient=456", query="?patient=789").json["total"] == 0
    assert_outcome(post_search(sandbox, b"{}", "application/json"), 415, "not-supported")
    assert_outcome(post_search(sandbox, b"patient=\xff"), 400, "invalid")
    assert_outcome(post_search(sandbox, b"&".join([b"_id=1"] * 300)), 400, "invalid")


def test_unknown_parameters_follow_the_preference(sandbox):
    pairs = [("shoe-size", "44"), ("_summary", "count")]
    assert sandbox.search("Patient", *pairs).json["total"] == 25
    strict = sandbox.search("Patient", *pairs, Prefer="handling=strict")
    assert_outcome(strict, 400, "invalid")


def test_the_server_answers_the_searches_that_a_gateway_must_refuse(sandbox):
    for pair in (("patient.name", "jane"), ("subject:Patient.name", "jane")):
        reply = sandbox.search("Observation", pair)
        subjects = {e["resource"]["subject"]["reference"] for e in reply.json["entry"]}
        assert subjects == {"Patient/790"}
    reverse = sandbox.search("Patient", ("_has:Encounter:patient:_id", "enc-789-1"))
    assert reverse.ids() == ["Patient/789"]
    several = sandbox.search("Encounter", ("patient", "456,790"), ("_count", "1000"))
    assert {e["resource"]["subject"]["reference"] for e in several.json["entry"]} == {
        "Patient/456",
        "Patient/790",
    }


def test_searches_that_the_demo_app_makes(sandbox):
    """The forms a SMART app uses most: category and code with systems, sorted by date."""
    category = "http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"
    vitals = sandbox.search(
        "Observation", ("patient", "Patient/456"), ("category", category), ("_sort", "-date")
    )
    dates = [entry["resource"]["effectiveDateTime"] for entry in vitals.json["entry"]]
    assert dates == sorted(dates, reverse=True)
    hba1c = sandbox.search(
        "Observation",
        ("patient", "456"),
        ("code", "http://loinc.org|4548-4,http://loinc.org|2345-7"),
        ("date", "ge2025"),
        ("_sort", "date"),
    )
    codes = {e["resource"]["code"]["coding"][0]["code"] for e in hba1c.json["entry"]}
    assert codes == {"4548-4", "2345-7"}
    running = sandbox.search("Encounter", ("patient", "456"), ("status", "in-progress"))
    assert running.ids() == ["Encounter/enc-456-1"]


@pytest.mark.parametrize(
    "body",
    [
        "_id=" + ",".join(["a"] * 301),
        "&".join(["date=ge" + ",ge".join(["2024"] * 300)] * 40),
    ],
)
def test_a_search_that_costs_too_much_is_refused(sandbox, body):
    assert_outcome(post_search(sandbox, body.encode()), 400, "too-costly")


def test_a_long_search_is_answered(sandbox):
    body = "&".join(["date=ge" + ",ge".join(["2024"] * 300)] * 15)
    assert post_search(sandbox, body.encode()).status == 200


NAMES = ["_id", "date", "code", "subject", "patient.name", "_has:Encounter:patient:_id", "_sort"]
NAMES += ["_include", "_count", "_elements", "status:not", "_lastUpdated", "identifier", "_format"]
PARTS = ["Observation", "Patient", "1", "_history", "_search", "metadata", "..", "", "Binary"]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"]),
    path=st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=4),
    pairs=st.lists(st.tuples(st.sampled_from(NAMES), st.text(max_size=8)), max_size=3),
    body=st.binary(max_size=20),
    media_type=st.sampled_from(["application/json", "application/x-www-form-urlencoded", ""]),
)
def test_no_request_breaks_the_server(store, method, path, pairs, body, media_type):
    headers = {"content-type": media_type, "if-match": body.hex()}
    request = Request(method, tuple(path), urlencode(pairs), headers, body, "http://x/fhir")
    response = Interactions(store).handle(request)
    assert response.status < 500
    if response.body:
        assert json.loads(response.body)["resourceType"]
