"""Paging links open for whom they were made, for ten minutes, and show nothing (G34, RSVR-10)."""

import base64
import hashlib
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authfi.lib import tenancy
from smart.gateway import cursors
from smart.gateway.cursors import NoSuchPageError, Onward, Sealer, below, open_page
from smart.gateway.outcomes import UpstreamFault
from smart.grants import end_grants
from tests.fhir_server import JANE, STATEMENT, Answer
from tests.gateway.conftest import ADMIN, a_base

UPSTREAM = "https://ehr.example/r4"
SEALER = Sealer(
    key=b"k" * 32,
    binding=b"one token",
    public_base="https://auth.example/t/mercy/fhir",
    upstream_base=UPSTREAM,
    search="Observation",
    query="code=x",
    now=1000,
)


def next_link(reply):
    assert reply.status == 200, reply.body
    links = {one["relation"]: one["url"] for one in reply.json["link"]}
    assert set(links) <= {"self", "next"}
    return links.get("next", "")


def followed(base, link, token, **more):
    return base.ask("?" + link.partition("?")[2], token, **more)


@pytest.mark.spec("G34", "RSVR-08", "GRAN-12", "G15")
def test_all_pages_together_are_the_search(hospital, john):
    whole = hospital.ask("/Observation?_count=200", john).ids()
    assert len(whole) == 165
    reply, found = hospital.ask("/Observation?_count=50", john), []
    for _ in range(4):
        found += reply.ids()
        assert "total" not in reply.json
        if not (link := next_link(reply)):
            break
        assert hospital.event(reply).code == "fhir.search.allow"
        reply = followed(hospital, link, john)
        assert reply.json["link"][0] == {"relation": "self", "url": link}
    assert found == whole


@pytest.mark.spec("G34", "RSVR-10")
def test_a_link_opens_with_a_newer_token_of_the_same_person_app_and_scope(hospital, john):
    link = next_link(hospital.ask("/Observation?_count=50", john))
    assert len(followed(hospital, link, hospital.token()).ids()) == 50


@pytest.mark.spec("G34", "RSVR-10", "G49")
@pytest.mark.parametrize(
    "changed",
    [
        {"patient": "790"},
        {"patient": None},
        {"scope": "patient/*.rs"},
        {"scope": "patient/*.cruds"},
        {"fhir_user": "Patient/790"},
        {"encounter": "enc-789-1"},
    ],
)
def test_a_link_of_another_token_is_as_if_it_were_not_there(hospital, john, changed):
    link = next_link(hospital.ask("/Observation?_count=50", john))
    scope = changed.pop("scope", None)
    other = hospital.token(*([scope] if scope else []), **changed)
    not_there(hospital, followed(hospital, link, other))


def not_there(base, reply):
    reply.outcome(404, "not-found")
    seen = base.event(reply)
    assert (seen.code, seen.outcome, seen.rule) == ("fhir.search.deny", "denied", "response.gate")


@pytest.mark.spec("G34", "G49")
def test_a_link_of_another_tenant_or_of_nobody_opens_nothing(hospital, john, clinic):
    link = next_link(hospital.ask("/Observation?_count=50", john))
    followed(clinic, link, clinic.token(patient="789")).outcome(404, "not-found")
    followed(hospital, link, None).outcome(401, "login")
    followed(clinic, link, john).outcome(401, "login")


@pytest.mark.spec("G34")
@pytest.mark.parametrize(
    "text", ["x", "AAAA", "%41%41", "....", "-_-_", "a" * 6000, "\u00e9", "a=b", "a%00", "%zz"]
)
def test_what_is_no_link_of_ours_opens_nothing(hospital, john, text):
    reply = hospital.ask(f"?_page={text}", john)
    assert reply.status in (400, 404)
    if text in ("x", "AAAA", "-_-_"):
        not_there(hospital, reply)


@pytest.mark.spec("G34", "G6")
def test_a_link_takes_nothing_beside_it(hospital, john):
    link = next_link(hospital.ask("/Observation?_count=50", john))
    for more in ("&_count=1", "&patient=790", "&_page=x"):
        followed(hospital, link + more, john).outcome(400, "invalid")
    hospital.ask("/Observation?_page=x", john).outcome(400, "not-supported")


@pytest.mark.spec("G34")
def test_a_link_lives_ten_minutes(hospital, john, monkeypatch):
    link = next_link(hospital.ask("/Observation?_count=50", john))
    assert followed(hospital, link, john).status == 200
    later = time.time() + cursors.LIFE_SECONDS
    monkeypatch.setattr(time, "time", lambda: later)
    not_there(hospital, followed(hospital, link, john))


@pytest.mark.spec("C7", "G34", "G51")
def test_an_ended_grant_ends_its_links(hospital):
    token, grant = hospital.grant()
    link = next_link(hospital.ask("/Observation?_count=50", token))
    with tenancy.bind(hospital.tenant):
        end_grants(reason="test", actor=ADMIN, id=grant.pk)
    followed(hospital, link, token).outcome(401, "login")


@pytest.mark.spec("G34", "G35")
def test_a_link_shows_nothing_to_who_takes_it_apart(hospital, john):
    link = next_link(hospital.ask("/Observation?_count=5&category=laboratory", john))
    sealed = link.partition("_page=")[2]
    raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    assert all(one not in raw for one in (b"789", b"_getpages", b"Observation", b"127.0.0.1"))
    changed = bytes([*raw[:-1], raw[-1] ^ 1])
    broken = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
    not_there(hospital, hospital.ask(f"?_page={broken}", john))


# The server behind ------------------------------------------------------------------------------


@pytest.fixture
def paged(lakeside, runner, upstream):
    """A server with pages and versions: `next` leads where the test says."""
    described = {
        "type": "Patient",
        "interaction": [{"code": one} for one in ("read", "search-type", "history-instance")],
        "searchParam": [{"name": "name", "type": "string"}],
    }
    rest = [{"mode": "server", "resource": [described]}]
    upstream.routes["metadata"] = Answer({**STATEMENT, "rest": rest})
    return a_base(lakeside, runner, upstream.base, "upstream-bearer")


def searchset(*resources, onward=None, kind="searchset"):
    link = [{"relation": "next", "url": onward}] if onward else []
    entries = [{"resource": one} for one in resources]
    return Answer({"resourceType": "Bundle", "type": kind, "link": link, "entry": entries})


@pytest.mark.spec("G34", "G36")
@pytest.mark.parametrize(
    "where",
    [
        "https://evil.example/fhir?page=2",
        "http://localhost:1/fhir?page=2",
        "{host}/other?page=2",
        "{host}/fhirs?page=2",
        "{host}/fhir/../admin?page=2",
        "{host}/fhir/%2e%2e/admin",
        "{base}#x",
        "http://user@{authority}/fhir?page=2",
        "ftp://{authority}/fhir",
        "//evil.example/fhir",
        "http://[",
    ],
)
def test_a_next_page_elsewhere_is_502(paged, upstream, where):
    host = upstream.base.removesuffix("/fhir")
    url = where.format(base=upstream.base, host=host, authority=host.partition("//")[2])
    upstream.routes["Patient"] = searchset(JANE, onward=url)
    reply = paged.ask("/Patient", paged.token(patient="456"))
    reply.outcome(502, "transient")
    assert b"evil" not in reply.everything


@pytest.mark.spec("G34", "EHR-33")
@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("{base}?_getpages=77&_bundletype=searchset", ""),
        ("{base}/?_getpages=77&_bundletype=searchset", ""),
        ("{base}/Patient?_getpages=77&_bundletype=searchset", "Patient"),
        ("{base}/Patient/_search?_getpages=77&_bundletype=searchset", "Patient/_search"),
        ("Patient?_getpages=77&_bundletype=searchset", "Patient"),
    ],
)
def test_the_next_page_is_asked_for_where_the_server_has_it(paged, upstream, link, path):
    upstream.routes["Patient"] = searchset(JANE, onward=link.format(base=upstream.base))
    token = paged.token(patient="456")
    onward = next_link(paged.ask("/Patient", token))
    upstream.routes[path] = searchset(JANE, JANE | {"id": "790"})
    upstream.asked.clear()
    second = followed(paged, onward, token)
    assert second.ids() == ["Patient/456"]
    (asked,) = upstream.asked
    assert (asked.path, asked.query["_getpages"]) == (path, ["77"])


@pytest.mark.spec("G34", "G36")
@pytest.mark.parametrize("status", [400, 404, 410, 500])
def test_a_page_the_server_has_forgotten_is_no_fault_of_the_app(paged, upstream, status):
    upstream.routes["Patient"] = searchset(JANE, onward=f"{upstream.base}?_getpages=77")
    token = paged.token(patient="456")
    onward = next_link(paged.ask("/Patient", token))
    upstream.routes[""] = Answer({"resourceType": "OperationOutcome", "x": "_getpages"}, status)
    reply = followed(paged, onward, token)
    assert reply.status == {400: 400, 404: 404, 410: 404, 500: 502}[status]
    assert b"_getpages" not in reply.everything


@pytest.mark.spec("G34", "G28")
def test_a_history_goes_on_behind_a_sealed_link(paged, upstream):
    path = "Patient/456/_history"
    upstream.routes[path] = searchset(JANE, onward=f"{upstream.base}?_getpages=5", kind="history")
    token = paged.token(patient="456")
    first = paged.ask(f"/{path}", token)
    assert "total" not in first.json
    upstream.routes[""] = searchset(JANE, JANE | {"id": "790"}, kind="history")
    second = followed(paged, next_link(first), token)
    assert [one["resource"]["id"] for one in second.json["entry"]] == ["456"]
    upstream.routes[""] = searchset(JANE, kind="searchset")
    followed(paged, next_link(first), token).outcome(502, "transient")


@pytest.mark.spec("G34", "EHR-33")
def test_a_server_that_knows_itself_by_another_address_is_paged_all_the_same(paged, upstream):
    """HAPI's `server_address`: `self` shows it, and nothing of it is told or asked."""
    theirs, token = "https://fhir.hospital.internal/r4", paged.token(patient="456")

    def page(own, following):
        links = [("self", own), ("next", following)] if following else [("self", own)]
        said = [{"relation": name, "url": theirs + rest} for name, rest in links]
        return Answer({**searchset(JANE).body, "link": said})

    upstream.routes["Patient"] = page("/Patient?name=doe", "?_getpages=5")
    first = paged.ask("/Patient?name=doe", token)
    upstream.routes[""] = page("?_getpages=5", "/?_getpages=6&x=1")
    second = followed(paged, next_link(first), token)
    assert upstream.asked[-1].query == {"_getpages": ["5"]}
    third = followed(paged, next_link(second), token)
    assert upstream.asked[-1].query == {"_getpages": ["6"], "x": ["1"]}
    assert all(b"hospital.internal" not in one.everything for one in (first, second, third))


@pytest.mark.spec("G34", "O19")
@pytest.mark.parametrize(
    ("own", "following"),
    [
        ("https://a.example/r4/Patient", "https://b.example/r4?x=1"),
        ("https://a.example/r4/Patient", "https://a.example/r4x?x=1"),
        ("https://a.example/r4/Patient", "https://a.example/r4/../x"),
        ("https://a.example/r4/Patient", "https://a.example/r4/%2e%2e/x"),
        ("https://a.example/r4/Observation", "https://a.example/r4?x=1"),
        ("/Patient", "/x?y=1"),
        ("", "https://a.example/r4?x=1"),
    ],
)
def test_no_other_link_leads_on(paged, upstream, own, following):
    links = [{"relation": "self", "url": own}, {"relation": "next", "url": following}]
    upstream.routes["Patient"] = Answer({**searchset(JANE).body, "link": links})
    paged.ask("/Patient?name=doe", paged.token(patient="456")).outcome(502, "transient")


def noise(length):
    """Hexadecimal text that cannot be made shorter than half."""
    digests = (hashlib.sha256(str(n).encode()).hexdigest() for n in range(length // 64))
    return ",".join(digests)


def test_where_a_link_would_get_too_long_the_answer_says_that_there_is_more(paged, upstream):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    upstream.routes["Patient/_search"] = searchset(JANE, onward=f"{upstream.base}?_getpages=5")
    body = f"name={noise(50_000)}".encode()
    token = paged.token(patient="456")
    reply = paged.ask("/Patient/_search", token, method="POST", headers=form, body=body)
    assert next_link(reply) == ""
    assert reply.json["entry"][-1]["resource"]["issue"][0]["code"] == "incomplete"


# By themselves ----------------------------------------------------------------------------------


@pytest.mark.spec("G34")
@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_no_other_text_opens(raw):
    with pytest.raises(NoSuchPageError):
        open_page(raw.decode("latin-1"), SEALER.key, SEALER.binding, SEALER.now)


@pytest.mark.spec("G34")
@given(
    st.text(
        st.characters(min_codepoint=33, max_codepoint=126, blacklist_characters="#\\"), max_size=60
    )
)
def test_what_was_sealed_is_what_opens(query):
    link = SEALER.seal(f"{UPSTREAM}?{query}")
    assert link is not None
    text = link.partition("?_page=")[2]
    page = open_page(text, SEALER.key, SEALER.binding, SEALER.now)
    assert page.onward == Onward("", query)
    for key, binding, now in (
        (b"j" * 32, SEALER.binding, SEALER.now),
        (SEALER.key, b"another token", SEALER.now),
        (SEALER.key, SEALER.binding, SEALER.now + cursors.LIFE_SECONDS),
    ):
        with pytest.raises(NoSuchPageError):
            open_page(text, key, binding, now)


@given(st.text(max_size=60))
def test_any_link_is_below_the_base_or_a_fault(text):
    try:
        found = below(text, UPSTREAM)
    except UpstreamFault:
        return
    assert not {".", ".."} & set(found.path.split("/"))
    assert not found.path.startswith("/")


def test_a_link_too_long_is_none():
    assert replace(SEALER, query=noise(20_000)).seal(f"{UPSTREAM}?x=1") is None
    assert replace(SEALER, query=noise(2_000)).seal(f"{UPSTREAM}?x=1") is not None
