"""Raw requests are read by a strict grammar, or refused with the right status."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart.gateway.fhir_request import (
    BadRequest,
    FhirInteraction,
    FhirRequest,
    SearchParameter,
    parse,
    to_upstream,
)
from smart.policy.request import FhirInteraction as Interaction


def get(url: str, *headers: tuple[bytes, bytes], method: str = "GET") -> FhirRequest:
    path, _, query = url.partition("?")
    return parse(method, path, query.encode(), headers)


def refused(url: str, *headers: tuple[bytes, bytes], method: str = "GET") -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        get(url, *headers, method=method)
    return caught.value


@pytest.mark.parametrize(
    ("method", "url", "expected"),
    [
        ("GET", "/metadata", FhirRequest(Interaction.CAPABILITIES)),
        ("GET", "metadata?mode=full", FhirRequest(Interaction.CAPABILITIES)),
        ("GET", "/Patient/A", FhirRequest(Interaction.READ, "Patient", "A")),
        ("HEAD", "Patient/A", FhirRequest(Interaction.READ, "Patient", "A", is_head=True)),
        ("GET", "Patient/%41", FhirRequest(Interaction.READ, "Patient", "A")),
        ("GET", "Patient/...", FhirRequest(Interaction.READ, "Patient", "...")),
        ("GET", "Patient/A?_format=json", FhirRequest(Interaction.READ, "Patient", "A")),
        ("GET", "Patient", FhirRequest(Interaction.SEARCH_TYPE, "Patient")),
        ("GET", "", FhirRequest(Interaction.SEARCH_SYSTEM)),
        ("GET", "/", FhirRequest(Interaction.SEARCH_SYSTEM)),
        ("POST", "/", FhirRequest(Interaction.BATCH)),
        ("POST", "_search", FhirRequest(Interaction.SEARCH_POST)),
        ("POST", "Patient/_search", FhirRequest(Interaction.SEARCH_POST, "Patient")),
        ("GET", "_history", FhirRequest(Interaction.HISTORY_SYSTEM)),
        ("GET", "Patient/_history", FhirRequest(Interaction.HISTORY_TYPE, "Patient")),
        ("GET", "Patient/A/_history", FhirRequest(Interaction.HISTORY_INSTANCE, "Patient", "A")),
        ("GET", "Patient/A/_history/2", FhirRequest(Interaction.VREAD, "Patient", "A", "2")),
        ("POST", "Patient", FhirRequest(Interaction.CREATE, "Patient")),
        ("PUT", "Patient/A", FhirRequest(Interaction.UPDATE, "Patient", "A")),
        ("PATCH", "Patient/A", FhirRequest(Interaction.PATCH, "Patient", "A")),
        ("DELETE", "Patient/A", FhirRequest(Interaction.DELETE, "Patient", "A")),
        ("PUT", "Patient", FhirRequest(Interaction.CONDITIONAL_UPDATE, "Patient")),
        ("PATCH", "Patient", FhirRequest(Interaction.CONDITIONAL_PATCH, "Patient")),
        ("DELETE", "Patient", FhirRequest(Interaction.CONDITIONAL_DELETE, "Patient")),
        ("GET", "$export", FhirRequest(Interaction.OPERATION, operation="$export")),
        (
            "POST",
            "Patient/$match",
            FhirRequest(Interaction.OPERATION, "Patient", None, None, "$match"),
        ),
        (
            "GET",
            "Patient/A/%24everything",
            FhirRequest(Interaction.OPERATION, "Patient", "A", None, "$everything"),
        ),
        (
            "GET",
            "Patient/A/Observation",
            FhirRequest(Interaction.COMPARTMENT_SEARCH, "Patient", "A", target_type="Observation"),
        ),
        (
            "POST",
            "Patient/A/*/_search",
            FhirRequest(Interaction.COMPARTMENT_SEARCH, "Patient", "A", target_type="*"),
        ),
    ],
)
def test_every_interaction_is_recognised(method, url, expected):
    assert get(url, method=method) == expected
    assert FhirInteraction is Interaction


@pytest.mark.spec("G8", "G9")
@pytest.mark.parametrize(
    "url",
    [
        "Patient/..",
        "Patient/.",
        "../Patient/A",
        "Patient/%2e%2e",
        "Patient/%2E",
        "Patient/%252e%252e",
        "Patient/..;/A",
        "Patient/A;x=1",
        "Patient//A",
        "//Patient/A",
        "Patient/A/",
        "Patient/",
        "Patient\\A",
        "Patient/%5cA",
        "Patient/A%00",
        "Patient%2fA",
        "Patient/A%2f..%2fB",
        "Patient/%zz",
        "Patient/%4",
        "Patient/A%0d%0aX: y",
        "Patient/A b",
        "Patient/\u00e9",
        "Patient/%c3%a9",
        "Patient/%ff",
        "Patient/%C0%AE%C0%AE",
        "Patient/a_b",
        "Patient/" + "x" * 65,
        "Patient/A/_history/..",
        "Patient/A/$",
        "Patient/A/$a$b",
        "Patient/A/..",
    ],
)
def test_paths_outside_the_grammar(url):
    assert refused(url).status == 400


@pytest.mark.spec("G10")
@pytest.mark.parametrize(
    "url",
    [
        "patient/A",
        "OBSERVATION",
        "Unknown/1",
        "Patient/A/foo",
        "Patient/A/_history/1/2",
        "Resource",
    ],
)
def test_unknown_names_are_404(url):
    error = refused(url)
    assert (error.status, error.issue) == (404, "not-found")


@pytest.mark.spec("G37")
@pytest.mark.parametrize(
    ("method", "url", "allow"),
    [
        ("TRACE", "Patient/A", ("GET", "HEAD")),
        ("OPTIONS", "Patient/A", ("GET", "HEAD")),
        ("get", "Patient/A", ("GET", "HEAD")),
        ("POST", "metadata", ("GET", "HEAD")),
        ("POST", "Patient/A", ("GET", "PUT", "PATCH", "DELETE", "HEAD")),
        ("GET", "Patient/_search", ("POST",)),
        ("DELETE", "Patient/A/_history", ("GET", "HEAD")),
    ],
)
def test_wrong_methods_are_405(method, url, allow):
    error = refused(url, method=method)
    assert (error.status, error.allow) == (405, allow)


@pytest.mark.spec("V3")
def test_long_urls_are_414():
    assert refused("Observation?code=" + "x" * 8192).status == 414
    assert get("Observation?code=" + "x" * 8000).parameters[0].values == ("x" * 8000,)


@pytest.mark.parametrize(
    "url", ["Patient/A?_summary=true", "Patient/A?x=1", "metadata?mode=normative"]
)
def test_reads_take_no_parameters(url):
    error = refused(url)
    assert (error.status, error.issue) == (400, "not-supported")


def test_search_is_serialised_canonically():
    request = get(
        "Observation?category=http://s%7ccode&code%3anot=a%2Cb%5C%2Cc+d&date=ge2024-01-01"
    )
    path, query = to_upstream(request)
    assert path == "Observation"
    assert query == "category=http://s%7Ccode&code:not=a,b%5C,c%20d&date=ge2024-01-01"


def test_a_comma_is_a_comma_whichever_way_it_was_written():
    request = get("Observation?code=a%2Cb%5C%2Cc")
    assert request.parameters == (SearchParameter("code", ("a", "b\\,c")),)


METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "get", ""])
PIECES = st.sampled_from(
    [b"Patient", b"Observation", b"A", b"..", b".", b"%2e", b"%252e", b"/", b"//", b"%2f", b";",
     b"\\", b"%00", b"_history", b"_search", b"$everything", b"*", b"?", b"#", b"metadata", b"%41"]
)  # fmt: skip
PATHS = (
    st.binary(max_size=40)
    | st.lists(PIECES, max_size=8).map(b"/".join)
    | st.lists(PIECES, max_size=8).map(b"".join)
)
NAMES = st.sampled_from(
    [b"patient", b"subject:Patient", b"code", b"code:not", b"date", b"_id", b"_count", b"_sort",
     b"_has:Observation:patient:code", b"patient.name", b"_format", b"value-quantity", b"%70atient"]
)  # fmt: skip
VALUES = st.binary(max_size=12) | st.sampled_from(
    [b"A", b"A,B", b"Patient/A", b"..%2f..", b"a%7Cb", b"%26patient=B", b"10", b"2024", b"json"]
)
QUERIES = st.binary(max_size=60) | st.lists(
    st.tuples(NAMES, VALUES).map(b"=".join), max_size=5
).map(b"&".join)


@pytest.mark.spec("G8", "G9")
@given(method=METHODS, path=PATHS | st.text(max_size=20), query=QUERIES)
def test_anything_is_parsed_or_refused_and_parses_again_to_the_same(method, path, query):
    try:
        request = parse(method, path, query, [])
    except BadRequest:
        return
    if request.interaction not in {
        Interaction.READ,
        Interaction.SEARCH_TYPE,
        Interaction.CAPABILITIES,
    }:
        return
    upstream_path, upstream_query = to_upstream(request)
    segments = upstream_path.split("/")
    assert 1 <= len(segments) <= 2
    assert not {"", ".", ".."} & set(segments)
    assert upstream_path.replace("/", "").replace("-", "").replace(".", "").isalnum()
    assert upstream_query.isascii()
    assert not set(upstream_query) & set(" #\\;\"'<>\r\n")
    assert len([part for part in upstream_query.split("&") if part]) == len(request.parameters)
    again = parse("GET", upstream_path, upstream_query.encode(), [])
    assert again.parameters == request.parameters
    assert (again.resource_type, again.resource_id) == (request.resource_type, request.resource_id)
