"""Through the front door with headers, methods and sizes that no request may have."""

from ipaddress import ip_network

import pytest


@pytest.mark.spec("G37", "G38", "G39", "G40", "G52")
@pytest.mark.parametrize(
    ("headers", "status", "issue"),
    [
        ({"X-HTTP-Method-Override": "DELETE"}, 400, "invalid"),
        ({"X-Method-Override": "PUT"}, 400, "invalid"),
        ({"Prefer": "respond-async"}, 400, "not-supported"),
        ({"Content-Length": "5"}, 400, "invalid"),
        ({"Transfer-Encoding": "chunked"}, 400, "invalid"),
        ({"Content-Length": "0", "Transfer-Encoding": "chunked"}, 400, "invalid"),
        ({"Accept": "application/fhir+xml"}, 406, "not-supported"),
        ({"Accept": "application/fhir+json; fhirVersion=5.0"}, 406, "not-supported"),
        ({"Accept": "application/json; charset=utf-16"}, 406, "not-supported"),
        ({"X-Long": "x" * 17_000}, 431, "too-long"),
        ({f"X-{number}": "1" for number in range(101)}, 431, "too-long"),
    ],
)
def test_headers_that_no_request_may_carry(hospital, john, headers, status, issue):
    hospital.ask("/Patient/789", john, headers=headers).outcome(status, issue)


@pytest.mark.spec("G37")
@pytest.mark.parametrize("query", ["_method=DELETE", "_method=GET"])
def test_the_method_is_not_overridden_in_the_query(hospital, john, query):
    hospital.ask(f"/Patient/789?{query}", john).outcome(400, "invalid")


@pytest.mark.spec("G37")
@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PURGE", "get"])
def test_methods_that_fhir_does_not_have_are_405(hospital, john, method):
    reply = hospital.ask("/Patient/789", john, method=method)
    reply.outcome(405, "not-supported")
    assert reply.headers["allow"] == "GET, HEAD"


def test_the_methods_of_a_url_are_named(hospital, john):
    reply = hospital.ask("/Patient/789", john, method="POST")
    reply.outcome(405, "not-supported")
    assert reply.headers["allow"] == "GET, PUT, PATCH, DELETE, HEAD"


@pytest.mark.spec("G38")
@pytest.mark.parametrize("kind", ["application/fhir+xml", "multipart/form-data", "text/plain"])
def test_bodies_of_other_kinds_change_nothing(hospital, writer, kind):
    reply = hospital.ask(
        "/Observation", writer, method="POST", headers={"Content-Type": kind}, body=b"<x/>"
    )
    reply.outcome(415, "not-supported")


@pytest.mark.spec("G52")
def test_the_page_size_is_clamped(hospital, john):
    reply = hospital.ask("/Observation?_count=1000000", john)
    assert "_count=200" in reply.json["link"][0]["url"]
    assert len(reply.ids()) == 165


@pytest.mark.spec("G37", "G52")
@pytest.mark.parametrize("value", ["-1", "1e3", "", "1,2", "\u0661"])
def test_counts_that_are_no_numbers_are_400(hospital, john, value):
    hospital.ask(f"/Observation?_count={value}", john).outcome(400, "invalid")


@pytest.mark.spec("A2")
def test_an_address_made_up_by_the_caller_does_not_reach_the_trail(hospital, john, settings):
    lines = [(b"x-forwarded-for", b"203.0.113.66"), (b"x-forwarded-for", b"198.51.100.7")]
    settings.TRUSTED_PROXIES = [ip_network("192.0.2.0/24")]
    reply = hospital.ask("/Patient/789", john, headers=lines)
    assert hospital.event(reply).details["ip"] == "198.51.100.7"


@pytest.mark.spec("K8")
def test_browsers_are_told_to_stay_with_tls(hospital, john, settings):
    assert "strict-transport-security" not in hospital.ask("/Patient/789", john).headers
    settings.SECURE_HSTS_SECONDS = 63_072_000
    told = hospital.ask("/Patient/789", john).headers["strict-transport-security"]
    assert told == "max-age=63072000; includeSubDomains; preload"
