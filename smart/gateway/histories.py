"""The versions of one resource, each judged by itself (G28, G29, GRAN-04)."""

from collections.abc import Sequence

from smart.gateway import bundles, fetch, outcomes
from smart.gateway.bundles import Entry, Opened, Part
from smart.gateway.exchange import Exchange, Found
from smart.gateway.response_gate import judge, patients_of
from smart.policy.facts import Access


async def answer(exchange: Exchange) -> Found:
    """The versions that may leave, newest first; a 404 where that is none of them.

    Raises UpstreamError, UpstreamFault, OverloadedError.
    """
    reply = await fetch.ask_permitted(exchange)
    if reply.status != 200:
        return fetch.without(reply, is_read=True)
    opened = fetch.opened(exchange, reply, "history")
    access = await _reaching(exchange, opened)
    shown = _shown(opened.entries, access)
    if not shown and exchange.onward is None:
        return Found(outcomes.not_found())
    links = [("self", exchange.self_url)]
    onward = exchange.sealer.seal(opened.onward) if opened.onward and exchange.sealer else None
    if onward:
        links.append(("next", onward))
    is_whole = opened.onward is None and exchange.onward is None
    body = bundles.history(
        [_part(entry, access) for entry in shown],
        links,
        fetch.rewriter_of(exchange.server.base_url, exchange.base),
        total=len(shown) if is_whole else None,
    )
    patients = frozenset[str]()
    if access.user is not None:
        patients = patients_of([entry.resource for entry in shown], access)
    return Found(fetch.ok(body), len(shown), patients=patients)


async def was_last_shown(exchange: Exchange) -> bool:
    """Whether the resource was deleted, and its last version is one that would be shown (G29)."""
    request = exchange.permit.request
    path = f"{request.resource_type}/{request.resource_id}/_history"
    reply = await fetch.ask(exchange, path, "_count=2")
    if reply.status != 200:
        return False
    opened = bundles.open_bundle(reply.body, "history")
    access = await _reaching(exchange, opened)
    if len(opened.entries) < 2:
        return False
    newest, last = opened.entries[:2]
    return newest.is_deletion and judge(last.resource, access)


async def _reaching(exchange: Exchange, opened: Opened) -> Access:
    if exchange.access.user is None:
        return exchange.access
    patients = patients_of([entry.resource for entry in opened.entries], exchange.access)
    return await exchange.reaching(patients)


def _shown(entries: Sequence[Entry], access: Access) -> list[Entry]:
    """The versions that may leave. A deletion tells of the version before it, so it goes with it:
    servers send the newest first."""
    shown: list[Entry] = []
    is_older_shown = False
    for entry in reversed(entries):
        if not entry.is_deletion:
            is_older_shown = judge(entry.resource, access)
        if is_older_shown:
            shown.append(entry)
    shown.reverse()
    return shown


def _part(entry: Entry, access: Access) -> Part:
    resource_type, resource_id = access.only or ("", "")
    raw = b"" if entry.is_deletion else entry.raw
    return Part(resource_type, resource_id, raw, change=entry.change)
