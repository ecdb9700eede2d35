"""Whatever the server behind does, the app sees our own words, and the trail a failure (G36)."""

import gzip
import json
from datetime import timedelta
from email.utils import format_datetime

import pytest
from django.utils import timezone

from authfi.lib.outbound import Limits
from smart.gateway import fetch
from tests import fhir_server
from tests.gateway.conftest import BEARER, a_base
from tests.gateway.raw_upstream import PATIENT, chunked, http, observation, searchset

OTHER_STATUSES = [
    *(201, 202, 204, 206, 300, 301, 302, 304, 307, 308),
    *(401, 403, 405, 409, 412, 422, 500, 501, 502, 504),
]


@pytest.fixture
def token(odd):
    return odd.token(patient="456")


# It cannot be reached, or is slow --------------------------------------------------------------


@pytest.mark.spec("V7", "G36")
def test_a_server_that_is_gone_is_502(lakeside, runner):
    with fhir_server.serve() as server:
        base = a_base(lakeside, runner, server.base, BEARER)
    for path in ("/Patient/456", "/Observation"):
        reply = base.ask(path, base.token(patient="456"))
        assert base.failed(reply) == "The server cannot be reached."


@pytest.mark.spec("V7")
def test_a_server_that_is_slow_is_504(odd, raw, token, monkeypatch):
    monkeypatch.setattr(fetch, "LIMITS", Limits(total_seconds=0.2, read_seconds=0.2))
    silent, stuck = b"", http(b'{"resourceType":', Content_Length="99999")
    raw.answer = silent
    text = "The FHIR server behind this one did not answer in time."
    assert odd.failed(odd.ask("/Patient/456", token), 504, text, "timeout")
    raw.answer = stuck
    odd.failed(odd.ask("/Patient/456", token))


# It answers something else than asked ----------------------------------------------------------


@pytest.mark.spec("G36", "EHR-35")
@pytest.mark.parametrize("status", OTHER_STATUSES)
def test_other_statuses_of_a_read_are_502_with_none_of_their_text(odd, raw, token, status):
    body = b'{"resourceType":"OperationOutcome","text":"Traceback: secret at db.internal"}'
    raw.answer = http(
        b"" if status in (204, 304) else body,
        status,
        Location="http://evil.example/steal",
        Server="secret/1.0",
        Set_Cookie="secret=1",
        WWW_Authenticate="Basic realm=db.internal",
    )
    reply = odd.ask("/Patient/456", token)
    assert odd.failed(reply) == f"the upstream answered {status}"
    for name in ("location", "server", "set-cookie", "www-authenticate"):
        assert name not in reply.headers


@pytest.mark.spec("G29", "V7")
@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_read_of_an_id_the_server_does_not_have_is_404(odd, raw, token, status):
    raw.answer = http(b'{"issue":[{"diagnostics":"HAPI-0450: secret"}]}', status)
    reply = odd.ask("/Observation/1", token)
    reply.outcome(404, "not-found")
    seen = odd.event(reply)
    assert (seen.outcome, seen.rule, seen.code) == ("denied", "response.gate", "fhir.read.deny")


@pytest.mark.spec("EHR-34", "EHR-35", "G36")
@pytest.mark.parametrize("status", [400, 422])
def test_a_search_the_server_does_not_know_is_400_in_our_words(odd, raw, token, status):
    raw.answer = http(b'{"issue":[{"diagnostics":"HAPI-0450: secret"}]}', status)
    reply = odd.ask("/Observation?_id=x", token)
    text = "The FHIR server behind this one does not support this search."
    assert odd.failed(reply, 400, text, "not-supported") == f"the upstream answered {status}"


@pytest.mark.spec("EHR-35", "ERRS-06")
@pytest.mark.parametrize(("status", "issue"), [(429, "throttled"), (503, "transient")])
@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", "7"),
        ("0", "0"),
        ("99999999999999999999", "3600"),
        ("soon", "5"),
        ("-3", "5"),
        ("1 ; secret", "5"),
        ("\u00b2", "5"),
        ("Thu, 01 Jan 1970 00:00:00 GMT", "0"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "3600"),
        ("Fri, 99 Foo 9999 23:59:59 GMT", "5"),
        (None, "5"),
    ],
)
def test_a_busy_server_is_passed_on_with_its_time(odd, raw, token, status, issue, said, seconds):
    raw.answer = http(b"secret", status, **({} if said is None else {"Retry_After": said}))
    reply = odd.ask("/Patient/456", token)
    odd.failed(reply, status, "The FHIR server behind this one takes no more requests now.", issue)
    assert reply.headers["retry-after"] == seconds


@pytest.mark.spec("EHR-35")
def test_a_time_given_as_a_date_is_passed_on_as_seconds(odd, raw, token):
    at = format_datetime(timezone.now() + timedelta(seconds=60), usegmt=True)
    raw.answer = http(b"", 503, Retry_After=at)
    assert 55 <= int(odd.ask("/Patient/456", token).headers["retry-after"]) <= 60


BAD_BODIES = {
    "HTML": b"<html><body>Traceback secret</body></html>",
    "empty": b"",
    "cut JSON": b'{"resourceType":"Patient","id":"456","text":"secret',
    "two values": b'{"resourceType":"Patient","id":"456"}{"secret":1}',
    "not UTF-8": b'{"resourceType":"Patient","id":"456","x":"\xff"}',
    "UTF-16": '{"resourceType":"Patient","id":"456"}'.encode("utf-16"),
    "NaN": b'{"resourceType":"Patient","id":"456","x":NaN}',
    "lone surrogate": b'{"resourceType":"Patient","id":"456","x":"\\ud800"}',
    "very deep": b'{"resourceType":"Patient","id":"456","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "duplicate members": b'{"resourceType":"Patient","id":"456","id":"456"}',
    "duplicate by escape": b'{"resourceType":"Patient","id":"456","\\u0069d":"790"}',
}


@pytest.mark.spec("G36", "G22")
@pytest.mark.parametrize("kind", BAD_BODIES)
@pytest.mark.parametrize("path", ["/Patient/456", "/Patient?_id=456"])
def test_what_is_no_clean_json_is_502(odd, raw, token, kind, path):
    raw.answer = http(BAD_BODIES[kind])
    odd.failed(odd.ask(path, token))


@pytest.mark.spec("G36")
@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b'"secret"',
        b"{}",
        b'{"resourceType":"OperationOutcome","id":"456"}',
        b'{"resourceType":["Patient"],"id":"456"}',
        b'{"resourceType":"Patient","id":456}',
        b'{"resourceType":"Patient","id":"457"}',
        b'{"resourceType":"Patient"}',
        b'{"resourceType":"Observation","id":"456","subject":{"reference":"Patient/456"}}',
        b'{"resourceType":"Patient","id":"456","contained":[{"resourceType":"Patient","id":"p"}]}',
    ],
)
def test_a_read_that_brings_something_else_is_404(odd, raw, token, body):
    raw.answer = http(body)
    odd.ask("/Patient/456", token).outcome(404, "not-found")


@pytest.mark.spec("G36")
@pytest.mark.parametrize(
    "body",
    [
        PATIENT,
        [],
        {"resourceType": "Bundle", "type": "history"},
        {"resourceType": "Bundle"},
        {"resourceType": "Bundle", "type": ["searchset"]},
        searchset(None),
        searchset("secret"),
        searchset({"resource": PATIENT, "search": "match"}),
        {"resourceType": "Bundle", "type": "searchset", "entry": {}},
        {"resourceType": "Bundle", "type": "searchset", "link": [{"relation": "next"}]},
    ],
)
def test_a_search_that_brings_no_searchset_is_502(odd, raw, token, body):
    raw.answer = http(json.dumps(body).encode())
    odd.failed(odd.ask("/Patient", token))


@pytest.mark.spec("G12", "G13", "G36", "RSVR-06")
def test_entries_that_are_not_the_patients_are_left_out_of_a_search(odd, raw, token):
    raw.answer = http(
        json.dumps(
            searchset(
                {"resource": observation("1")},
                {"resource": observation("2", "790", note=[{"text": "secret"}])},
                {"resource": observation("3") | {"contained": [PATIENT | {"id": "Jane"}]}},
                {"resource": observation("4") | {"resourceType": []}},
                {"resource": observation("5") | {"id": 5}},
                {"resource": observation("6") | {"subject": []}},
                {"resource": {"resourceType": "Provenance", "id": "7", "target": [[]]}},
                {"resource": PATIENT | {"name": [{"text": "Jane"}]}},
                {"resource": None},
                {"response": {"status": "404 secret"}},
                {"resource": {"resourceType": "OperationOutcome", "id": "8", "text": "secret"}},
                {"resource": observation("9"), "search": {"mode": "outcome"}},
                total=11,
            )
        ).encode()
    )
    reply = odd.ask("/Observation", token)
    assert reply.ids() == ["Observation/1"]
    assert reply.json["total"] == 1
    assert odd.event(reply).details["returned"] == 1


@pytest.mark.spec("G22")
def test_an_entry_with_duplicate_members_is_left_out(odd, raw, token):
    clean = json.dumps(observation("1")).encode()
    twice = clean.replace(b'"id": "1"', b'"id": "2", "id": "2"')
    raw.answer = http(
        b'{"resourceType":"Bundle","type":"searchset","entry":'
        b'[{"resource":%s},{"resource":%s}]}' % (twice, clean)
    )
    assert odd.ask("/Observation", token).ids() == ["Observation/1"]


# It is too much, packed, or no HTTP ------------------------------------------------------------


@pytest.mark.spec("V3", "G39", "G36")
@pytest.mark.parametrize("path", ["/Patient/456", "/Patient"])
@pytest.mark.parametrize("is_length_said", [True, False])
def test_more_than_may_be_held_is_502(odd, raw, token, monkeypatch, path, is_length_said):
    monkeypatch.setattr(fetch, "LIMITS", Limits(max_bytes=1000))
    body = json.dumps(PATIENT | {"x": "secret" * 1000}).encode()
    raw.answer = http(body) if is_length_said else chunked(body[:900], body[900:])
    odd.failed(odd.ask(path, token))


def test_an_answer_in_chunks_is_put_together(odd, raw, token):
    body = json.dumps(PATIENT).encode()
    raw.answer = chunked(*(body[at : at + 5] for at in range(0, len(body), 5)))
    assert odd.ask("/Patient/456", token).json == PATIENT


@pytest.mark.spec("G36", "G39")
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "x-secret"])
def test_a_packed_answer_that_nobody_asked_for_is_502(odd, raw, token, encoding):
    raw.answer = http(gzip.compress(json.dumps(PATIENT).encode()), Content_Encoding=encoding)
    odd.failed(odd.ask("/Patient/456", token))
    assert b"Accept-Encoding: identity" in raw.asked[-1]


@pytest.mark.spec("G36", "G40")
@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-secret\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + json.dumps(PATIENT).encode(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"secret" * 20_000 + b"\r\n\r\n{}",
    ],
)
def test_what_is_no_proper_http_is_502(odd, raw, token, answer):
    raw.answer = answer
    odd.failed(odd.ask("/Patient/456", token))
