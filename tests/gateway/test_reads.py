"""Reads, versions and histories: each version is judged by itself (G24, G28, G29, GRAN-04)."""

import pytest

from tests.gateway.two_records import CATEGORY

ANN = {"patient": "ann", "fhir_user": "Patient/ann"}


@pytest.fixture
def ann(hands):
    return hands.token("patient/*.rs", **ANN)


def not_there(hands, reply, token, path="/Flag/never-was"):
    """Byte for byte what an id that never was is answered (rule c)."""
    absent = hands.ask(path, token)
    assert reply.outcome(404, "not-found") == absent.outcome(404, "not-found")
    names = {name for name, _ in reply.raw_headers}
    assert names == {name for name, _ in absent.raw_headers}


@pytest.mark.spec("G28", "SCOP-04")
def test_a_version_is_read(hands, ann):
    reply = hands.ask("/Flag/moved-in/_history/2", ann)
    assert (reply.status, reply.json["meta"]["versionId"]) == (200, "2")
    assert reply.headers["etag"] == 'W/"2"'
    seen = hands.event(reply)
    assert (seen.code, seen.outcome, seen.details["interaction"]) == (
        "fhir.read.allow",
        "success",
        "vread",
    )


@pytest.mark.spec("G28")
@pytest.mark.parametrize(
    "path",
    [
        "/Flag/moved-in/_history/1",
        "/Flag/lent/_history/2",
        "/Flag/lent/_history/3",
        "/Flag/lent/_history/x",
        "/Flag/gone-bob/_history/1",
        "/Flag/gone-ann/_history/2",
        "/Observation/obs-bob/_history/1",
        "/Encounter/enc-bob/_history/1",
    ],
)
def test_a_version_that_was_somebody_elses_is_as_if_it_were_not_there(hands, ann, path):
    not_there(hands, hands.ask(path, ann), ann)


@pytest.mark.spec("G28")
def test_the_version_of_another_patient_is_refused_unseen(hands, ann):
    hands.ask("/Patient/bob/_history/1", ann).outcome(403, "forbidden")
    assert hands.ask("/Patient/ann/_history/1", ann).status == 200


def versions(reply):
    assert (reply.status, reply.json["type"]) == (200, "history"), reply.body
    return [
        (one["request"]["method"], one["response"]["etag"], "resource" in one)
        for one in reply.json["entry"]
    ]


@pytest.mark.spec("G28", "G29", "GRAN-12")
@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/Flag/moved-in/_history", [("PUT", 'W/"2"', True)]),
        ("/Flag/lent/_history", [("PUT", 'W/"1"', True)]),
        ("/Flag/gone-ann/_history", [("DELETE", 'W/"2"', False), ("PUT", 'W/"1"', True)]),
        ("/Flag/gone-moved/_history", [("PUT", 'W/"1"', True)]),
    ],
)
def test_a_history_shows_the_versions_that_were_the_patients(hands, ann, path, shown):
    reply = hands.ask(path, ann)
    assert versions(reply) == shown
    assert reply.json["total"] == len(shown)
    assert {one["fullUrl"].rsplit("/fhir/", 1)[1] for one in reply.json["entry"]} == {
        path.removeprefix("/").removesuffix("/_history")
    }


@pytest.mark.spec("G28")
@pytest.mark.parametrize(
    "path",
    ["/Flag/gone-bob/_history", "/Observation/obs-bob/_history", "/Observation/nobody/_history"],
)
def test_a_history_of_somebody_else_is_as_if_it_were_not_there(hands, ann, path):
    not_there(hands, hands.ask(path, ann), ann)


@pytest.mark.spec("G28")
@pytest.mark.parametrize("path", ["/_history", "/Flag/_history", "/Patient/_history"])
def test_histories_of_types_are_not_offered(hands, ann, path):
    hands.ask(path, ann).outcome(403, "not-supported")


@pytest.mark.spec("G6")
@pytest.mark.parametrize(
    "query", ["x=1", "_at=2024", "_since=soon", "_count=1", "_since=2020&_since=2021", "_page=x"]
)
def test_a_history_takes_an_instant_only(hands, ann, query):
    assert hands.ask(f"/Flag/lent/_history?{query}", ann).status == 400


def test_a_history_since_a_moment(hands, ann):
    later = hands.ask("/Flag/gone-ann/_history?_since=2999-01-01", ann)
    later.outcome(404, "not-found")
    assert len(versions(hands.ask("/Flag/gone-ann/_history?_since=2020-01-01T00:00:00Z", ann))) == 2


@pytest.mark.spec("G29")
def test_gone_is_told_to_whom_the_last_version_was_shown_only(hands, ann):
    gone = hands.ask("/Flag/gone-ann", ann)
    assert gone.outcome(410, "deleted") == "The resource was deleted."
    for path in ("/Flag/gone-bob", "/Flag/gone-moved", "/Flag/lent", "/Observation/obs-bob"):
        not_there(hands, hands.ask(path, ann), ann)


@pytest.mark.spec("G29", "G42")
def test_gone_is_not_told_outside_the_scope(hands):
    token = hands.token("patient/Flag.r?category=drug", **ANN)
    not_there(hands, hands.ask("/Flag/gone-ann", token), token)


@pytest.mark.spec("G42", "GRAN-03", "GRAN-04", "GRAN-12")
def test_a_granular_scope_holds_for_versions_too(hands):
    labs = hands.token(f"patient/Observation.r?category={CATEGORY}|laboratory", **ANN)
    assert hands.ask("/Observation/lab-ann/_history/1", labs).status == 200
    assert hands.ask("/Observation/lab-ann/_history", labs).json["total"] == 1
    for path in ("/Observation/vital-ann/_history/1", "/Observation/vital-ann/_history"):
        not_there(hands, hands.ask(path, labs), labs, "/Observation/never-was")


@pytest.mark.spec("G43", "SCOP-04")
@pytest.mark.parametrize("path", ["/Flag/lent/_history", "/Flag/lent/_history/1", "/Flag/lent"])
def test_searching_gives_no_reading(hands, path):
    hands.ask(path, hands.token("patient/Flag.s", **ANN)).outcome(403, "forbidden")


@pytest.mark.spec("G24")
def test_conditional_reads_tell_nothing_of_others(hands, ann):
    headers = {"If-None-Match": 'W/"1"', "If-Modified-Since": "Fri, 31 Dec 2100 23:59:59 GMT"}
    reply = hands.ask("/Observation/obs-bob", ann, headers=headers)
    not_there(hands, reply, ann)
    assert hands.ask("/Observation/lab-ann", ann, headers=headers).status == 200


@pytest.mark.spec("G28")
def test_versions_are_offered_where_the_server_behind_lists_them_only(clinic):
    token = clinic.token(patient="456")
    for path in ("/Patient/456/_history", "/Patient/456/_history/1"):
        text = clinic.ask(path, token).outcome(403, "not-supported")
        assert "Offered are: read, search-type." in text
