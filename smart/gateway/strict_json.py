"""JSON without duplicate members (security-checklist G22, ASVS 5.0.0 1.5.3).

Two readers may disagree on which of two members of the same name counts, so one of them would see
what the other never judged. Such text is refused.
"""

import json
from typing import Any

import orjson


def loads(raw: bytes) -> Any:
    """The parsed value. Raises ValueError for invalid JSON and for duplicate members.

    Writing the value out again shows cheaply whether a member was lost: each has two quotation
    marks. Only text with escapes that may stand for a quotation mark needs the slow reader.
    """
    value = orjson.loads(raw)
    try:
        written = orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise ValueError("nested too deeply") from None
    has_escape = b"\\" in raw and b"\\u" in raw
    if has_escape or written.count(b'"') != raw.count(b'"'):
        _check_slowly(raw)
    return value


def _check_slowly(raw: bytes) -> None:
    try:
        json.loads(raw, object_pairs_hook=_refuse_duplicates)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("duplicate member")
