"""Result parameters: count, sort, total, summary, unknown parameters (FHIR R4 3.1.1.5)."""

from typing import Literal

import pytest

from smart.sandbox.outcome import FhirError
from smart.sandbox.search import DEFAULT_COUNT, MAX_COUNT, Query, parse, run

BASE = "http://127.0.0.1:1/fhir"


def parsed(*pairs: tuple[str, str], handling: Literal["strict", "lenient"] = "lenient") -> Query:
    return parse("Observation", pairs, base=BASE, handling=handling)


def test_count_has_a_default_and_a_ceiling():
    assert parsed().count == DEFAULT_COUNT == 50
    assert parsed(("_count", "7")).count == 7
    assert parsed(("_count", "5000")).count == MAX_COUNT == 1000


def test_unknown_parameters_are_left_out_or_refused():
    query = parsed(("patient", "1"), ("shoe-size", "44"))
    assert query.used == [("patient", "1")]
    assert len(query.filters) == 1
    with pytest.raises(FhirError) as caught:
        parsed(("shoe-size", "44"), handling="strict")
    assert caught.value.status == 400
    assert "shoe-size" in caught.value.diagnostics


@pytest.mark.parametrize(
    "pair",
    [
        ("_count", "-1"),
        ("_count", "many"),
        ("_count", "٣"),
        ("_total", "all"),
        ("_summary", "true"),
        ("_sort", "shoe-size"),
        ("_sort", "subject"),
        ("_include", "Observation:code"),
        ("_include", "Observation"),
        ("_include", "Nothing:patient"),
        ("_include", "Observation:patient:Nothing"),
        ("_revinclude", "Provenance:shoe"),
    ],
)
def test_bad_result_parameters_are_refused(pair):
    with pytest.raises(FhirError) as caught:
        parsed(pair)
    assert caught.value.status == 400


def test_a_result_parameter_is_given_once():
    with pytest.raises(FhirError):
        parsed(("_count", "1"), ("_count", "2"))
    assert len(parsed(("_include", "*"), ("_include", "Observation:patient")).includes) == 2


@pytest.fixture
def readings(store):
    for name, when, code in (
        ("x", "2024-03-01", "b"),
        ("y", "2024-01-01", "c"),
        ("z", "2024-02-01", "a"),
        ("w", None, "a"),
    ):
        members = {"effectiveDateTime": when} if when else {}
        store.update(
            {
                "resourceType": "Observation",
                "id": name,
                "code": {"coding": [{"system": "urn:s", "code": code}]},
                **members,
            },
            None,
        )
    return store


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("date", "yzxw"),
        ("-date", "xzyw"),
        ("_id", "wxyz"),
        ("-_id", "zyxw"),
        ("code,-date", "zwxy"),
        ("_lastUpdated,-_id", None),
    ],
)
def test_sorting_puts_missing_values_last(readings, sort, expected):
    names = dict(readings.select("SELECT row, id FROM current"))
    found = "".join(names[row] for row in run(readings, parsed(("_sort", sort))))
    assert sorted(found) == list("wxyz")
    assert expected is None or found == expected
