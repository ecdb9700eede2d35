"""What the server behind may answer to a write, and what the app and the trail are told then."""

import json
import socket
import threading

import pytest

from authfi.lib import tenancy
from smart.gateway import fetch
from smart.models import WriteIntent
from smart.upstream import GATEWAY
from tests import fhir_server
from tests.fhir_server import Answer
from tests.gateway.conftest import BEARER, a_base
from tests.gateway.ward import JSON, PULSE, changed

MINE = changed(PULSE, subject={"reference": "Patient/456"}, id="o1", meta={"versionId": "7"})
NEW = changed(MINE, id=None, meta=None)
KINDS = {"read", "create", "update", "delete"}
STATEMENT = {
    **fhir_server.STATEMENT,
    "rest": [
        {
            "mode": "server",
            "resource": [
                {"type": "Observation", "interaction": [{"code": one} for one in sorted(KINDS)]},
                {"type": "Goal", "interaction": [{"code": "read"}]},
                {"type": "Patient", "interaction": [{"code": "read"}]},
            ],
        }
    ],
}


@pytest.fixture
def clinic(lakeside, runner, upstream):
    """Lakeside, in front of a server that can write; `upstream.routes` says what it answers."""
    upstream.routes["metadata"] = Answer(STATEMENT)
    upstream.routes["Observation/o1"] = by_method(GET=Answer(MINE, headers={"ETag": 'W/"7"'}))
    base = a_base(lakeside, runner, upstream.base, BEARER)
    base.hidden += [b"Traceback", b"secret", b"HAPI-0450"]
    upstream.asked.clear()
    return base


def by_method(**answers):
    return lambda asked: answers.get(asked.method, Answer({"secret": "Traceback"}, 500))


def ask(clinic, method, body=None, **headers):
    path = "/Observation" if method == "POST" else "/Observation/o1"
    sent = b"" if body is None else json.dumps(body).encode()
    token = clinic.token("patient/*.cruds", patient="456")
    names = {**(JSON if body is not None else {}), **headers}
    return clinic.ask(path, token, method=method, headers=names, body=sent)


def scripted(upstream, method, answer):
    if method == "POST":
        upstream.routes["Observation"] = by_method(POST=answer)
    else:
        get = Answer(MINE, headers={"ETag": 'W/"7"'})
        upstream.routes["Observation/o1"] = by_method(GET=get, **{method: answer})


def writes_of(upstream):
    return [asked for asked in upstream.asked if asked.method not in ("GET", "HEAD")]


def told(clinic, reply):
    with tenancy.bind(clinic.tenant):
        assert WriteIntent.objects.count() == 0
    intent, outcome = clinic.events(reply)
    assert intent.code == "fhir.intent"
    assert intent.details["intent"] == outcome.details["intent"]
    return outcome


NOBODY = {"resourceType": "Bundle", "type": "searchset", "total": 0}
CALLS = [("POST", NEW), ("PUT", MINE), ("DELETE", None)]


@pytest.mark.spec("G26", "G36", "G40", "G41", "V9")
@pytest.mark.parametrize(("method", "body"), CALLS)
@pytest.mark.parametrize(
    ("status", "expected", "issue", "result"),
    [
        (400, 422, "processing", "refused"),
        (422, 422, "processing", "refused"),
        (413, 422, "processing", "refused"),
        (401, 502, "transient", "refused"),
        (403, 502, "transient", "refused"),
        (405, 502, "transient", "refused"),
        (501, 502, "transient", "refused"),
        (429, 429, "throttled", "unavailable"),
        (503, 503, "transient", "unavailable"),
        (500, 504, "timeout", "unknown"),
        (502, 504, "timeout", "unknown"),
        (302, 504, "timeout", "unknown"),
        (202, 504, "timeout", "unknown"),
    ],
)
def test_every_answer_has_its_words_and_its_outcome(
    clinic, upstream, method, body, status, expected, issue, result
):
    answer = Answer({"secret": "Traceback"}, status, {"Location": f"{upstream.base}/x"})
    scripted(upstream, method, answer)
    reply = ask(clinic, method, body)
    reply.outcome(expected, issue)
    outcome = told(clinic, reply)
    assert (outcome.outcome, outcome.details["result"]) == ("failure", result)
    assert outcome.details["status"] == status
    assert len(writes_of(upstream)) == 1


@pytest.mark.spec("G26")
@pytest.mark.parametrize(("method", "body"), CALLS[1:])
@pytest.mark.parametrize("status", [404, 409, 410, 412])
def test_a_race_is_412(clinic, upstream, method, body, status):
    scripted(upstream, method, Answer({"secret": "x"}, status))
    reply = ask(clinic, method, body)
    reply.outcome(412, "conflict")
    assert told(clinic, reply).details["result"] == "conflict"
    (sent,) = writes_of(upstream)
    assert sent.headers["if-match"] == 'W/"7"'


@pytest.mark.spec("G26", "G40", "G41")
def test_what_is_sent_is_the_gateways_own(clinic, upstream):
    scripted(upstream, "PUT", Answer(changed(MINE, meta={"versionId": "8"})))
    raw = json.dumps(MINE, indent=3).replace("72", "72.00").encode()
    token = clinic.token("patient/*.cruds", patient="456")
    headers = {**JSON, "X-Cascade": "delete", "X-Tenant": "x", "Prefer": "return=minimal"}
    reply = clinic.ask("/Observation/o1", token, method="PUT", headers=headers, body=raw)
    assert (reply.status, reply.body, reply.headers["etag"]) == (200, b"", 'W/"8"')
    (sent,) = writes_of(upstream)
    assert sent.body == json.dumps(MINE, separators=(",", ":")).replace("72", "72.00").encode()
    assert sent.query == {}
    assert sent.headers["authorization"] == f"Bearer {BEARER}"
    assert sent.headers["content-type"] == "application/fhir+json"
    assert sent.headers["prefer"] == "return=representation"
    assert not {"x-cascade", "x-tenant", "cookie", "origin"} & set(sent.headers)


@pytest.mark.spec("G26")
@pytest.mark.parametrize(("method", "body"), CALLS[1:])
def test_without_versions_nothing_is_changed(clinic, upstream, method, body):
    upstream.routes["Observation/o1"] = by_method(GET=Answer(changed(MINE, meta=None)))
    reply = ask(clinic, method, body)
    assert "no versions" in reply.outcome(409, "not-supported")
    assert clinic.event(reply).outcome == "failure"
    assert writes_of(upstream) == []


@pytest.mark.spec("G26")
def test_the_version_may_stand_in_the_resource_alone(clinic, upstream):
    get, done = Answer(MINE), Answer(MINE, 200)
    upstream.routes["Observation/o1"] = by_method(GET=get, PUT=done)
    assert ask(clinic, "PUT", MINE).status == 200
    assert writes_of(upstream)[0].headers["if-match"] == 'W/"7"'
    ask(clinic, "PUT", MINE, **{"If-Match": 'W/"6"'}).outcome(412, "conflict")


@pytest.mark.spec("G36", "G24")
@pytest.mark.parametrize(
    ("answer", "status", "issue"),
    [
        (Answer({"secret": "x"}, 500), 502, "transient"),
        (Answer({"secret": "x"}, 401), 502, "transient"),
        (Answer({"secret": "x"}, 503, {"Retry-After": "9"}), 503, "transient"),
        (Answer(b"<html>secret", 200), 502, "transient"),
        (Answer(changed(MINE, id="o2")), 502, "transient"),
        (Answer({**MINE, "resourceType": "Goal"}), 502, "transient"),
        (Answer(b'{"resourceType":"Observation","id":"o1","id":"o1"}'), 502, "transient"),
        (Answer({"secret": "x"}, 404), 404, "not-found"),
        (Answer({"secret": "x"}, 410), 404, "not-found"),
        (Answer(changed(MINE, subject={"reference": "Patient/457"})), 404, "not-found"),
        (Answer(changed(MINE, subject=None)), 404, "not-found"),
    ],
)
def test_what_cannot_be_seen_is_not_changed(clinic, upstream, answer, status, issue):
    upstream.routes["Observation/o1"] = by_method(GET=answer)
    for method, body in CALLS[1:]:
        reply = ask(clinic, method, body, **{"If-Match": 'W/"7"'})
        reply.outcome(status, issue)
        clinic.events(reply)
    assert writes_of(upstream) == []


@pytest.mark.spec("G35", "G25")
@pytest.mark.parametrize(
    ("location", "body"),
    [
        ("{base}/Observation/n1/_history/1", None),
        ("{base}/Observation/n1", None),
        ("Observation/n1/_history/1", None),
        ("/fhir/Observation/n1/_history/1", None),
        ("", changed(NEW, id="n1", meta={"versionId": "1"})),
        ("{base}/Patient/x/_history/1", changed(NEW, id="n1")),
    ],
)
def test_the_address_of_a_new_resource_is_this_servers(clinic, upstream, location, body):
    headers = {"Location": location.format(base=upstream.base)} if location else {}
    raw = b"" if body is None else body
    upstream.routes["Observation"] = Answer(raw, 201, {**headers, "ETag": 'W/"1"'})
    reply = ask(clinic, "POST", NEW)
    assert (reply.status, reply.headers["etag"]) == (201, 'W/"1"')
    expected = f"/t/{clinic.tenant.slug}/fhir/Observation/n1/_history/1"
    assert reply.headers["location"] == f"http://localhost:8000{expected}"
    outcome = told(clinic, reply)
    assert outcome.details["object"] == "Observation/n1"
    shown = "OperationOutcome" if body is None else "Observation"
    assert reply.json["resourceType"] == shown


@pytest.mark.spec("G25", "V9")
def test_a_new_resource_without_an_id_is_unknown(clinic, upstream):
    upstream.routes["Observation"] = Answer(b"", 201)
    reply = ask(clinic, "POST", NEW)
    reply.outcome(504, "timeout")
    assert told(clinic, reply).details["result"] == "unknown"


@pytest.mark.spec("G13", "G35", "G42")
@pytest.mark.parametrize(
    "stored",
    [
        changed(MINE, subject={"reference": "Patient/457"}),
        changed(MINE, id="o2"),
        {"resourceType": "OperationOutcome", "secret": "x"},
        b"<html>secret",
    ],
)
def test_a_stored_resource_that_may_not_leave_stays(clinic, upstream, stored):
    scripted(upstream, "PUT", Answer(stored, 200, {"ETag": 'W/"8"'}))
    reply = ask(clinic, "PUT", MINE)
    assert (reply.status, reply.json["resourceType"]) == (200, "OperationOutcome")
    assert b"457" not in reply.everything
    assert told(clinic, reply).details["result"] == "done"


@pytest.mark.spec("G35")
def test_nothing_shows_the_upstream(clinic, upstream):
    """The clinic's own check looks for the address in all that it answers."""
    host = upstream.base.split("/")[2]
    headers = {"ETag": "7", "Last-Modified": f"http://{host}/", "Server": "secret/1"}
    stored = changed(MINE, text={"div": f"seen at {upstream.base}/Observation/o1"})
    scripted(upstream, "PUT", Answer(stored, 200, headers))
    reply = ask(clinic, "PUT", MINE)
    assert (reply.status, reply.headers["etag"]) == (200, 'W/"7"')
    assert reply.json["text"]["div"].endswith("/fhir/Observation/o1")
    assert "last-modified" not in reply.headers
    assert "server" not in reply.headers


@pytest.mark.spec("G48")
def test_what_the_server_behind_does_not_offer_is_403(clinic, upstream):
    goal = {"resourceType": "Goal", "subject": {"reference": "Patient/456"}}
    token = clinic.token("patient/*.cruds", patient="456")
    reply = clinic.ask("/Goal", token, method="POST", headers=JSON, body=json.dumps(goal).encode())
    reply.outcome(403, "not-supported")
    assert clinic.event(reply).rule == "interaction.upstream"
    listed = clinic.ask("/metadata").json["rest"][0]["resource"]
    codes = {one["type"]: {each["code"] for each in one["interaction"]} for one in listed}
    assert codes == {"Observation": KINDS, "Goal": {"read"}, "Patient": {"read"}}
    assert upstream.asked == []


@pytest.mark.spec("V9", "G26")
def test_a_slow_upstream_is_unknown(clinic, upstream, monkeypatch):
    released = threading.Event()

    def slow(_):
        released.wait(20)
        return Answer(MINE)

    monkeypatch.setattr(fetch, "LIMITS", GATEWAY.__class__(0.5, 0.5, 1_000_000))
    upstream.routes["Observation"] = slow
    try:
        reply = ask(clinic, "POST", NEW)
        assert "Read the record" in reply.outcome(504, "timeout")
    finally:
        released.set()
    outcome = told(clinic, reply)
    assert (outcome.outcome, outcome.details["result"]) == ("failure", "unknown")
    assert outcome.details["status"] == 0


class Losing:
    """Serves a read on a kept connection, then takes the write and hangs up."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.asked = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        with connection, connection.makefile("rb") as lines:
            while head := lines.readline():
                length = 0
                while (line := lines.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                lines.read(length)
                self.asked.append(head.split()[0].decode())
                if not head.startswith(b"GET"):
                    return
                found = STATEMENT if b"/metadata" in head else MINE
                found = NOBODY if b"/Patient?" in head else found
                raw = json.dumps(found).encode()
                start = f"HTTP/1.1 200 OK\r\nContent-Length: {len(raw)}\r\n\r\n"
                connection.sendall(start.encode() + raw)


@pytest.mark.spec("V9", "G26")
@pytest.mark.parametrize(("method", "body"), CALLS)
def test_a_write_is_never_sent_twice(lakeside, runner, method, body):
    """The connection is a kept one, on which an HTTP client would repeat PUT and DELETE."""
    server = Losing()
    try:
        clinic = a_base(lakeside, runner, f"http://127.0.0.1:{server.port}/fhir", BEARER)
        clinic.ask("/Observation/o1", clinic.token("patient/*.rs", patient="456"))
        reply = ask(clinic, method, body)
    finally:
        server.socket.close()
    reply.outcome(504, "timeout")
    assert told(clinic, reply).details["result"] == "unknown"
    assert [one for one in server.asked if one != "GET"] == [method]
