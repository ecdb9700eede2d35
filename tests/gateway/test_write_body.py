"""Bodies of writes: what is taken in, what is refused, and that nothing else ever happens."""

import asyncio
import gzip
import json
import zlib
from contextlib import suppress

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smart.gateway import body, budget, strict_json, write_body
from smart.gateway.outcomes import BadRequest
from smart.policy.request import FhirInteraction, FhirRequest
from tests.gateway.ward import JSON, PULSE, changed

CREATE = FhirRequest(FhirInteraction.CREATE, "Observation")
UPDATE = FhirRequest(FhirInteraction.UPDATE, "Observation", "o1")
NAMES = st.sampled_from(["resourceType", "id", "subject", "value", "é", '"', "\\", "\u2028"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


def nested(levels):
    """JSON of a resource whose deepest list is at that level."""
    inner = b"[" * (levels - 1) + b"]" * (levels - 1)
    return b'{"resourceType":"Observation","x":' + inner + b"}"


def refused(raw, request=CREATE):
    with pytest.raises(BadRequest) as error:
        write_body.parse(raw, request)
    return error.value


@pytest.mark.spec("G22", "G39")
@pytest.mark.parametrize(
    ("raw", "request_"),
    [
        (b"", CREATE),
        (b"null", CREATE),
        (b"[]", CREATE),
        (b'"Observation"', CREATE),
        (b"{}", CREATE),
        (b'{"resourceType":"Patient"}', CREATE),
        (b'{"resourceType":"observation"}', CREATE),
        (b'{"resourceType":["Observation"]}', CREATE),
        (b'{"resourceType":"Observation","id":"o1"}', CREATE),
        (b'{"resourceType":"Observation","id":null}', CREATE),
        (b'{"resourceType":"Observation"}', UPDATE),
        (b'{"resourceType":"Observation","id":"o2"}', UPDATE),
        (b'{"resourceType":"Observation","id":1}', UPDATE),
        (b'{"resourceType":"Observation","id":["o1"]}', UPDATE),
        (b'{"resourceType":"Observation","subject":{},"subject":{}}', CREATE),
        (b'{"resourceType":"Observation","a":{"b":1,"b":2}}', CREATE),
        (b'{"resourceType":"Observation","a":1,"\\u0061":2}', CREATE),
        (b'{"resourceType":"Observation","a":1,}', CREATE),
        (b'{"resourceType":"Observation"} {}', CREATE),
        (b'{"resourceType":"Observation","a":NaN}', CREATE),
        (b'{"resourceType":"Observation","a":Infinity}', CREATE),
        (b'{"resourceType":"Observation","a":01}', CREATE),
        (b"{'resourceType':'Observation'}", CREATE),
        (b'{"resourceType":"Observation","a":"\xff"}', CREATE),
        (b'{"resourceType":"Observation","a":"\xed\xa0\x80"}', CREATE),
        (b'{"resourceType":"Observation","a":"\\ud800"}', CREATE),
        (b'{"resourceType":"Observation","a":"\n"}', CREATE),
        (b'\xef\xbb\xbf{"resourceType":"Observation"}', CREATE),
        ('{"resourceType":"Observation"}'.encode("utf-16"), CREATE),
        ('{"resourceType":"Observation"}'.encode("utf-32-le"), CREATE),
        (b"<Observation/>", CREATE),
        (nested(65), CREATE),
        (nested(900), CREATE),
        (nested(100_000), CREATE),
    ],
)
def test_what_is_not_the_resource_of_the_url_is_400(raw, request_):
    assert refused(raw, request_).status == 400


@pytest.mark.spec("G39")
def test_64_levels_are_taken():
    assert write_body.parse(nested(64), CREATE).text == nested(64)


@pytest.mark.spec("G22")
@settings(deadline=None)
@given(resource=st.dictionaries(NAMES, VALUES, max_size=5), indent=st.sampled_from([None, 1]))
def test_what_is_taken_is_written_anew_as_the_same_value(resource, indent):
    sent = {**resource, "resourceType": "Observation", "id": "o1"}
    raw = json.dumps(sent, indent=indent, ensure_ascii=bool(indent)).encode(errors="replace")
    try:
        expected = strict_json.loads(raw)
    except ValueError:
        refused(raw, UPDATE)
        return
    found = write_body.parse(raw, UPDATE)
    assert found.resource == expected
    assert json.loads(found.text) == json.loads(raw)
    assert orjson.loads(found.text) == expected


@pytest.mark.spec("G22", "G38")
@settings(deadline=None)
@given(raw=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_resource_or_a_400(raw):
    for one in (raw, b'{"resourceType":"Observation","a":' + raw + b"}"):
        with suppress(BadRequest):
            found = write_body.parse(one, CREATE)
            assert found.resource["resourceType"] == "Observation"
            assert orjson.loads(found.text) == found.resource


@pytest.mark.parametrize(
    "number", ["1.10", "1E+3", "-0.0", "123456789012345678901234567890", "0.1000000000000000055"]
)
def test_numbers_keep_their_digits(number):
    raw = b'{"resourceType":"Observation","a":' + number.encode() + b"}"
    assert write_body.parse(raw, CREATE).text == raw


@pytest.mark.spec("G38")
@pytest.mark.parametrize(
    ("kind", "is_taken"),
    [
        ("application/fhir+json", True),
        ("application/json", True),
        ("Application/FHIR+JSON; Charset=UTF-8", True),
        ('application/fhir+json; charset="utf-8"; fhirVersion=4.0', True),
        ("application/fhir+json; charset=utf-16", False),
        ("application/fhir+json; fhirVersion=5.0", False),
        ("application/fhir+json; boundary=x", False),
        ("application/fhir+xml", False),
        ("application/xml", False),
        ("text/json", False),
        ("multipart/form-data; boundary=x", False),
        ("application/x-www-form-urlencoded", False),
        ("application/json-patch+json", False),
        ("application/fhir+json, application/fhir+xml", False),
        ("", False),
        (None, False),
    ],
)
def test_only_json_in_utf8_is_taken(ward, kind, is_taken):
    headers = {} if kind is None else {"Content-Type": kind}
    token = ward.token()
    raw = json.dumps(PULSE).encode()
    reply = ward.base.ask("/Observation", token, method="POST", headers=headers, body=raw)
    if is_taken:
        assert reply.status == 201
    else:
        ward.refused(reply, 415, "not-supported", "request.grammar")


@pytest.mark.spec("G39", "G22")
def test_bodies_beyond_the_limits_change_nothing(ward):
    token = ward.token()
    big = b'{"resourceType":"Observation","a":"' + b"x" * body.MAX_RAW_BYTES + b'"}'
    reply = ward.create(token, big)
    ward.refused(reply, 413, "too-long", "request.grammar")
    bomb = gzip.compress(b" " * 10_000_000)
    reply = ward.create(token, bomb, Content_Encoding="gzip")
    ward.refused(reply, 413, "too-long", "request.grammar")
    for encoding in ("br", "deflate", "gzip, gzip", "x"):
        reply = ward.create(token, PULSE, Content_Encoding=encoding)
        ward.refused(reply, 415, "not-supported", "request.grammar")
    packed = gzip.compress(json.dumps(changed(PULSE, status="amended")).encode())
    reply = ward.create(token, packed, Content_Encoding="gzip")
    assert (reply.status, reply.json["status"]) == (201, "amended")
    for broken in (packed[:-9], packed + packed, b"x", packed + b"x"):
        reply = ward.create(token, broken, Content_Encoding="gzip")
        ward.refused(reply, 400, "invalid", "request.grammar")


@pytest.mark.spec("G38", "G40")
def test_two_media_types_are_400(ward):
    headers = [(b"content-type", b"application/fhir+json")] * 2
    token = ward.token()
    ward.base.ask("/Observation", token, method="POST", headers=headers, body=b"{}").outcome(
        400, "invalid"
    )


@pytest.mark.spec("G40")
def test_a_delete_has_no_body(ward):
    headers = {**JSON, "Content-Length": "2"}
    token = ward.token()
    ward.base.ask("/Observation/o1", token, method="DELETE", headers=headers, body=b"{}").outcome(
        400, "invalid"
    )


def read(*messages, headers=(), waits=False):
    """What the body is read as; without a last message the client waits for ever."""
    waiting = list(messages)

    async def receive():
        if not waiting and waits:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def reading():
        with budget.lease() as lease:
            return await body.read(receive, headers, lease), lease.held

    return asyncio.run(reading())


def part(raw, more=True):
    return {"type": "http.request", "body": raw, "more_body": more}


@pytest.mark.spec("G39")
def test_a_body_comes_in_parts_and_is_accounted_for():
    assert read(part(b"ab"), part(b"cd", more=False)) == (b"abcd", 4)
    assert read(part(b"", more=False)) == (b"", 0)
    packed = gzip.compress(b"ab" * 50)
    gzipped = [(b"Content-Encoding", b"gzip")]
    found, held = read(part(packed, more=False), headers=gzipped)
    assert found == b"ab" * 50
    assert held >= len(packed) + len(found)


@pytest.mark.spec("G39", "V3")
def test_a_body_that_ends_early_or_never_is_given_up(monkeypatch):
    with pytest.raises(BadRequest) as error:
        read(part(b"ab"), {"type": "http.disconnect"})
    assert error.value.status == 400
    monkeypatch.setattr(body, "SECONDS", 0.05)
    with pytest.raises(BadRequest) as error:
        read(part(b"ab"), waits=True)
    assert error.value.status == 408


@pytest.mark.spec("G39")
@settings(deadline=None)
@given(size=st.integers(0, 5000), level=st.integers(0, 9))
def test_no_more_than_twenty_times_is_inflated(size, level):
    packer = zlib.compressobj(level, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    packed = packer.compress(b"x" * size) + packer.flush()
    gzipped = [(b"content-encoding", b"gzip")]
    if size <= 20 * len(packed):
        assert read(part(packed, more=False), headers=gzipped)[0] == b"x" * size
        return
    with pytest.raises(BadRequest) as error:
        read(part(packed, more=False), headers=gzipped)
    assert error.value.status == 413
