"""Reading one resource, in its newest version or another one (G28, G29, RSVR-03 of an instance)."""

from typing import Any

from smart.gateway import fetch, histories, outcomes, targets
from smart.gateway.exchange import Exchange, Found
from smart.gateway.response_gate import judge, open_resource, patients_of
from smart.policy.facts import Access
from smart.policy.request import FhirInteraction


async def answer(exchange: Exchange) -> Found:
    """The resource, or a 404. Raises UpstreamError, UpstreamFault, OverloadedError.

    A deleted resource is told to be deleted only to whom its last version would have been shown
    (G29). Who may not know is answered after the same steps as for an id that never was.
    """
    reply = await fetch.ask_permitted(exchange)
    if reply.status != 200:
        found = fetch.without(reply, is_read=True)
        is_absent = found.answer.status == 404
        return await _absent(exchange, is_gone=reply.status == 410) if is_absent else found
    resource = open_resource(reply.body)
    access, known = exchange.access, await targets.known_to(exchange, [resource])
    if access.user is not None:
        access = await exchange.reaching(patients_of([resource], access, known))
    if not judge(resource, access, known) or not _is_version(resource, access):
        return await _absent(exchange, is_gone=False)
    rewriter = fetch.rewriter_of(exchange.server.base_url, exchange.base)
    body = rewriter.json(reply.body)
    patients = frozenset[str]()
    if access.user is not None:
        patients = patients_of([resource], access, known)
    return Found(fetch.ok(body, *rewriter.headers(reply.headers)), 1, patients=patients)


async def _absent(exchange: Exchange, *, is_gone: bool) -> Found:
    """404, or 410 for what was the patient's own."""
    request = exchange.permit.request
    if request.interaction is FhirInteraction.READ and exchange.permit.has_history:
        was_own = await histories.was_last_shown(exchange)
        if is_gone and was_own:
            return Found(outcomes.gone())
    return Found(outcomes.not_found())


def _is_version(resource: dict[str, Any], access: Access) -> bool:
    """Whether this is the version asked for, as far as the resource says which it is."""
    meta = resource.get("meta")
    said = meta.get("versionId") if isinstance(meta, dict) else None
    return access.version is None or said is None or said == access.version
