"""What an app reads it may send back: the server behind stores and finds it by its own names.

Its address never leaves (G35), and yet no record changes by going to an app and back again.
"""

from urllib.parse import quote

import pytest

from smart.gateway.rewrite import Rewriter
from tests.fhir_server import JANE, Answer
from tests.gateway.raw_upstream import searchset
from tests.gateway.ward import PULSE, changed

LOCAL = Rewriter.between("http://127.0.0.1:9000/fhir", "https://auth.example/t/mercy/fhir")
SAME_HOST = Rewriter.between("https://auth.example/r4", "https://auth.example/t/mercy/fhir")


@pytest.mark.spec("G35")
@pytest.mark.parametrize(
    ("shown", "behind"),
    [
        ("https://auth.example/t/mercy/fhir/Patient/1", "http://127.0.0.1:9000/fhir/Patient/1"),
        ("https://auth.example/t/mercy/fhir", "http://127.0.0.1:9000/fhir"),
        (
            'see <a href="https://auth.example/t/mercy/fhir/Patient/1">',
            'see <a href="http://127.0.0.1:9000/fhir/Patient/1">',
        ),
        ("http://auth.example/ids", "http://127.0.0.1:9000/ids"),
        ("http://auth.example/ids|7", "http://127.0.0.1:9000/ids|7"),
        ("http://auth.example", "http://127.0.0.1:9000"),
        ("https://auth.example/t/mercy", None),
        ("https://auth.example/t/mercy/fhirs/Patient/1", None),
        ("https://auth.example.org/ids", None),
        ("https://my.auth.example/ids", None),
        ("Write to http://auth.example/help", None),
        ("mailto:help@auth.example", None),
        ("http://loinc.org|718-7", None),
        ("\u00e9\n\U0001f600", None),
    ],
)
def test_the_way_back(shown, behind):
    assert LOCAL.back(shown) == (behind or shown)


@pytest.mark.spec("G35")
@pytest.mark.parametrize(
    "text", ["https://auth.example/r4/Patient/1", "https://auth.example/ids|7", "auth.example/x"]
)
def test_a_server_on_our_own_host_has_its_urls_back(text):
    shown = SAME_HOST.text(text)
    assert "auth.example/r4" not in shown
    if text.startswith("https:"):
        assert SAME_HOST.back(shown) == text


@pytest.fixture
def host(ward):
    return f"http://127.0.0.1:{ward.sandbox.port}"


@pytest.fixture
def named(host):
    """A pulse that names the server behind in many ways, and this one as well."""
    return changed(
        PULSE,
        identifier=[
            {"system": f"{host}/ids", "value": "7"},
            {"system": f"{host}/fhir/ids", "value": "8"},
            {"system": "http://localhost:8000/native", "value": "9"},
        ],
        encounter={"reference": f"{host}/fhir/Encounter/enc-789-1"},
        note=[{"text": f"made at {host}/x, see http://localhost:8000/y\nand {host}/fhir/Patient"}],
        extension=[{"url": "http://example.org/source", "valueUri": f"{host}/fhir/Binary/1"}],
        valueQuantity={"value": 72.50, "unit": "/min"},
    )


@pytest.mark.spec("G35", "G26")
def test_an_update_with_what_was_read_changes_nothing(ward, named):
    first = ward.behind(named)
    path, token = f"/Observation/{first['id']}", ward.token("openid patient/*.cruds")
    read = ward.base.ask(path, token)
    assert read.json["identifier"][0]["system"] == "http://localhost:8000/ids"
    reply = ward.send("PUT", path, token, read.body)
    assert reply.status == 200, reply.body
    _, after = ward.stored(path)
    assert changed(after, meta=None) == changed(first, meta=None)
    assert after["meta"]["versionId"] == "2"
    assert changed(reply.json, meta=None) == changed(read.json, meta=None)


@pytest.mark.spec("G35", "G25")
def test_a_new_resource_takes_identifiers_by_the_names_behind(ward, host):
    ours = f"http://localhost:8000/t/{ward.base.tenant.slug}"
    systems = ["http://localhost:8000/ids", f"{ours}/fhir/ids", ours, "http://example.org/ids"]
    made = changed(PULSE, identifier=[{"system": one, "value": "new"} for one in systems])
    reply = ward.create(ward.token(), made)
    assert reply.status == 201
    assert [one["system"] for one in reply.json["identifier"]] == systems
    _, stored = ward.stored(f"/Observation/{reply.json['id']}")
    behind = [f"{host}/ids", f"{host}/fhir/ids", ours, "http://example.org/ids"]
    assert [one["system"] for one in stored["identifier"]] == behind


@pytest.mark.spec("G25", "G11", "G33")
def test_a_url_that_did_not_stand_there_is_no_way_in(ward, named):
    """Mapped or not: only what was there may stay, and never one that names another patient."""
    first, token = ward.behind(named), ward.token("openid patient/*.cruds")
    ours = f"http://localhost:8000/t/{ward.base.tenant.slug}/fhir"
    for literal in (f"{ours}/Encounter/enc-790-1", f"{ours}/Patient/790", "Patient/790"):
        body = changed(first, focus=[{"reference": literal}])
        ward.refused(ward.update(token, body), 403, "forbidden", "write.reference")
    link = {"url": f"{ours}/Binary/note-790-1"}
    body = changed(first, extension=[{"url": "http://example.org/x", "valueAttachment": link}])
    ward.refused(ward.update(token, body), 403, "forbidden", "write.reference")


@pytest.mark.spec("G35")
def test_an_attachment_that_stands_there_may_stay(ward):
    token = ward.token("openid patient/*.cruds")
    scanned = [{"url": "http://example.org/scan", "valueAttachment": {"url": "Binary/note-789-1"}}]
    first = ward.behind(changed(PULSE, extension=scanned))
    reply = ward.update(token, changed(first, status="amended"))
    assert (reply.status, reply.json["extension"]) == (200, scanned)
    moved = [{"url": "http://example.org/scan", "valueAttachment": {"url": "Binary/note-790-1"}}]
    answer = ward.update(token, changed(first, extension=moved))
    ward.refused(answer, 403, "forbidden", "write.reference")


@pytest.mark.spec("G35", "RSVR-04")
def test_a_search_names_identifiers_as_they_are_shown(ward, named, host):
    first, token = ward.behind(named), ward.token("openid patient/*.rs")
    read = ward.base.ask(f"/Observation/{first['id']}", token).json
    for shown in read["identifier"][:2]:
        token_value = quote(f"{shown['system']}|{shown['value']}", safe="")
        reply = ward.base.ask(f"/Observation?identifier={token_value}", token)
        assert first["id"] in [one.partition("/")[2] for one in reply.ids()]
        (own,) = [one["url"] for one in reply.json["link"] if one["relation"] == "self"]
        assert quote("http://localhost:8000/", safe="/:") in own


@pytest.mark.spec("RSVR-03")
def test_a_search_is_never_answered_from_an_older_one(clinic, upstream):
    """HAPI reuses the result of an equal search for a minute, unless it is asked not to."""
    found: list[object] = []
    remembered: dict[str, object] = {}

    def search(asked):
        is_fresh = asked.headers.get("cache-control") == "no-cache"
        key = str(asked.query)
        if is_fresh or key not in remembered:
            remembered[key] = searchset(*({"resource": one} for one in found))
        return Answer(remembered[key])

    upstream.routes["Patient"] = search
    token = clinic.token(patient="456")
    assert clinic.ask("/Patient?name=doe", token).json["total"] == 0
    found.append(JANE)
    assert clinic.ask("/Patient?name=doe", token).json["total"] == 1
