"""Load: every scenario in turn, again and again, so that all see the same machine."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

from tests.bench.cpu import Clock

CONNECTIONS = 8

#: Sends one request; raises where it is not answered as it should be.
Ask = Callable[[aiohttp.ClientSession], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """One kind of request to one server; `weight` scales how many a round has."""

    name: str
    server: str
    ask: Ask
    weight: float = 1.0


@dataclass
class Taken:
    """What the rounds took: CPU microseconds a request in each, seconds of each request."""

    web: list[float] = field(default_factory=list)
    database: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """The median of the rounds: what others do on the machine is in the outliers."""
        total = [web + database for web, database in zip(self.web, self.database, strict=True)]
        waits = sorted(self.waits)
        return {
            "cpu_us": round(statistics.median(total)),
            "web_us": round(statistics.median(self.web)),
            "database_us": round(statistics.median(self.database)),
            "lowest_us": round(min(total)),
            "highest_us": round(max(total)),
            "p50_ms": round(waits[len(waits) // 2] * 1000, 2),
            "p99_ms": round(waits[int(len(waits) * 0.99)] * 1000, 2),
            "requests": len(waits),
        }


async def run(
    scenarios: Sequence[Scenario],
    clocks: dict[str, Clock],
    *,
    rounds: int,
    requests: int,
) -> dict[str, Taken]:
    """Every scenario once in each round, after a round that only warms up.

    `clocks` has one for each server and one named `database`.
    """
    taken = {scenario.name: Taken() for scenario in scenarios}
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        for number in range(rounds + 1):
            for scenario in scenarios:
                count = max(CONNECTIONS, round(requests * scenario.weight))
                into = taken[scenario.name] if number else Taken()
                await _once(scenario, session, clocks, count // CONNECTIONS, into)
    return taken


async def _once(
    scenario: Scenario,
    session: aiohttp.ClientSession,
    clocks: dict[str, Clock],
    share: int,
    into: Taken,
) -> None:
    async def caller() -> None:
        for _ in range(share):
            began = time.perf_counter()
            await scenario.ask(session)
            into.waits.append(time.perf_counter() - began)

    # What the servers still do for the scenario before is not this one's.
    await asyncio.sleep(0.05)
    web, database = clocks[scenario.server], clocks["database"]
    before = web(), database()
    await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    after = web(), database()
    requests = share * CONNECTIONS
    into.web.append((after[0] - before[0]) / requests * 1e6)
    into.database.append((after[1] - before[1]) / requests * 1e6)
