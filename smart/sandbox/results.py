"""Searchset bundles: included resources, paging links, reduced resources (FHIR R4 3.1.1.5)."""

import json
import threading
import uuid
from array import array
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from smart.sandbox import dates, search
from smart.sandbox.outcome import FhirError, Resource, invalid
from smart.sandbox.search import Include, Query
from smart.sandbox.store import Store

_KEPT_SEARCHES = 500
_MAX_INCLUDED = 2000
_ALWAYS = ("resourceType", "id", "meta")
_SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
_BY_ROWS = (
    "SELECT current.row, current.type, current.id, version.body FROM current"
    " JOIN version ON version.row = current.version"
    " WHERE current.row IN (SELECT value FROM json_each(?))"
)
_FORWARD = (
    "SELECT target.row, link.key, link.type FROM reference AS link JOIN current AS target"
    " ON target.type = link.type AND target.id = link.id"
    " WHERE link.resource IN (SELECT value FROM json_each(?)) ORDER BY target.row"
)
_BACKWARD = (
    "SELECT link.resource, link.key, link.type FROM current AS target JOIN reference AS link"
    " ON link.type = target.type AND link.id = target.id"
    " WHERE target.row IN (SELECT value FROM json_each(?)) ORDER BY link.resource"
)


@dataclass(frozen=True)
class Snapshot:
    """A search as it was first answered: later pages show the same list."""

    query: Query
    rows: "array[int]"
    updated: int


class Searches:
    """Searches and the snapshots that their paging links lead to, oldest forgotten first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Snapshot] = OrderedDict()

    def start(self, query: Query, base: str, now: int) -> bytes:
        """Run a search and give its first page."""
        snapshot = Snapshot(query, array("q", search.run(self._store, query)), now)
        name = str(uuid.uuid4())
        if 0 < query.count < len(snapshot.rows):
            with self._lock:
                self._kept[name] = snapshot
                while len(self._kept) > _KEPT_SEARCHES:
                    self._kept.popitem(last=False)
        used = f"?{urlencode(query.used)}" if query.used else ""
        return self._page(snapshot, name, 0, query.count, base, f"{base}/{query.type}{used}")

    def page(self, pairs: Iterable[tuple[str, str]], base: str) -> bytes:
        """A further page, by the parameters of a paging link.

        Raises FhirError 410 when the search is forgotten, 400 for bad numbers.
        """
        values = dict(pairs)
        name = values.get("_getpages", "")
        with self._lock:
            snapshot = self._kept.get(name)
            if snapshot is None:
                raise FhirError(410, "not-found", f"There is no search '{name}' any more.")
            self._kept.move_to_end(name)
        offset = _whole_number(values, "_getpagesoffset", 0)
        count = min(_whole_number(values, "_count", snapshot.query.count), search.MAX_COUNT)
        own = _page_link(base, name, offset, count)
        return self._page(snapshot, name, offset, count, base, own)

    def _page(
        self, snapshot: Snapshot, name: str, offset: int, count: int, base: str, own: str
    ) -> bytes:
        query = snapshot.query
        bundle: dict[str, Any] = {
            "resourceType": "Bundle",
            "id": str(uuid.uuid4()),
            "meta": {"lastUpdated": dates.instant(snapshot.updated)},
            "type": "searchset",
        }
        if query.total != "none" or query.summary == "count":
            bundle["total"] = len(snapshot.rows)
        bundle["link"] = [{"relation": "self", "url": own}]
        if query.summary != "count" and count > 0:
            links = {"next": offset + count, "previous": max(offset - count, 0)}
            if offset + count >= len(snapshot.rows):
                del links["next"]
            if offset == 0:
                del links["previous"]
            bundle["link"] += [
                {"relation": relation, "url": _page_link(base, name, start, count)}
                for relation, start in links.items()
            ]
            bundle["entry"] = self._entries(
                query, list(snapshot.rows[offset : offset + count]), base
            )
            if not bundle["entry"]:
                del bundle["entry"]
        return orjson.dumps(bundle)

    def _entries(self, query: Query, rows: list[int], base: str) -> list[dict[str, Any]]:
        included = _included(self._store, query, rows)
        found = {
            row: rest for row, *rest in self._store.select(_BY_ROWS, [json.dumps(rows + included)])
        }
        return [
            {
                "fullUrl": f"{base}/{found[row][0]}/{found[row][1]}",
                "resource": orjson.Fragment(_reduced(found[row][2], query)),
                "search": {"mode": mode},
            }
            for mode, part in (("match", rows), ("include", included))
            for row in part
            if row in found  # deleted since the search began
        ]


def _whole_number(values: dict[str, str], name: str, default: int) -> int:
    text = values.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise invalid(f"'{name}' is a whole number, zero or more.")
    return int(text)


def _page_link(base: str, name: str, offset: int, count: int) -> str:
    parameters = {
        "_getpages": name,
        "_getpagesoffset": offset,
        "_count": count,
        "_bundletype": "searchset",
    }
    return f"{base}?{urlencode(parameters)}"


def _included(store: Store, query: Query, matches: list[int]) -> list[int]:
    """The rows that the matches bring along; `:iterate` goes on from what was included.

    Raises FhirError 400 when there are too many to answer in one page.
    """
    seen = dict.fromkeys(matches)
    fresh, first = matches, True
    while fresh:
        reached = _follow(store, _FORWARD, _applying(query.includes, first), fresh)
        reached += _follow(store, _BACKWARD, _applying(query.revincludes, first), fresh)
        fresh, first = [row for row in dict.fromkeys(reached) if row not in seen], False
        seen.update(dict.fromkeys(fresh))
        if len(seen) - len(matches) > _MAX_INCLUDED:
            raise FhirError(
                400, "too-costly", "Too many included resources: ask for fewer matches."
            )
    return list(seen)[len(matches) :]


def _applying(includes: list[Include], first: bool) -> list[Include]:
    return [include for include in includes if first or include.iterate]


def _follow(store: Store, sql: str, includes: list[Include], rows: list[int]) -> list[int]:
    if not includes:
        return []
    return [
        row
        for row, key, target_type in store.select(sql, [json.dumps(rows)])
        if any(_matches(include, key, target_type) for include in includes)
    ]


def _matches(include: Include, key: str, target_type: str) -> bool:
    source, _, parameter = key.partition(".")
    return (
        include.source in {"*", source}
        and include.parameter in {"*", parameter}
        and include.target in {"", target_type}
    )


def _reduced(body: bytes, query: Query) -> bytes:
    """The resource with the elements that `_elements` or `_summary` leave in it."""
    if not query.elements and query.summary != "data":
        return body
    resource: Resource = orjson.loads(body)
    if query.elements:
        kept = {name: resource[name] for name in (*_ALWAYS, *query.elements) if name in resource}
    else:
        kept = {name: value for name, value in resource.items() if name != "text"}
    tags = kept["meta"].get("tag")
    kept["meta"] = kept["meta"] | {"tag": [*(tags if isinstance(tags, list) else []), _SUBSETTED]}
    return orjson.dumps(kept)
