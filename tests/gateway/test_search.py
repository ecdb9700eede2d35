"""Through the front door: a filter that would be lost on the way is refused (rule c, G6)."""

import pytest

from tests.fhir_server import JANE, Answer


@pytest.mark.spec("G6", "ERRS-03")
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/Patient?deceased=true", "deceased"),
        ("/Patient?phonetic=zzzz", "phonetic"),
        ("/Observation?value-date=1900", "value-date"),
        ("/Observation?combo-code-value-quantity=a$b", "combo-code-value-quantity"),
        ("/Observation?_source=zz", "_source"),
        ("/Observation?status=final&_sort=-value-date", "value-date"),
    ],
)
def test_a_filter_the_server_behind_lacks_is_400(hospital, john, path, name):
    reply = hospital.ask(path, john)
    said = reply.outcome(400, "not-supported")
    assert f" by {name}. It has: _id, _lastUpdated, " in said
    seen = hospital.event(reply)
    assert (seen.code, seen.outcome, seen.rule) == (
        "fhir.search.deny",
        "denied",
        "search.supported",
    )


@pytest.mark.spec("G6")
def test_what_the_statement_lists_can_be_searched_by(hospital, john):
    rest = hospital.ask("/metadata").json["rest"][0]
    listed = {one["type"]: one.get("searchParam", []) for one in rest["resource"]}
    tokens = [one["name"] for one in listed["Observation"] if one["type"] == "token"]
    assert {"status", "code", "_id"} <= set(tokens)
    for name in tokens:
        assert hospital.ask(f"/Observation?{name}=none", john).ids() == []


@pytest.fixture
def found(upstream):
    """The scripted server ignores every parameter, and tells what it was asked."""
    body = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": JANE}]}
    upstream.routes["Patient"] = Answer(body)
    upstream.asked.clear()
    return upstream.asked


@pytest.mark.spec("G6")
def test_the_server_behind_is_told_to_ignore_nothing(clinic, found):
    token = clinic.token(patient="456")
    found.clear()
    assert clinic.ask("/Patient?name=Doe", token).ids() == ["Patient/456"]
    clinic.ask("/Patient?birthdate=1970", token).outcome(400, "not-supported")
    (asked,) = found
    assert asked.headers["prefer"] == "handling=strict"
    assert asked.query == {"_id": ["456"], "name": ["Doe"], "_count": ["200"]}


@pytest.mark.spec("G6", "GRAN-02")
def test_a_granted_filter_it_lacks_is_not_sent_but_judged(clinic, found):
    token = clinic.token("patient/Patient.rs?gender=male", patient="456")
    found.clear()
    reply = clinic.ask("/Patient", token)
    assert reply.ids() == []
    assert [one.query for one in found] == [{"_id": ["456"], "_count": ["200"]}]
    assert "gender" not in reply.json["link"][0]["url"]
