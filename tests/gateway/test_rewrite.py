"""Nothing of the upstream's address survives; numbers and other text stay as they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart.gateway.outcomes import UpstreamFault
from smart.gateway.rewrite import Rewriter

UPSTREAM = "http://127.0.0.1:9000/fhir"
PUBLIC = "https://auth.example/t/mercy/fhir"
LOCAL = Rewriter.between(UPSTREAM + "/", PUBLIC + "/")
NAMED = Rewriter.between("https://ehr.hospital.org/r4", PUBLIC)


@pytest.mark.spec("G35")
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (rf'{{"url":"{UPSTREAM}/Patient/1"}}', rf'{{"url":"{PUBLIC}/Patient/1"}}'),
        (rf'{{"url":"{UPSTREAM}"}}', rf'{{"url":"{PUBLIC}"}}'),
        (rf'{{"url":"{UPSTREAM}?x=1"}}', rf'{{"url":"{PUBLIC}?x=1"}}'),
        (r'{"url":"http:\/\/127.0.0.1:9000\/fhir\/a"}', rf'{{"url":"{PUBLIC}/a"}}'),
        (r'{"url":"\u0068ttp://127.0.0.1:9000/fhir/a"}', rf'{{"url":"{PUBLIC}/a"}}'),
        (
            rf'{{"div":"<a href=\"{UPSTREAM}/Patient/1\">x</a>"}}',
            rf'{{"div":"<a href=\"{PUBLIC}/Patient/1\">x</a>"}}',
        ),
        (
            rf'{{"a":"see {UPSTREAM}/x, {UPSTREAM}/y"}}',
            rf'{{"a":"see {PUBLIC}/x, {PUBLIC}/y"}}',
        ),
        (
            '{"value":1.00,"big":0.1000000000000000055}',
            '{"value":1.00,"big":0.1000000000000000055}',
        ),
        (r'{"a":1.00,"b":"\/","c":"\\/ \u00e9"}', '{"a":1.00,"b":"/","c":"\\\\/ \u00e9"}'),
        ('{"port":"127.0.0.1:90001"}', '{"port":"127.0.0.1:90001"}'),
    ],
)
def test_urls_are_rewritten_and_nothing_else(raw, expected):
    assert LOCAL.json(raw.encode()) == expected.encode()


@pytest.mark.spec("G35")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:9000/other", "http://auth.example/other"),
        ("http://127.0.0.1:9000/fhirs/Patient/1", "http://auth.example/fhirs/Patient/1"),
        ("https://127.0.0.1:9000/fhir/Patient/1", "https://auth.example/fhir/Patient/1"),
        ("x?u=http%3A%2F%2F127.0.0.1%3A9000%2Ffhir", "x?u=http%3A%2F%2Fauth.example%2Ffhir"),
        (r"http:\/\/127.0.0.1:9000\/admin", "http://auth.example/admin"),
        (r"no route to\n127.0.0.1:9000", r"no route to\nauth.example"),
        (r"\u0031\u0032\u0037.0.0.1:9000", "auth.example"),
        ("no route to 127.0.0.1:9000", "no route to auth.example"),
    ],
)
def test_another_mention_of_the_address_gets_this_servers_host(text, expected):
    """An identifier system on the upstream's host must not make its records unreadable."""
    assert LOCAL.json(f'{{"a":"{text}"}}'.encode()) == f'{{"a":"{expected}"}}'.encode()


@pytest.mark.spec("G35")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://EHR.hospital.org/r4x/Patient/1", "https://auth.example/r4x/Patient/1"),
        ("https://EHR.hospital.org/r4/Patient/1", "https://auth.example/r4/Patient/1"),
        ("https://ehr.hospital.org:443/r4/Patient/1", "https://auth.example:443/r4/Patient/1"),
        ("ehr.hospital.org", "auth.example"),
        ("mail@ehr.hospital.org.", "mail@auth.example."),
        ("https://my-ehr.hospital.org/x", None),
        ("https://ehr.hospital.org.example/x", None),
        ("https://www.hospital.org/x", None),
    ],
)
def test_host_names(text, expected):
    raw = f'{{"a":"{text}"}}'.encode()
    assert NAMED.json(raw) == (f'{{"a":"{expected}"}}'.encode() if expected else raw)


@pytest.mark.spec("G35")
@given(st.lists(st.sampled_from(
    ["http://", "127.0.0.1:9000", "127.0.0.1%3A9000", "/fhir", "/", "a", " ", "\\n", "\\u0031",
     "\\/", "%2F", ".", "-", "9", "127.0.0.1:", "HTTP://", "\u00e9"]
), max_size=8).map("".join))  # fmt: skip
def test_no_text_lets_the_address_through(text):
    found = LOCAL.json(f'{{"a":"{text}"}}'.encode())
    assert not LOCAL.address.search(found)
    assert f"{UPSTREAM}/".encode() not in found


def test_an_upstream_on_our_own_host_is_told_apart_by_its_path():
    rewriter = Rewriter.between("https://auth.example/inner/fhir", PUBLIC)
    assert rewriter.url("https://auth.example/inner/fhir/Patient/1") == f"{PUBLIC}/Patient/1"
    assert rewriter.url(f"{PUBLIC}/Patient/1") == f"{PUBLIC}/Patient/1"
    hidden = "https://fhir-server.invalid"
    assert rewriter.url("https://auth.example/inner/admin") == f"{hidden}/inner/admin"
    assert rewriter.url("https://auth.example/t/mercy/fhirx") == f"{hidden}/t/mercy/fhirx"


@pytest.mark.spec("G35")
def test_headers_are_an_allow_list():
    headers = [
        ("ETag", 'W/"1"'),
        ("Last-Modified", "Tue, 24 Nov 2026 10:00:00 GMT"),
        ("Location", f"{UPSTREAM}/Patient/1/_history/1"),
        ("Content-Location", "Patient/1"),
        ("Server", "upstream/1.0"),
        ("Set-Cookie", "a=b"),
        ("X-Powered-By", "x"),
    ]
    assert LOCAL.headers(headers) == [
        ("etag", 'W/"1"'),
        ("last-modified", "Tue, 24 Nov 2026 10:00:00 GMT"),
        ("location", f"{PUBLIC}/Patient/1/_history/1"),
        ("content-location", "Patient/1"),
    ]
    assert LOCAL.headers([("location", "http://127.0.0.1:9000/elsewhere")]) == []
    assert LOCAL.headers([("etag", '"127.0.0.1:9000"')]) == []


@pytest.mark.spec("G35")
@pytest.mark.parametrize(
    "url",
    [
        "https://fhir.hospital.internal/r4/Patient/1/_history/1",
        "//fhir.hospital.internal/r4/Patient/1",
        f"{PUBLIC}.hospital.internal/Patient/1",
        f"https://fhir.hospital.internal/?{PUBLIC}/Patient/1",
    ],
)
def test_a_server_that_knows_itself_by_another_address_does_not_tell_it(url):
    """HAPI puts its `server_address` into the Content-Location of every read."""
    assert LOCAL.headers([("Content-Location", url), ("Location", url)]) == []


def test_broken_strings_are_a_fault():
    with pytest.raises(UpstreamFault):
        LOCAL.json(rb'{"a":"\u00zz"}')
