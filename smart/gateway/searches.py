"""Searches: pages, includes, counts (security-checklist G4, G12, G14, G15, G34, G47).

The total is the gateway's own count of what leaves, and is told where all of it was seen: the
upstream's would tell of resources that were left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from smart.gateway import bundles, fetch, outcomes, targets
from smart.gateway.bundles import Opened, Part
from smart.gateway.cursors import below
from smart.gateway.exchange import Exchange, Found
from smart.gateway.outcomes import UpstreamFault
from smart.gateway.response_gate import Kept, patients_of, sift
from smart.gateway.rewrite import Rewriter
from smart.gateway.shaping import shaped

#: Pages of the upstream that are looked through for one count, and for one page of a search whose
#: matches are thinned out.
COUNTED_PAGES: Final = 25
THINNED_PAGES: Final = 5
_MORE: Final = (
    "There are more matches than this server can return in one answer. Narrow the search."
)


@dataclass(slots=True)
class _Seen:
    """What one or more pages of the upstream brought; `onward` is where the rest is."""

    kept: list[Kept] = field(default_factory=list)
    onward: str | None = None

    @property
    def matches(self) -> int:
        """How many of them are matches, and not included."""
        return sum(not one.is_included for one in self.kept)


async def answer(exchange: Exchange) -> Found:
    """One page of a search, or its count. Raises UpstreamError, UpstreamFault, OverloadedError."""
    permit = exchange.permit
    if permit.is_nothing:
        return _page(exchange, _Seen())
    pages = 1
    if permit.shape.is_count:
        pages = COUNTED_PAGES
    elif permit.limit is not None:
        pages = THINNED_PAGES
    seen = await _looked_through(exchange, pages)
    if isinstance(seen, Found):
        return seen
    return _count(exchange, seen) if permit.shape.is_count else _page(exchange, seen)


async def _looked_through(exchange: Exchange, pages: int) -> _Seen | Found:
    """What the first pages bring; a refusal where the upstream refuses the first of them."""
    seen = _Seen()
    reply = await fetch.ask_permitted(exchange)
    if reply.status != 200:
        return fetch.without(reply, is_read=False)
    limit = exchange.permit.limit
    while True:
        opened = fetch.opened(exchange, reply, "searchset")
        seen.kept += await _judged(exchange, opened)
        seen.onward = opened.onward
        pages -= 1
        if seen.onward is None or pages == 0 or (limit is not None and seen.matches > limit):
            return seen
        onward = below(seen.onward, exchange.server.base_url)
        reply = await fetch.ask(exchange, onward.path, onward.query)
        if reply.status != 200:
            raise UpstreamFault(f"the upstream answered {reply.status} to a further page")


async def _judged(exchange: Exchange, opened: Opened) -> list[Kept]:
    access = exchange.access
    resources = [entry.resource for entry in opened.entries]
    known = await targets.known_to(exchange, resources)
    if access.user is not None:
        access = await exchange.reaching(patients_of(resources, access, known))
    return sift(opened.entries, access, known)


def _count(exchange: Exchange, seen: _Seen) -> Found:
    if seen.onward is not None:
        return Found(outcomes.uncountable(), fault="there are too many matches to count")
    body = bundles.searchset([], _self(exchange), _rewriter(exchange), total=seen.matches)
    return Found(fetch.ok(body), 0, patients=_patients(seen.kept))


def _page(exchange: Exchange, seen: _Seen) -> Found:
    permit = exchange.permit
    kept, is_cut = seen.kept, False
    if permit.limit is not None:
        kept, is_cut = _cut(seen.kept, permit.limit)
    links = _self(exchange)
    notes = [("suppressed", note) for note in permit.notes]
    if seen.onward is not None or is_cut:
        link = None
        if permit.limit is None and seen.onward and exchange.sealer is not None:
            link = exchange.sealer.seal(seen.onward)
        if link:
            links.append(("next", link))
        else:
            notes.append(("incomplete", _MORE))
    is_whole = exchange.onward is None and seen.onward is None and not is_cut
    body = bundles.searchset(
        [_part(one, exchange) for one in kept],
        links,
        _rewriter(exchange),
        total=sum(not one.is_included for one in kept) if is_whole else None,
        notes=notes,
    )
    return Found(fetch.ok(body), len(kept), patients=_patients(kept))


def _cut(kept: Sequence[Kept], limit: int) -> tuple[list[Kept], bool]:
    """The first matches, with all that was included; whether there were more."""
    shown: list[Kept] = []
    left = limit
    for one in kept:
        if one.is_included or left > 0:
            shown.append(one)
            left -= not one.is_included
    return shown, len(shown) < len(kept)


def _part(one: Kept, exchange: Exchange) -> Part:
    raw = shaped(one.entry.raw, one.key[0], exchange.permit.shape)
    return Part(*one.key, raw, "include" if one.is_included else "match")


def _self(exchange: Exchange) -> list[tuple[str, str]]:
    return [("self", exchange.self_url)]


def _rewriter(exchange: Exchange) -> Rewriter:
    return fetch.rewriter_of(exchange.server.base_url, exchange.base)


def _patients(kept: Sequence[Kept]) -> frozenset[str]:
    return frozenset().union(*(one.patients for one in kept))
