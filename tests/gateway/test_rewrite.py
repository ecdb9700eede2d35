"""Nothing of the upstream's address survives; numbers and other text stay as they were."""

import pytest

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
    "raw",
    [
        '{"url":"http://127.0.0.1:9000/other"}',
        '{"url":"http://127.0.0.1:9000/fhirs/Patient/1"}',
        '{"url":"https://127.0.0.1:9000/fhir/Patient/1"}',
        '{"url":"x?u=http%3A%2F%2F127.0.0.1%3A9000%2Ffhir"}',
        r'{"url":"http:\/\/127.0.0.1:9000\/admin"}',
        r'{"diagnostics":"no route to\n127.0.0.1:9000"}',
        r'{"url":"\u0031\u0032\u0037.0.0.1:9000"}',
        '{"diagnostics":"no route to 127.0.0.1:9000"}',
    ],
)
def test_what_still_shows_the_address_is_not_sent(raw):
    with pytest.raises(UpstreamFault):
        LOCAL.json(raw.encode())


@pytest.mark.spec("G35")
@pytest.mark.parametrize(
    ("text", "shows"),
    [
        ("https://EHR.hospital.org/r4/Patient/1", True),
        ("https://ehr.hospital.org:443/r4/Patient/1", True),
        ("ehr.hospital.org", True),
        ("mail@ehr.hospital.org.", True),
        ("https://my-ehr.hospital.org/x", False),
        ("https://ehr.hospital.org.example/x", False),
        ("https://www.hospital.org/x", False),
    ],
)
def test_host_names(text, shows):
    raw = f'{{"a":"{text}"}}'.encode()
    if not shows:
        assert NAMED.json(raw) == raw
        return
    with pytest.raises(UpstreamFault):
        NAMED.json(raw)


def test_an_upstream_on_our_own_host_is_told_apart_by_its_path():
    rewriter = Rewriter.between("https://auth.example/inner/fhir", PUBLIC)
    assert rewriter.url("https://auth.example/inner/fhir/Patient/1") == f"{PUBLIC}/Patient/1"
    with pytest.raises(UpstreamFault):
        rewriter.url("https://auth.example/inner/admin")
    with pytest.raises(UpstreamFault):
        rewriter.url("https://auth.example/t/mercy/fhirx")


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
    with pytest.raises(UpstreamFault):
        LOCAL.headers([("location", "http://127.0.0.1:9000/elsewhere")])
    with pytest.raises(UpstreamFault):
        LOCAL.headers([("etag", '"127.0.0.1:9000"')])


def test_broken_strings_are_a_fault():
    with pytest.raises(UpstreamFault):
        LOCAL.json(rb'{"a":"\u00zz"}')
