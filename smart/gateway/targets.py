"""What a Provenance or a Binary belongs by: the resources it points to (security-checklist 4, G33).

They belong to whoever all their targets belong to. Targets that are not in the answer itself are
looked up, a request for each of their types.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from smart.gateway import bundles, fetch
from smart.gateway.exchange import Exchange
from smart.gateway.response_gate import known_of
from smart.policy.compartment import Known, needed_patients, targets_of
from smart.policy.references import Key

#: Targets that are looked up for one answer; what points to others does not leave.
MAX_TARGETS: Final = 100


async def known_to(exchange: Exchange, resources: Sequence[object]) -> Known:
    """The patients of an answer's resources and of what they point to, where some entry belongs
    by that. Raises UpstreamError, UpstreamFault, OverloadedError."""
    bases = exchange.access.bases
    wanted = {key for one in resources for key in targets_of(one, bases)}
    if not wanted:
        return {}
    known = dict(known_of(resources, exchange.access))
    missing = sorted(key for key in wanted if key not in known and key[0] != "Patient")
    by_type: defaultdict[str, list[str]] = defaultdict(list)
    for resource_type, number in missing[:MAX_TARGETS]:
        by_type[resource_type].append(number)
    asked = [_looked_up(exchange, kind, numbers) for kind, numbers in by_type.items()]
    for found in await asyncio.gather(*asked):
        known |= found
    return known


async def _looked_up(
    exchange: Exchange, resource_type: str, numbers: list[str]
) -> dict[Key, frozenset[str]]:
    ids = quote(",".join(numbers), safe=",")
    reply = await fetch.ask(exchange, resource_type, f"_id={ids}&_count={len(numbers)}")
    if reply.status != 200:
        return {}
    found = {}
    for entry in bundles.open_bundle(reply.body, "searchset").entries:
        one = entry.resource
        if isinstance(one, dict) and (one.get("resourceType"), one.get("id")) in {
            (resource_type, number) for number in numbers
        }:
            needed = needed_patients(one, exchange.access.bases)
            if needed:
                found[(resource_type, str(one["id"]))] = needed
    return found
