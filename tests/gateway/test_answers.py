"""What leaves of a proper answer, and how much of them the process holds (G34, G35, V3)."""

import json
from pathlib import Path

import pytest
from django.conf import settings

from smart.gateway import budget
from tenants.http import fhir_base
from tests import fhir_server
from tests.fhir_server import Answer
from tests.gateway.conftest import BEARER, a_base
from tests.gateway.raw_upstream import PATIENT, chunked, http, observation, searchset


@pytest.fixture
def token(odd):
    return odd.token(patient="456")


@pytest.mark.spec("G35", "EHR-32", "EHR-33")
def test_addresses_are_rewritten_and_headers_chosen(odd, raw, token):
    public = f"http://localhost:8000/t/{odd.tenant.slug}/fhir"
    body = PATIENT | {"photo": [{"url": f"{raw.base}/Binary/1"}]}
    raw.answer = http(
        json.dumps(body).encode(),
        ETag='W/"3"',
        Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT",
        Content_Location=f"{raw.base}/Patient/456/_history/3",
        Server="secret",
        Set_Cookie="secret=1",
        Access_Control_Allow_Origin="*",
        Cache_Control="public, max-age=99",
        X_Powered_By="secret",
    )
    reply = odd.ask("/Patient/456", token)
    assert reply.json["photo"] == [{"url": f"{public}/Binary/1"}]
    assert reply.headers["etag"] == 'W/"3"'
    assert reply.headers["last-modified"] == "Mon, 01 Jan 2024 00:00:00 GMT"
    assert reply.headers["content-location"] == f"{public}/Patient/456/_history/3"
    assert reply.headers["cache-control"] == "no-store"
    assert set(reply.headers) == {
        *("content-type", "cache-control", "vary", "x-content-type-options", "etag"),
        *("last-modified", "content-location", "x-request-id", "content-length"),
    }


@pytest.mark.spec("G35", "EHR-35")
@pytest.mark.parametrize("where", ["text", "escaped", "etag", "elsewhere"])
def test_another_mention_of_the_address_does_not_leave(odd, raw, token, where):
    host = raw.base.removeprefix("http://").removesuffix("/fhir")
    text = json.dumps(PATIENT | {"x": f"see ftp://{host}/log"})
    bodies = {"text": text, "escaped": text.replace("ftp://1", "ftp:\\/\\/\\u0031")}
    headers = {"etag": {"ETag": f'"{host}"'}, "elsewhere": {"Location": f"http://{host}/other"}}
    raw.answer = http(bodies.get(where, json.dumps(PATIENT)).encode(), **headers.get(where, {}))
    reply = odd.ask("/Patient/456", token)
    assert reply.json.get("x") in (None, "see ftp://localhost:8000/log")
    assert not {"etag", "location"} & set(reply.headers)
    assert host.encode() not in reply.everything


@pytest.mark.spec("G36")
@pytest.mark.parametrize("name", ["ETag", "Last_Modified", "Content_Location"])
@pytest.mark.parametrize("value", ["\xff\xe9", "a\x01b", "a\x7fb"])
def test_a_header_that_is_no_plain_ascii_is_502(odd, raw, token, name, value):
    raw.answer = http(json.dumps(PATIENT).encode(), **{name: value})
    odd.failed(odd.ask("/Patient/456", token))


@pytest.mark.spec("G34", "EHR-33")
def test_links_of_the_server_are_never_shown(odd, raw, token):
    links = [
        {"relation": relation, "url": f"{raw.base}?_getpages=secret&page={relation}"}
        for relation in ("self", "next", "previous", "first", "last")
    ]
    raw.answer = http(json.dumps(searchset({"resource": observation()}, link=links)).encode())
    reply = odd.ask("/Observation?_count=1", token)
    base = fhir_base(odd.tenant)
    shown = {one["relation"]: one["url"] for one in reply.json["link"]}
    assert shown.keys() == {"self", "next"}
    assert shown["self"].startswith(f"{base}/Observation?")
    assert shown["next"].startswith(f"{base}?_page=")
    assert "total" not in reply.json
    assert b"_getpages" not in reply.everything


@pytest.mark.spec("G35", "T8")
def test_a_sandbox_that_was_started_anew_shows_its_new_address_neither(lakeside, runner):
    """Its port is another then: the answer is rewritten by the address it came from."""
    where = Path(settings.DATA_DIR) / f"sandbox-{lakeside.slug}.json"

    def starts(server):
        where.write_text(json.dumps({"port": server.port, "bearer": BEARER}))
        base = f"http://127.0.0.1:{server.port}/fhir"
        server.routes["Patient/456"] = Answer(PATIENT | {"photo": [{"url": f"{base}/Binary/1"}]})

    with fhir_server.serve() as first:
        starts(first)
        base = a_base(lakeside, runner, "", BEARER)
        token = base.token(patient="456")
        assert base.ask("/Patient/456", token).status == 200
    with fhir_server.serve() as second:
        starts(second)
        reply = base.ask("/Patient/456", token)
    public = f"http://localhost:8000/t/{lakeside.slug}/fhir"
    assert reply.json["photo"] == [{"url": f"{public}/Binary/1"}]


# Memory ----------------------------------------------------------------------------------------


@pytest.mark.spec("V3", "ERRS-06")
@pytest.mark.parametrize("is_length_said", [True, False])
def test_when_too_much_is_held_apps_are_asked_to_come_back(
    odd, raw, token, monkeypatch, is_length_said
):
    body = json.dumps(PATIENT | {"x": "y" * 400_000}).encode()
    raw.answer = http(body) if is_length_said else chunked(body)
    monkeypatch.setattr(budget, "TOTAL_BYTES", 300_000)
    monkeypatch.setattr(budget, "WAIT_SECONDS", 0.05)
    reply = odd.ask("/Patient/456", token)
    odd.failed(reply, 503, "The service cannot answer now.")
    assert reply.headers["retry-after"] == "5"


@pytest.fixture
def clinic_token(clinic):
    return clinic.token(patient="456")


def test_what_was_held_is_given_back_whatever_came_of_it(clinic, upstream, clinic_token):
    async def free():
        return budget.lease()._budget.free

    answers = [Answer(PATIENT), Answer({}, 500), Answer(b"<x"), Answer(PATIENT | {"id": "457"})]
    for answer in answers:
        upstream.routes["Patient/456"] = answer
        clinic.ask("/Patient/456", clinic_token)
        assert clinic.run(free()) == budget.TOTAL_BYTES
