"""Query strings: decoded once, nothing unknown let by, nothing dropped."""

import pytest

from smart.gateway.outcomes import BadRequest
from smart.gateway.query import check_no_token, pairs, search_parameters, take_format
from smart.policy.request import SearchParameter as P


def search(query: str, resource_type: str = "Observation") -> tuple[P, ...]:
    return search_parameters(resource_type, take_format(pairs(query.encode()))[0])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ()),
        ("code=a", (P("code", ("a",)),)),
        ("code=a&code=b", (P("code", ("a",)), P("code", ("b",)))),
        ("code=a,b", (P("code", ("a", "b")),)),
        ("code=s%7Ca", (P("code", ("s|a",)),)),
        ("code=s|a", (P("code", ("s|a",)),)),
        ("code=a+b", (P("code", ("a b",)),)),
        ("code=a%2Bb", (P("code", ("a+b",)),)),
        ("code=%2541", (P("code", ("%41",)),)),
        ("code:text=x", (P("code", ("x",), "text"),)),
        ("subject:Patient=A", (P("subject", ("A",), "Patient"),)),
        ("patient.name=x", (P("patient", ("x",), None, ".name"),)),
        ("subject:Patient.name=x", (P("subject", ("x",), "Patient", ".name"),)),
        ("_has:A:b:c=x", (P("_has", ("x",), None, ":A:b:c"),)),
        ("patient:missing=true", (P("patient", ("true",), "missing"),)),
        ("date=ge2024&date=lt2024-02-01T10:00:00Z", (P("date", ("ge2024",)),
                                                    P("date", ("lt2024-02-01T10:00:00Z",)))),
        ("value-quantity=gt5.4|http://unitsofmeasure.org|mg",
         (P("value-quantity", ("gt5.4|http://unitsofmeasure.org|mg",)),)),
        ("value-quantity=5,6", (P("value-quantity", ("5", "6")),)),
        ("_count=10&_sort=-date,code&_total=none", (P("_count", ("10",)),
                                                    P("_sort", ("-date", "code")),
                                                    P("_total", ("none",)))),
        ("code=a&&_format=json&_pretty=true", (P("code", ("a",)),)),
        ("_include:iterate=Observation:subject",
         (P("_include", ("Observation:subject",), "iterate"),)),
    ],
)  # fmt: skip
def test_parameters(query, expected):
    assert search(query) == expected


@pytest.mark.spec("G6")
@pytest.mark.parametrize(
    "query",
    [
        "unknown=1",
        "Code=1",
        "family=x",
        "_unknown=1",
        "code:exact=x",
        "code:nonsense=x",
        "date:exact=2024",
        "patient:Practitioner=1",
        "performer:Location=1",
        "patient:patient=1",
        "code.text=x",
        "_count:x=1",
        "_sort:asc=date",
        "_include:recurse-x=a",
    ],
)
def test_unknown_parameters_and_modifiers_are_400(query):
    with pytest.raises(BadRequest) as caught:
        search(query)
    assert (caught.value.status, caught.value.issue) == (400, "not-supported")


def test_an_unknown_parameter_is_answered_with_the_known_ones():
    with pytest.raises(BadRequest, match=r"It has: .*category, .*code"):
        search("unknown=1")


@pytest.mark.spec("G8", "GRAN-10")
@pytest.mark.parametrize(
    "query",
    [
        "code",
        "code=",
        "=x",
        "code=a,,b",
        "code=a,",
        "code=,a",
        "code=a\\",
        "code=a\\x",
        "code=%zz",
        "code=%",
        "code=%ff",
        "code=%00",
        "code=a%0d%0ab",
        "code=%E2%80%A8",
        "co de=1",
        "code[]=1",
        "code;x=1",
        "date=yesterday",
        "date=2024-1-1",
        "value-quantity=abc",
        "patient:missing=maybe",
        "_count=-1",
        "_count=ten",
        "_count=1,2",
        "_count=1&_count=2",
        "_sort=date&_sort=code",
        "_sort=date,,code",
        "_total=all",
        "_total=none&_total=accurate",
        "&".join(["code=a"] * 101),
    ],
)
def test_malformed_queries_are_400(query):
    with pytest.raises(BadRequest) as caught:
        search(query)
    assert caught.value.status == 400


def test_raw_bytes_outside_ascii_are_400():
    with pytest.raises(BadRequest):
        pairs(b"code=\xc3\xa9")


@pytest.mark.spec("G41", "RSVR-01")
@pytest.mark.parametrize(
    "query",
    ["access_token=x", "access%5Ftoken=x", "code=a&access_token=", "a=%zz&access_token=x"],
)
def test_a_token_in_the_query_is_400(query):
    with pytest.raises(BadRequest) as caught:
        check_no_token(query.encode())
    assert caught.value.status == 400
    assert caught.value.is_token_misuse


@pytest.mark.spec("G37")
def test_a_method_in_the_query_is_400():
    with pytest.raises(BadRequest, match="method"):
        pairs(b"_method=DELETE")


@pytest.mark.spec("G38")
@pytest.mark.parametrize(
    ("value", "served"),
    [
        ("json", True),
        ("application/json", True),
        ("application/fhir%2Bjson", True),
        ("application/fhir+json", True),
        ("application/fhir%2Bjson;fhirVersion=4.0", True),
        ("text/json", True),
        ("xml", False),
        ("application/fhir%2Bxml", False),
        ("ttl", False),
        ("*/*", False),
        ("application/json;charset=utf-16", False),
        ("application/fhir%2Bjson;fhirVersion=3.0", False),
    ],
)
def test_format(value, served):
    found = pairs(f"_format={value}".encode())
    if served:
        assert take_format(found) == ([], True)
        return
    with pytest.raises(BadRequest) as caught:
        take_format(found)
    assert caught.value.status == 406
