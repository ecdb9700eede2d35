"""Names of servers: a silent one holds up neither others' lookups nor anything else (O19, V7)."""

import asyncio
import gc
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from authfi.lib import http_names, outbound, tenancy
from authfi.lib.egress import Kind, Origin, OutboundError
from authfi.lib.http_pool import Pool
from authfi.lib.outbound import Limits

pytestmark = pytest.mark.spec("O19", "V7")


class Resolver:
    """Names that begin with `silent` have no answer before `release`; others lead to 10.0.0.7,
    which is refused, so that nothing is connected to."""

    def __init__(self):
        self.release = threading.Event()
        self.asked = []

    def getaddrinfo(self, host, port, *_, **__):
        self.asked.append(host)
        if host.startswith("silent"):
            self.release.wait(20)
        if host.endswith("nobody"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", port))]


@pytest.fixture
async def resolver(monkeypatch):
    made = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.release.set()
    await outbound.close()


async def kind(host, tenant=None, seconds=5.0):
    """What comes of asking that name for a tenant."""
    with tenancy.bind(tenant), pytest.raises(OutboundError) as error:
        await outbound.ask("GET", f"https://{host}/", limits=Limits(total_seconds=seconds))
    return error.value.kind


async def test_silent_names_of_one_tenant_leave_lookups_to_the_others(resolver, mercy, lakeside):
    silent = [asyncio.create_task(kind(f"silent{n}.example", mercy, 0.3)) for n in range(40)]
    while len(resolver.asked) < http_names.MOST_OF_ONE:
        await asyncio.sleep(0.001)
    assert await kind("known.example", lakeside) is Kind.REFUSED
    assert await asyncio.gather(*silent) == [Kind.TIMEOUT] * 40
    assert len(resolver.asked) == http_names.MOST_OF_ONE + 1
    resolver.release.set()
    assert await kind("known.example", mercy) is Kind.REFUSED


async def test_lookups_do_without_the_threads_of_the_loop(resolver):
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    holding = loop.run_in_executor(None, resolver.release.wait, 20)
    assert await kind("known.example") is Kind.REFUSED
    resolver.release.set()
    await holding


async def test_who_stops_waiting_leaves_the_lookup_to_those_who_share_it(resolver):
    first = asyncio.create_task(kind("silent.example"))
    while not resolver.asked:
        await asyncio.sleep(0.001)
    others = [asyncio.create_task(kind("silent.example")) for _ in range(5)]
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    resolver.release.set()
    assert await asyncio.gather(*others) == [Kind.REFUSED] * 5
    assert resolver.asked == ["silent.example"]


async def test_each_connection_is_judged_by_a_lookup_of_its_time(resolver):
    assert [await kind("known.example") for _ in range(2)] == [Kind.REFUSED] * 2
    assert resolver.asked == ["known.example"] * 2


async def test_a_lookup_that_fails_unwaited_leaves_nothing_behind(resolver):
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    pool = Pool()
    origin = Origin("https", "silent.nobody", 443, "silent.nobody")
    soon = asyncio.get_running_loop().time() + 0.05
    with pytest.raises(TimeoutError):
        await pool.take(origin, is_new=False, ends_at=soon)
    resolver.release.set()
    while pool._names._running:
        await asyncio.sleep(0.001)
    gc.collect()
    assert (pool._all_busy, told) == (0, [])
    with pytest.raises(socket.gaierror):
        await pool.take(origin, is_new=False, ends_at=soon + 5)
