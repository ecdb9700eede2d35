"""FHIR dates of any precision as ranges of milliseconds (FHIR R4 3.1.1.5.2, 2.24.0.1)."""

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from functools import lru_cache
from typing import NamedTuple

from smart.sandbox.outcome import invalid

EARLIEST = -(2**62)
LATEST = 2**62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PATTERN = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
# Each prefix compares the stored range [low, high) with the asked range [?1, ?2).
CONDITIONS = {
    "eq": "(low >= ? AND high <= ?)",
    "ne": "NOT (low >= ? AND high <= ?)",
    "gt": "(high > ?)",
    "lt": "(low < ?)",
    "ge": "(high > ? OR (low >= ? AND high <= ?))",
    "le": "(low < ? OR (low >= ? AND high <= ?))",
    "sa": "(low >= ?)",
    "eb": "(high <= ?)",
}


class Span(NamedTuple):
    """From `low` up to but not including `high`, in milliseconds since 1970 UTC."""

    low: int
    high: int


@lru_cache(maxsize=4096)
def parse(text: str) -> Span:
    """The range that a FHIR date, dateTime or instant covers; without a zone it is UTC.

    Raises ValueError for anything else.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"not a date: {text}")
    parts = {name: int(value) for name, value in match.groupdict().items() if _is_number(value)}
    start = datetime(
        parts["year"],
        parts.get("month", 1),
        parts.get("day", 1),
        parts.get("hour", 0),
        parts.get("minute", 0),
        min(parts.get("second", 0), 59),  # a leap second counts as the one before it
        tzinfo=_zone(match["zone"]),
    )
    low = milliseconds(start)
    if fraction := match["fraction"]:
        low += int(fraction[:3].ljust(3, "0"))
        return Span(low, low + 1)
    return Span(low, _end(start, parts))


def _is_number(value: str | None) -> bool:
    return value is not None and value.isdigit()


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[4:6]))
    return timezone(-offset if text[0] == "-" else offset)


def _end(start: datetime, parts: dict[str, int]) -> int:
    if "second" in parts:
        return milliseconds(start) + 1_000
    if "hour" in parts:
        return milliseconds(start) + 60_000
    if "day" in parts:
        return milliseconds(start) + 86_400_000
    if "month" in parts and parts["month"] < 12:
        return milliseconds(start.replace(month=start.month + 1))
    if start.year == 9999:
        return LATEST
    return milliseconds(start.replace(year=start.year + 1, month=1))


def milliseconds(moment: datetime) -> int:
    """A moment with a zone as milliseconds since 1970 UTC."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def instant(value: int) -> str:
    """Milliseconds since 1970 UTC as a FHIR instant."""
    moment = _EPOCH + timedelta(milliseconds=value)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def http_date(value: int) -> str:
    """Milliseconds since 1970 UTC as an HTTP date (RFC 9110 5.6.7)."""
    moment = _EPOCH + timedelta(milliseconds=value)
    return format_datetime(moment, usegmt=True)


def condition(text: str) -> tuple[str, list[int]]:
    """A search value such as `ge2024-05` as SQL over the columns `low` and `high`.

    Raises FhirError 400 for a bad date or an unknown prefix.
    """
    prefix, date = (text[:2], text[2:]) if text[:2].isalpha() else ("eq", text)
    if prefix not in CONDITIONS:
        raise invalid(f"Date prefix '{prefix}' is not supported: use {', '.join(CONDITIONS)}.")
    try:
        low, high = parse(date)
    except ValueError:
        raise invalid(f"'{text}' is not a FHIR date.") from None
    arguments = {
        "eq": [low, high],
        "ne": [low, high],
        "gt": [high],
        "lt": [low],
        "ge": [high, low, high],
        "le": [low, low, high],
        "sa": [high],
        "eb": [low],
    }
    return CONDITIONS[prefix], arguments[prefix]
