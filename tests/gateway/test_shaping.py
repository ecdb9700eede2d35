"""Summaries, elements and counts are the gateway's own, after the check (G14, G15)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart.gateway import searches
from smart.gateway.shaping import shaped
from smart.policy.shape import Shape, elements_of
from smart.scopes.resource_types import RESOURCE_TYPES
from tests.fhir_server import JANE, Answer
from tests.gateway.two_records import CATEGORY

ANN = {"patient": "ann", "fhir_user": "Patient/ann"}
SUBSETTED = "SUBSETTED"


@pytest.fixture
def ann(hands):
    return hands.token("patient/*.rs", **ANN)


def members(reply, number="lab-ann"):
    assert reply.status == 200, reply.body
    (found,) = (
        one["resource"] for one in reply.json["entry"] if one["resource"].get("id") == number
    )
    return found


@pytest.mark.spec("G14")
@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("_elements=value", {"status", "code", "valueQuantity"}),
        ("_elements=subject,category", {"status", "code", "subject", "category"}),
        ("_elements=nothing", {"status", "code"}),
        ("_summary=text", {"status", "code", "text"}),
        (
            "_summary=true",
            {"status", "code", "subject", "encounter", "performer", "valueQuantity"},
        ),
        (
            "_summary=data",
            {"status", "category", "code", "subject", "encounter", "performer", "valueQuantity"},
        ),
    ],
)
def test_the_resource_is_shortened_after_it_was_judged(hands, ann, query, shown):
    reply = hands.ask(f"/Observation?{query}", ann)
    found = members(reply)
    assert set(found) == {"resourceType", "id", "meta", *shown}
    assert [one["code"] for one in found["meta"]["tag"]] == [SUBSETTED]
    assert found["meta"]["versionId"] == "1"
    assert query in reply.json["link"][0]["url"]
    assert reply.json["total"] == 2


@pytest.mark.spec("G14")
def test_false_means_all_of_it(hands, ann):
    found = members(hands.ask("/Observation?_summary=false", ann))
    assert "category" in found
    assert "tag" not in found["meta"]


@pytest.mark.spec("G14", "G13", "G42")
@pytest.mark.parametrize("shape", ["_elements=code", "_summary=text", "_summary=true"])
def test_what_is_left_out_was_there_to_be_judged(hands, shape):
    """A server that left subject and category out would leave nothing to decide by."""
    labs = hands.token(f"patient/Observation.rs?category={CATEGORY}|laboratory", **ANN)
    assert hands.ask(f"/Observation?{shape}", labs).ids() == ["Observation/lab-ann"]


@pytest.mark.spec("G14")
def test_nothing_of_it_is_asked_of_the_server_behind(clinic, upstream):
    upstream.routes["Patient"] = Answer(
        {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": JANE}]}
    )
    token = clinic.token(patient="456")
    for query in ("_elements=name", "_summary=true", "_summary=count", "_count=0", "_total=none"):
        upstream.asked.clear()
        assert clinic.ask(f"/Patient?{query}", token).status == 200
        assert [one.query for one in upstream.asked] == [{"_id": ["456"], "_count": ["200"]}]


@pytest.mark.spec("G14", "G6")
@pytest.mark.parametrize(
    "query",
    [
        "_summary=all",
        "_summary=true&_summary=text",
        "_summary=true,text",
        "_elements=Observation.code",
        "_elements=",
        "_elements=a&_elements=b",
        "_elements=code&_summary=true",
        "_summary=text&_include=Observation:encounter",
        "_summary:x=true",
    ],
)
def test_shapes_out_of_form_are_400(hands, ann, query):
    assert hands.ask(f"/Observation?{query}", ann).status == 400


@pytest.mark.spec("G15")
@pytest.mark.parametrize("query", ["_summary=count", "_count=0", "_summary=count&_count=1"])
def test_a_count_is_of_what_could_have_left(hands, ann, query):
    reply = hands.ask(f"/Observation?{query}&_include=Observation:encounter", ann)
    assert (reply.status, reply.json["total"]) == (200, 2)
    assert "entry" not in reply.json
    vitals = hands.token(f"patient/Observation.rs?category={CATEGORY}|vital-signs", **ANN)
    assert hands.ask(f"/Observation?{query}", vitals).json["total"] == 1
    labs = hands.ask(f"/Observation?{query}&category=laboratory", vitals)
    assert labs.json["total"] == 0
    hands.ask(f"/Observation?{query}&patient=bob", ann).outcome(403, "forbidden")


@pytest.mark.spec("G15")
def test_a_count_over_several_pages_is_exact_or_refused(clinic, upstream, monkeypatch):
    pages = 3

    def page(asked):
        number = int(asked.query.get("page", ["1"])[0])
        link = [{"relation": "next", "url": f"{upstream.base}/Patient?page={number + 1}"}]
        return Answer(
            {
                "resourceType": "Bundle",
                "type": "searchset",
                "total": 999,
                "link": link if number < pages else [],
                "entry": [{"resource": JANE}, {"resource": JANE | {"id": "789"}}],
            }
        )

    upstream.routes["Patient"] = page
    token = clinic.token(patient="456")
    counted = clinic.ask("/Patient?_summary=count", token)
    assert (counted.status, counted.json["total"]) == (200, 3)
    monkeypatch.setattr(searches, "COUNTED_PAGES", 2)
    refused = clinic.ask("/Patient?_summary=count", token)
    refused.outcome(403, "too-costly")
    assert b"999" not in refused.everything
    assert clinic.event(refused).outcome == "failure"


RAW = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@pytest.mark.spec("G14")
@given(
    st.sampled_from(sorted(RESOURCE_TYPES - {"OperationOutcome"})),
    st.dictionaries(st.sampled_from(["status", "code", "subject", "text", "valueX", "x"]), RAW),
    st.sampled_from(["true", "text", "data"]) | st.lists(st.sampled_from(["code", "x"])),
)
def test_members_stay_as_they_are_or_go(resource_type, members, wanted):
    shape = Shape(wanted) if isinstance(wanted, str) else Shape(elements=tuple(wanted))
    whole = {"resourceType": resource_type, "id": "1", "meta": {"versionId": "3"}, **members}
    found = json.loads(shaped(json.dumps(whole).encode(), resource_type, shape))
    if shape.is_whole:
        assert found == whole
        return
    meta = found.pop("meta")
    assert meta["versionId"] == "3"
    assert meta["tag"][-1]["code"] == SUBSETTED
    assert all(found[name] == whole[name] for name in found)
    assert elements_of(resource_type).kept & set(whole) <= set(found)


def test_numbers_keep_their_precision():
    raw = b'{"resourceType":"Observation","id":"1","valueQuantity":{"value":1.500},"x":1}'
    found = shaped(raw, "Observation", Shape(elements=("value",)))
    assert b'"valueQuantity":{"value":1.500}' in found
