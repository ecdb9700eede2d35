"""A search is refused where the server behind would ignore a part of it (rule c, G6)."""

import pytest

from smart.policy.facts import Served
from tests.policy.test_decision import denied, sent

CODE = Served(search_params=frozenset({"code", "date"}))


@pytest.mark.spec("G6")
@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("Observation?value-date=1900", "value-date"),
        ("Observation?code=x&_source=zz", "_source"),
        ("Observation?combo-code-value-quantity=a$b", "combo-code-value-quantity"),
        ("Observation?value-date:missing=true", "value-date"),
        ("Observation?subject=Group/1", "subject"),
        ("Observation?_sort=date,-value-date", "value-date"),
        ("Patient?deceased=true&phonetic=z", "deceased, phonetic"),
    ],
)
def test_what_the_server_does_not_list_is_refused_by_name(url, named):
    refusal = denied(url, served=CODE)
    assert (refusal.status, refusal.rule, refusal.issue) == (
        400,
        "search.supported",
        "not-supported",
    )
    assert f" by {named}." in refusal.reason
    assert refusal.allowed == "It has: _id, _lastUpdated, code, date."


@pytest.mark.spec("G6")
@pytest.mark.parametrize(
    "query",
    [
        "code=x",
        "_id=1",
        "_lastUpdated=gt2020",
        "_sort=-date",
        "_sort=_lastUpdated",
        "_count=5&_total=none",
        "patient=A",
        "subject=Patient/A",
    ],
)
def test_what_it_lists_and_what_every_server_has_is_sent(query):
    assert sent(f"Observation?{query}", served=CODE).startswith("Observation?patient=A&")


@pytest.mark.spec("G6")
def test_a_server_that_lists_nothing_takes_no_filter():
    assert sent("Observation", served=Served()) == "Observation?patient=A&_count=200"
    assert denied("Observation?code=x", served=Served()).rule == "search.supported"


@pytest.mark.spec("G1", "G5")
@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("Observation?subject=B", "search.patient"),
        ("Observation?subject.name=x", "search.chain"),
        ("Observation?_text=x", "search.unbounded"),
    ],
)
def test_what_no_server_could_mend_is_refused_first(url, rule):
    assert denied(url, served=Served()).rule == rule


@pytest.mark.spec("GRAN-02", "G15")
def test_a_granted_filter_the_server_does_not_know_is_left_to_the_gate():
    scope = "patient/Observation.rs?category=laboratory&code=x"
    assert sent("Observation", scope, served=CODE) == "Observation?patient=A&code=x&_count=200"
