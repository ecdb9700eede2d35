"""Headers that smuggle, override or ask for what is not served."""

import pytest

from smart.gateway.fhir_request import BadRequest, parse


def status(*headers: tuple[bytes, bytes], method: str = "GET", query: bytes = b"") -> int:
    try:
        parse(method, "Patient/A", query, headers)
    except BadRequest as error:
        return error.status
    return 200


@pytest.mark.spec("G41")
def test_two_authorization_headers():
    one = (b"authorization", b"Bearer x")
    assert status(one) == 200
    assert status(one, (b"Authorization", b"Bearer y")) == 400


@pytest.mark.spec("G37")
@pytest.mark.parametrize(
    "name", [b"X-HTTP-Method-Override", b"x-http-method", b"X-Method-Override"]
)
def test_method_overrides(name):
    assert status((name, b"DELETE")) == 400


@pytest.mark.spec("G40", "G38")
@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"0"), (b"transfer-encoding", b"chunked")],
        [(b"content-length", b"0"), (b"content-length", b"0")],
        [(b"content-type", b"application/json"), (b"content-type", b"text/xml")],
        [(b"content-length", b"7")],
        [(b"transfer-encoding", b"chunked")],
    ],
)
def test_ambiguous_or_needless_bodies(headers):
    assert status(*headers) == 400


def test_harmless_headers_pass():
    assert (
        status(
            (b"content-length", b"0"),
            (b"content-type", b"application/json"),
            (b"x-forwarded-for", b"10.0.0.1"),
            (b"prefer", b"handling=strict"),
        )
        == 200
    )


@pytest.mark.spec("G52")
@pytest.mark.parametrize("value", [b"respond-async", b"handling=lenient, Respond-Async"])
def test_async_is_refused(value):
    assert status((b"prefer", value)) == 400


@pytest.mark.spec("G38")
@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"", 200),
        (b"*/*", 200),
        (b"application/*", 200),
        (b"application/fhir+json", 200),
        (b"application/json", 200),
        (b"Application/FHIR+JSON; charset=UTF-8", 200),
        (b'application/fhir+json; fhirVersion="4.0"', 200),
        (b"application/fhir+xml, application/fhir+json;q=0.1", 200),
        (b"application/fhir+xml", 406),
        (b"text/html", 406),
        (b"application/fhir+json;q=0", 406),
        (b"application/fhir+json;q=0.000", 406),
        (b"application/fhir+json; charset=utf-16", 406),
        (b"application/fhir+json; fhirVersion=3.0", 406),
    ],
)
def test_accept(accept, expected):
    assert status((b"accept", accept)) == expected


def test_format_stands_above_accept():
    assert status((b"accept", b"text/html"), query=b"_format=json") == 200
    assert status((b"accept", b"application/json"), query=b"_format=xml") == 406
