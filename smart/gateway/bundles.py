"""Bundles of the server behind: taken apart, and put together again (G15, G34, G35, G39).

A bundle is decoded into the raw text of its resources, which are judged one by one, and written
anew from those that passed: of everything else in it nothing is kept.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import orjson

from smart.gateway import strict_json
from smart.gateway.outcomes import UpstreamFault, operation_outcome
from smart.gateway.rewrite import Rewriter

_etag = re.compile(r'(?:W/)?"[A-Za-z0-9.-]{1,64}"').fullmatch
_instant = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,18}(?:Z|[+-][0-9]{2}:[0-9]{2})"
).fullmatch
_status = re.compile(r"[1-5][0-9]{2}").match
_METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class _Search(msgspec.Struct):
    mode: str = "match"


class _Link(msgspec.Struct):
    relation: str
    url: str


class _Change(msgspec.Struct):
    method: str = ""


class _Outcome(msgspec.Struct):
    status: str = ""
    etag: str = ""
    lastModified: str = ""  # noqa: N815 - FHIR's own spelling


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw(b"null")
    search: _Search = msgspec.field(default_factory=_Search)
    request: _Change = msgspec.field(default_factory=_Change)
    response: _Outcome = msgspec.field(default_factory=_Outcome)


class _Bundle(msgspec.Struct):
    resourceType: str  # noqa: N815 - FHIR's own spelling
    type: str
    link: list[_Link] = []
    entry: list[_Entry] = []


_decode: Final = msgspec.json.Decoder(_Bundle).decode


@dataclass(frozen=True, slots=True)
class Change:
    """What a version of a history was made by: HTTP method, status, version and time, as far as
    the server behind says so in proper form."""

    method: str = ""
    status: str = ""
    etag: str = ""
    last_modified: str = ""


_NO_CHANGE: Final = Change()


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource: parsed (None if it is no clean JSON), and as the text it came in."""

    resource: Any
    raw: bytes
    is_included: bool = False
    change: Change = _NO_CHANGE

    @property
    def is_deletion(self) -> bool:
        """Whether this entry of a history says that the resource was deleted."""
        return self.change.method == "DELETE"


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle taken apart; `onward` is the upstream's link to its next page, `own` to itself."""

    entries: tuple[Entry, ...]
    onward: str | None
    own: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """An entry that leaves: type and id, text and mode of its resource, how a version came."""

    resource_type: str
    resource_id: str
    raw: bytes
    mode: Literal["match", "include"] = "match"
    change: Change | None = None


def open_bundle(body: bytes, kind: Literal["searchset", "history"]) -> Opened:
    """The bundle, taken apart. Raises UpstreamFault for what is no bundle of that kind."""
    try:
        bundle = _decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise UpstreamFault("the answer is not a Bundle") from None
    if bundle.resourceType != "Bundle" or bundle.type != kind:
        raise UpstreamFault(f"the answer is not a {kind}")
    entries = tuple(
        _opened(entry, is_version=kind == "history")
        for entry in bundle.entry
        if entry.search.mode != "outcome"
    )
    links = {link.relation: link.url for link in reversed(bundle.link)}
    return Opened(entries, links.get("next"), links.get("self", ""))


def searchset(
    parts: Sequence[Part],
    links: Sequence[tuple[str, str]],
    rewriter: Rewriter,
    *,
    total: int | None,
    notes: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A searchset of these entries. `links` are relation and URL, `notes` issue code and text of
    warnings that stand beside the matches (R4 search 3.1.1.6)."""
    entries = [_found(part, rewriter) for part in parts]
    entries += [_warning(code, text) for code, text in notes]
    return _bundle("searchset", entries, links, rewriter, total)


def history(
    parts: Sequence[Part],
    links: Sequence[tuple[str, str]],
    rewriter: Rewriter,
    *,
    total: int | None,
) -> bytes:
    """A history of these versions, newest first; a part without text is a deletion."""
    entries = [_version(part, rewriter) for part in parts]
    return _bundle("history", entries, links, rewriter, total)


def _opened(entry: _Entry, *, is_version: bool) -> Entry:
    raw = bytes(entry.resource)
    try:
        resource = strict_json.loads(raw)
    except ValueError:
        resource = None
    change = _change(entry) if is_version else _NO_CHANGE
    return Entry(resource, raw, entry.search.mode == "include", change)


def _change(entry: _Entry) -> Change:
    said = entry.response
    status = _status(said.status)
    return Change(
        method=entry.request.method if entry.request.method in _METHODS else "",
        status=status[0] if status else "",
        etag=said.etag if _etag(said.etag) else "",
        last_modified=said.lastModified if _instant(said.lastModified) else "",
    )


def _bundle(
    kind: str,
    entries: list[bytes],
    links: Sequence[tuple[str, str]],
    rewriter: Rewriter,
    total: int | None,
) -> bytes:
    head: dict[str, object] = {"resourceType": "Bundle", "type": kind}
    if total is not None:
        head["total"] = total
    head["link"] = [{"relation": relation, "url": url} for relation, url in links]
    text = rewriter.json(orjson.dumps(head))
    if entries:
        text = text[:-1] + b',"entry":[' + b",".join(entries) + b"]}"
    return text


def _full_url(part: Part, rewriter: Rewriter) -> bytes:
    return orjson.dumps(f"{rewriter.public.decode()}/{part.resource_type}/{part.resource_id}")


def _found(part: Part, rewriter: Rewriter) -> bytes:
    mode = orjson.dumps({"mode": part.mode})
    resource = rewriter.json(part.raw)
    full_url = _full_url(part, rewriter)
    return b'{"fullUrl":' + full_url + b',"resource":' + resource + b',"search":' + mode + b"}"


def _version(part: Part, rewriter: Rewriter) -> bytes:
    change = part.change or _NO_CHANGE
    is_deletion = not part.raw
    address = f"{part.resource_type}/{part.resource_id}"
    method = "DELETE" if is_deletion else change.method or "PUT"
    url = part.resource_type if method == "POST" else address
    response = {
        "status": change.status or ("204" if is_deletion else "200"),
        "etag": change.etag,
        "lastModified": change.last_modified,
    }
    tail = {
        "request": {"method": method, "url": url},
        "response": {name: value for name, value in response.items() if value},
    }
    resource = b"" if is_deletion else b',"resource":' + rewriter.json(part.raw)
    full_url = _full_url(part, rewriter)
    return b'{"fullUrl":' + full_url + resource + b"," + orjson.dumps(tail)[1:]


def _warning(code: str, text: str) -> bytes:
    outcome = operation_outcome(code, text, "warning")
    return orjson.dumps({"resource": outcome, "search": {"mode": "outcome"}})
