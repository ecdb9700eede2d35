"""One event for each access, stored before its answer leaves; no event, no record (V8)."""

import asyncio
import threading

import pytest
from django.db import OperationalError, connection

from audit import chain
from audit.models import patient_index
from audit.writer import AuditUnavailableError, GroupWriter
from authfi.asgi import application
from authfi.lib import tenancy
from tenants.http import fhir_base
from tests.gateway import asgi
from tests.gateway.conftest import CLIENT
from tests.server.conftest import claims_of


@pytest.fixture
def token(hospital):
    return hospital.token()


@pytest.mark.spec("A1", "A2", "V8")
def test_a_read_is_told_whole(hospital, token):
    headers = {"User-Agent": "Growth Chart/1.0"}
    reply = hospital.ask("/Encounter/enc-789-1", token, headers=headers)
    seen = hospital.event(reply)
    assert (seen.code, seen.outcome, seen.client_id) == ("fhir.read.allow", "success", CLIENT)
    with tenancy.bind(hospital.tenant):
        assert seen.patient_index == patient_index("789")
    assert seen.details == {
        "actor": {"type": "person", "id": str(hospital.user.pk), "roles": [], "aal": 2},
        "patient": "789",
        "object": "Encounter/enc-789-1",
        "reason": "patient/*.rs covers read of Encounter.",
        "rule": "scope.covers",
        "ip": "192.0.2.7",
        "user_agent": "Growth Chart/1.0",
        "interaction": "read",
        "scopes": "openid fhirUser launch/patient patient/*.rs",
        "jti": claims_of(token)["jti"],
        "query": "",
        "returned": 1,
    }


@pytest.mark.spec("A1", "A2", "A3", "A10")
def test_a_search_is_told_with_its_query_and_its_count(hospital, token):
    reply = hospital.ask("/Observation?category=laboratory&_count=7&date=gt2000", token)
    seen = hospital.event(reply)
    assert (seen.code, seen.outcome) == ("fhir.search.allow", "success")
    assert seen.details["query"] == "category=laboratory&_count=7&date=gt2000"
    assert seen.details["returned"] == len(reply.ids()) == 7
    assert (seen.details["object"], seen.details["patient"]) == ("Observation", "789")


@pytest.mark.spec("A1", "A2", "A3")
@pytest.mark.parametrize(
    ("method", "path", "code", "rule", "reason"),
    [
        ("GET", "/Patient/790", "fhir.read.deny", "compartment.patient", "another patient"),
        ("GET", "/Encounter/enc-790-1", "fhir.read.deny", "response.gate", "another patient's"),
        ("GET", "/Encounter/absent", "fhir.read.deny", "response.gate", "Absent"),
        ("GET", "/Observation?patient=790", "fhir.search.deny", "search.patient", "another"),
        ("GET", "/Observation?_contained=both", "fhir.search.deny", "search.result", "_contained"),
        ("POST", "/Observation", "fhir.create.deny", "scope.covers", "No granted scope"),
        ("PUT", "/Patient/789", "fhir.update.deny", "scope.covers", "No granted scope"),
        ("PATCH", "/Patient/789", "fhir.update.deny", "scope.covers", "No granted scope"),
        ("DELETE", "/Patient/789", "fhir.delete.deny", "scope.covers", "No granted scope"),
        ("GET", "/Patient/789/$everything", "fhir.op.deny", "interaction.offered", "$everything"),
        ("POST", "/", "fhir.op.deny", "interaction.offered", "batch"),
        ("GET", "/Patient/_history", "fhir.search.deny", "interaction.offered", "history-type"),
        ("GET", "/Patient/..?x=1", "fhir.op.deny", "request.grammar", "not a FHIR path"),
        ("GET", "/Starship/1", "fhir.op.deny", "request.grammar", "Unknown resource type"),
        ("TRACE", "/Patient/789", "fhir.op.deny", "request.grammar", "no such method"),
    ],
)
def test_each_refusal_is_one_event(hospital, token, method, path, code, rule, reason):
    reply = hospital.ask(path, token, method=method)
    seen = hospital.event(reply)
    assert (seen.code, seen.outcome, seen.rule) == (code, "denied", rule)
    assert reason in seen.details["reason"]
    assert (seen.client_id, seen.details["patient"]) == (CLIENT, "789")
    assert seen.details["jti"] == claims_of(token)["jti"]
    assert seen.details["status"] == reply.status
    if rule == "request.grammar":
        assert seen.details["query"] == f"{method} {path}"


@pytest.mark.spec("A3")
@pytest.mark.parametrize(
    ("method", "path", "named"),
    [
        ("GET", "/Patient/790", ["790"]),
        ("PUT", "/Patient/790", ["790"]),
        ("GET", "/Patient/790/$everything", ["790"]),
        ("GET", "/Patient/790/Observation", ["790"]),
        ("GET", "/Observation?patient=790", ["790"]),
        ("GET", "/Observation?patient=790,791&subject=Patient/792&patient=790", "790 791 792"),
        ("GET", "/Observation?subject:Patient=790", ["790"]),
        ("GET", "/Observation?patient={base}/Patient/790", ["790"]),
        ("GET", "/Patient?_id=789,790", ["790"]),
        ("GET", "/Observation?patient=https://evil.example/Patient/790", []),
        ("GET", "/Observation?patient=Jane%20Doe", []),
        ("GET", "/Observation?patient:identifier=790", []),
        ("GET", "/Observation?subject.name=790", []),
        ("GET", "/Observation?subject=Group/790", []),
        ("GET", "/Encounter/790", []),
        ("GET", "/Encounter?_id=790", []),
        ("GET", "/Observation?patient=789", []),
    ],
)
def test_a_request_is_told_under_every_patient_it_names(hospital, token, method, path, named):
    others = named.split() if isinstance(named, str) else named
    path = path.replace("{base}", fhir_base(hospital.tenant))
    own, *more = hospital.events(hospital.ask(path, token, method=method))
    assert [one.details["patient"] for one in (own, *more)] == ["789", *others]
    with tenancy.bind(hospital.tenant):
        assert [one.patient_index for one in more] == [patient_index(one) for one in others]
    assert {(one.code, one.details["rule"]) for one in more} <= {(own.code, own.rule)}


@pytest.mark.spec("A3")
def test_the_patients_of_one_request_told_of_are_bounded(hospital, token):
    many = ",".join(str(n) for n in range(1000, 1400))
    assert len(hospital.events(hospital.ask(f"/Observation?patient={many}", token))) == 101


@pytest.mark.spec("A10")
def test_a_long_url_is_cut_in_the_trail(hospital, token):
    seen = hospital.event(hospital.ask("/Patient?name=" + "x" * 9000, token))
    assert len(seen.details["query"]) == 2000


@pytest.mark.spec("A10")
def test_nothing_of_an_access_is_stored_in_clear(hospital, token):
    reply = hospital.ask("/Observation?code=85354-9&_count=1", token)
    with tenancy.bind(hospital.tenant), connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM audit_event WHERE request_id = %s", [reply.headers["x-request-id"]]
        )
        row = b"|".join(
            bytes(one) if isinstance(one, bytes | memoryview) else str(one).encode()
            for one in cursor.fetchone()
        )
    for hidden in (b"85354-9", b"192.0.2.7", b"patient/*.rs", str(hospital.user.pk).encode()):
        assert hidden not in row


def test_metadata_and_preflights_are_no_events(hospital):
    for reply in (hospital.ask("/metadata"), hospital.ask("/Patient/789", method="OPTIONS")):
        assert hospital.events(reply) == []


# No audit, no record -------------------------------------------------------------------------


def full(*_):
    raise AuditUnavailableError("too many events wait to be stored")


def broken(*_):
    raise OperationalError("the disk is full")


FAILURES = {
    "queue": (GroupWriter, "submit", full),
    "database": (chain, "append_and_commit", broken),
}


@pytest.mark.spec("V8", "V5")
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize(
    "path",
    ["/Patient/789", "/Observation", "/Patient/790", "/Encounter/absent", "/Patient/..", "/x"],
)
def test_without_the_trail_nothing_is_answered(hospital, token, monkeypatch, failure, path):
    assert hospital.ask("/Patient/789", token).status == 200
    monkeypatch.setattr(*FAILURES[failure])
    reply = hospital.ask(path, token)
    assert reply.outcome(503, "transient") == "The service cannot answer now."
    assert reply.headers["retry-after"] == "5"
    told = reply.everything.replace(reply.headers["x-request-id"].encode(), b"")  # random digits
    for hidden in (b"Doe", b"John", b"789", b"12345"):
        assert hidden not in told
    monkeypatch.undo()
    assert hospital.events(reply) == []
    assert hospital.ask("/Patient/789", token).status == 200


@pytest.mark.spec("V8")
def test_a_bad_token_is_503_too_while_it_cannot_be_told(hospital, monkeypatch):
    monkeypatch.setattr(*FAILURES["queue"])
    hospital.ask("/Patient/789", "bad").outcome(503, "transient")


@pytest.mark.spec("V8")
@pytest.mark.parametrize("path", ["/Patient/789", "/Condition", "/Patient/790"])
def test_the_first_byte_waits_for_the_commit(hospital, token, monkeypatch, path):
    assert hospital.ask("/Patient/789", token).status == 200
    reached, go_on = threading.Event(), threading.Event()
    commit = chain.append_and_commit

    def held_up(*given):
        reached.set()
        assert go_on.wait(20)
        commit(*given)

    monkeypatch.setattr(chain, "append_and_commit", held_up)

    async def watch():
        asking = asyncio.create_task(hospital.asking(path, token))
        await asyncio.to_thread(reached.wait, 20)
        done, _ = await asyncio.wait([asking], timeout=0.2)
        go_on.set()
        return done, await asking

    answered_before, reply = hospital.run(watch())
    assert not answered_before
    assert reply.status in (200, 403)
    assert hospital.event(reply)


@pytest.mark.spec("V8")
def test_a_client_that_hangs_up_is_in_the_trail(hospital, token):
    """What was read for it was read."""
    path = f"/t/{hospital.tenant.slug}/fhir/Encounter/enc-789-3".encode()
    headers = [(b"authorization", b"Bearer " + token.encode())]
    request_ids = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        request_ids.append(dict(message["headers"])[b"x-request-id"].decode())
        raise OSError("the client is gone")

    async def ask():
        await application(asgi.scope_of("GET", path, b"", headers), receive, send)

    hospital.run(ask())
    reply = asgi.Reply(200, ((b"x-request-id", request_ids[0].encode()),), b"")
    assert hospital.event(reply).details["object"] == "Encounter/enc-789-3"


@pytest.mark.spec("V8")
def test_a_request_cancelled_while_it_is_told_is_in_the_trail(hospital, token, monkeypatch):
    assert hospital.ask("/Patient/789", token).status == 200
    reached, go_on = threading.Event(), threading.Event()
    commit = chain.append_and_commit
    rows = []

    def held_up(connection, found):
        rows.extend(found)
        reached.set()
        assert go_on.wait(20)
        commit(connection, found)
        reached.clear()

    monkeypatch.setattr(chain, "append_and_commit", held_up)

    async def cancelled():
        asking = asyncio.create_task(hospital.asking("/Encounter/enc-789-2", token))
        await asyncio.to_thread(reached.wait, 20)
        asking.cancel()
        await asyncio.wait([asking])
        go_on.set()
        assert asking.cancelled()

    hospital.run(cancelled())
    monkeypatch.undo()
    hospital.ask("/Patient/789", token)  # the writer is done with what came before
    (row,) = rows
    reply = asgi.Reply(0, ((b"x-request-id", row.request_id.encode()),), b"")
    assert hospital.event(reply).details["object"] == "Encounter/enc-789-2"
