"""FHIR dates as ranges, and what each prefix means (FHIR R4 3.1.1.5.2)."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart.sandbox import dates
from smart.sandbox.outcome import FhirError
from smart.sandbox.search import parse, run


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    return dates.milliseconds(datetime(year, month, day, hour, minute, second, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2024", at(2024, 1, 1), at(2025, 1, 1)),
        ("2024-02", at(2024, 2, 1), at(2024, 3, 1)),
        ("2024-12", at(2024, 12, 1), at(2025, 1, 1)),
        ("2024-02-29", at(2024, 2, 29), at(2024, 3, 1)),
        ("2024-05-01T10:30", at(2024, 5, 1, 10, 30), at(2024, 5, 1, 10, 31)),
        ("2024-05-01T10:30:15Z", at(2024, 5, 1, 10, 30, 15), at(2024, 5, 1, 10, 30, 16)),
        ("2024-05-01T12:30:15+02:00", at(2024, 5, 1, 10, 30, 15), at(2024, 5, 1, 10, 30, 16)),
        ("2024-05-01T10:30:15.250Z", at(2024, 5, 1, 10, 30, 15) + 250, None),
        ("9999", at(9999, 1, 1), dates.LATEST),
    ],
)
def test_a_date_covers_its_precision(text, low, high):
    assert dates.parse(text) == (low, low + 1 if high is None else high)


@pytest.mark.parametrize(
    "text", ["", "24", "2024-13", "2023-02-29", "2024-1-1", "2024-05-01T25:00", "٢٠٢٤", "0000"]
)
def test_other_text_is_no_date(text):
    with pytest.raises(ValueError):
        dates.parse(text)


@given(st.datetimes(timezones=st.just(UTC)).filter(lambda moment: 1800 < moment.year < 2200))
def test_finer_precision_lies_inside_coarser(moment):
    texts = [moment.strftime(form) for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ")]
    spans = [dates.parse(text) for text in (texts[0][:4], texts[0][:7], *texts)]
    for outer, inner in pairwise(spans):
        assert outer.low <= inner.low < inner.high <= outer.high


def test_instants_and_http_dates_are_utc():
    moment = at(2024, 5, 1, 10, 30, 15)
    assert dates.instant(moment + 7) == "2024-05-01T10:30:15.007Z"
    assert dates.http_date(moment) == "Wed, 01 May 2024 10:30:15 GMT"


STORED: dict[str, dict[str, object]] = {
    "day": {"effectiveDateTime": "2024-05-10"},
    "moment": {"effectiveDateTime": "2024-05-10T12:00:00Z"},
    "before": {"effectiveDateTime": "2024-05-09"},
    "after": {"effectiveDateTime": "2024-05-11"},
    "around": {"effectivePeriod": {"start": "2024-05-09", "end": "2024-05-11"}},
    "open": {"effectivePeriod": {"start": "2024-05-10"}},
    "year": {"effectiveDateTime": "2024"},
    "none": {},
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-05-10", {"day", "moment"}),
        ("eq2024-05-10", {"day", "moment"}),
        ("ne2024-05-10", {"before", "after", "around", "open", "year"}),
        ("gt2024-05-10", {"after", "around", "open", "year"}),
        ("lt2024-05-10", {"before", "around", "year"}),
        ("ge2024-05-10", {"day", "moment", "after", "around", "open", "year"}),
        ("le2024-05-10", {"day", "moment", "before", "around", "year"}),
        ("sa2024-05-10", {"after"}),
        ("eb2024-05-10", {"before"}),
        ("2024", {"day", "moment", "before", "after", "around", "year"}),
        ("2024-05-10T12:00:00Z", {"moment"}),
        ("2024-05-10T14:00:00+02:00", {"moment"}),
        ("2024-05-09,2024-05-11", {"before", "after"}),
    ],
)
def test_prefixes_compare_ranges(store, value, expected):
    for name, members in STORED.items():
        store.update({"resourceType": "Observation", "id": name, **members}, None)
    query = parse("Observation", [("date", value)], base="http://x/fhir", handling="strict")
    found = store.select("SELECT row, id FROM current")
    assert {name for row, name in found if row in run(store, query)} == expected


@pytest.mark.parametrize("value", ["ap2024", "xx2024", "tomorrow", "gt", "2024-05-10 12:00"])
def test_a_bad_date_is_refused(value):
    with pytest.raises(FhirError) as caught:
        dates.condition(value)
    assert caught.value.status == 400
