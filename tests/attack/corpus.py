"""The attacks as data: `data/*.toml`, a file for each topic, a line for each request."""

import gzip
import json
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).parent / "data"
_MEMBERS: Final = frozenset(
    {
        *("name", "rule", "token", "method", "path", "headers", "body", "resource", "change"),
        *("status", "never", "has", "finds", "reply", "codes", "absent"),
    }
)


@dataclass(frozen=True)
class Case:
    """One request and what must come of it.

    `token` names a bearer, `forged: ...` or `other: ...` a bad one, and is empty without one.
    `finds` are the `Type/id` of the matches of a searchset, all of them. `never` and `has` are
    words that the answer must not, and must, hold. `absent` is the path of a resource that never
    was: answered by the same bytes. `codes` are those of the events left, in order. `reply` is
    what the server behind says instead of the real one.
    """

    topic: str
    name: str
    rules: tuple[str, ...]
    token: str
    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    status: int
    never: tuple[str, ...]
    has: tuple[str, ...]
    finds: tuple[str, ...] | None
    absent: str
    codes: tuple[str, ...] | None
    reply: dict[str, Any] | None

    @property
    def id(self) -> str:
        return f"{self.topic}: {self.name}"


@cache
def cases() -> tuple[Case, ...]:
    """All requests, in the order of files and lines."""
    found = tuple(case for path in sorted(DATA.glob("*.toml")) for case in _read(path))
    names = [case.id for case in found]
    assert len(set(names)) == len(names), sorted({one for one in names if names.count(one) > 1})
    return found


def _read(path: Path) -> Iterator[Case]:
    document = tomllib.loads(path.read_text())
    defaults, bodies = document.get("defaults", {}), document.get("resources", {})
    for row in document["requests"]:
        assert not set(row) - _MEMBERS, (path.name, row["name"], set(row) - _MEMBERS)
        yield _case(path.stem, {**defaults, **row}, bodies)


def _case(topic: str, row: dict[str, Any], bodies: dict[str, Any]) -> Case:
    rules, finds, codes = row["rule"], row.get("finds"), row.get("codes")
    headers = row.get("headers", {})
    pairs = list(headers.items()) if isinstance(headers, dict) else [tuple(one) for one in headers]
    body = _body(row, bodies)
    if body and not any(name.lower() == "content-type" for name, _ in pairs):
        is_form = "_search" in row["path"]
        kind = "application/x-www-form-urlencoded" if is_form else "application/fhir+json"
        pairs.append(("Content-Type", kind))
    return Case(
        topic=topic,
        name=row["name"],
        rules=(rules,) if isinstance(rules, str) else tuple(rules),
        token=row.get("token", "ann"),
        method=row.get("method", "GET"),
        path=row["path"],
        headers=tuple((name.lower().encode(), value.encode("latin-1")) for name, value in pairs),
        body=body,
        status=row["status"],
        never=tuple(row.get("never", ())),
        has=tuple(row.get("has", ())),
        finds=None if finds is None else tuple(sorted(finds)),
        absent=row.get("absent", ""),
        codes=None if codes is None else tuple(codes),
        reply=row.get("reply"),
    )


def _body(row: dict[str, Any], bodies: dict[str, Any]) -> bytes:
    """A body as it is, a made one, or one of the file's resources with members changed."""
    if "body" in row:
        text = str(row["body"])
        return MADE[text]() if text in MADE else text.encode()
    if "resource" not in row:
        return b""
    resource = {**bodies[row["resource"]], **row.get("change", {})}
    return json.dumps({name: one for name, one in resource.items() if one != "none"}).encode()


def _observation(**members: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"},
            "subject": {"reference": "Patient/ann"}, **members}  # fmt: skip


def _nested(levels: int) -> bytes:
    inner = b'{"url":"x"}'
    for _ in range((levels - 3) // 2):
        inner = b'{"url":"x","extension":[' + inner + b"]}"
    start = json.dumps(_observation())[:-1].encode()
    return start + b',"extension":[' + inner + b"]}"


#: Bodies that are made, not written out.
MADE: Final[dict[str, Callable[[], bytes]]] = {
    "<gzip bomb>": lambda: gzip.compress(json.dumps(_observation(note=" " * 3_000_000)).encode()),
    "<gzip cut off>": lambda: gzip.compress(json.dumps(_observation()).encode())[:-9],
    "<gzip twice>": lambda: gzip.compress(json.dumps(_observation()).encode()) * 2,
    "<six MiB>": lambda: json.dumps(_observation(note="x" * (6 << 20))).encode(),
    "<form of 70 KB>": lambda: b"code=" + b"x" * 70_000,
    "<nested 90>": lambda: _nested(90),
    "<nested 200000>": lambda: b"[" * 200_000,
    "<utf-16>": lambda: json.dumps(_observation()).encode("utf-16"),
    "<byte order mark>": lambda: b"\xef\xbb\xbf" + json.dumps(_observation()).encode(),
    "<not utf-8>": lambda: json.dumps(_observation()).encode()[:-1] + b',"note":"\xff\xfe"}',
    "<number of 5000 digits>": lambda: (
        json.dumps(_observation())[:-1].encode() + b',"valueInteger":' + b"9" * 5000 + b"}"
    ),
    "<number 1e400>": lambda: (
        json.dumps(_observation())[:-1].encode() + b',"valueQuantity":{"value":1e400}}'
    ),
}
