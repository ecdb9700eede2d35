"""The answer to a permitted request, by its interaction (security-checklist 4, rule b)."""

from smart.gateway import histories, reads, searches
from smart.gateway.exchange import Exchange, Found
from smart.policy.request import FhirInteraction


async def answer(exchange: Exchange) -> Found:
    """What the upstream has for the request, judged.

    Raises UpstreamError, UpstreamFault, OverloadedError.
    """
    interaction = exchange.permit.request.interaction
    if interaction is FhirInteraction.SEARCH_TYPE:
        return await searches.answer(exchange)
    if interaction is FhirInteraction.HISTORY_INSTANCE:
        return await histories.answer(exchange)
    return await reads.answer(exchange)
