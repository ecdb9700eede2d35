"""How many connections to other servers there are, how long they last, how much they bring."""

import asyncio
import time

import pytest

from authfi.lib import http_connection, outbound, tenancy
from authfi.lib.egress import Kind, OutboundError
from authfi.lib.http_connection import HIGH_WATER
from authfi.lib.outbound import Limits
from tests.lib import scripted_server
from tests.lib.scripted_server import HERE, ask, failed, ok, pool, serve, silence


@pytest.fixture(autouse=True)
async def _closed():
    yield
    await outbound.close()


async def answered(server, tenant):
    with tenancy.bind(tenant):
        return (await ask(server)).status


@pytest.mark.spec("V3", "V7")
async def test_one_tenant_takes_half_of_the_connections_whatever_servers_it_names(
    settings, mercy, lakeside
):
    settings.UPSTREAM_CONNECTIONS = 4
    async with serve(silence) as one, serve(silence) as two, serve(ok()) as other:
        with tenancy.bind(mercy):
            held = [asyncio.create_task(ask(server)) for server in (one, two)]
            while not (one.asked and two.asked):
                await asyncio.sleep(0.001)
            assert await failed(other, limits=Limits(0.05, 5)) is Kind.TIMEOUT
        assert await answered(other, lakeside) == 200
        assert await answered(other, None) == 200
        held.pop().cancel()
        assert await answered(other, mercy) == 200  # on the connection that Lakeside opened
        assert other.numbers == [1, 1, 1]
        held.pop().cancel()
        await asyncio.gather(one.ended.wait(), two.ended.wait())
    assert (pool()._all_busy, pool()._busy, len(pool()._waiting)) == (0, {}, 0)


@pytest.mark.spec("V3", "V7")
async def test_one_server_takes_half_of_the_connections_and_others_the_rest(
    settings, mercy, lakeside
):
    settings.UPSTREAM_CONNECTIONS = 4
    async with serve(silence) as silent, serve(ok()) as other:
        held = []
        for tenant in (mercy, lakeside):
            with tenancy.bind(tenant):
                held.append(asyncio.create_task(ask(silent, limits=Limits(0.4, 5))))
        while len(silent.asked) < 2:
            await asyncio.sleep(0.001)
        waiting = [asyncio.create_task(failed(silent, limits=Limits(0.05, 5))) for _ in range(3)]
        assert (await ask(other)).status == 200
        assert await asyncio.gather(*waiting) == [Kind.TIMEOUT] * 3
        assert len(silent.asked) == 2
        silent.says = [ok()]
        after = asyncio.create_task(ask(silent))
        assert (await after).status == 200
        for one in held:
            with pytest.raises(OutboundError):
                await one
    assert (pool()._all_busy, pool()._busy, len(pool()._waiting)) == (0, {}, 0)


@pytest.mark.spec("V7")
async def test_all_who_wait_get_their_turn(settings, mercy, lakeside):
    settings.UPSTREAM_CONNECTIONS = 2
    async with serve(ok()) as server:
        told = []
        for number in range(50):
            with tenancy.bind((mercy, lakeside, None)[number % 3]):
                told.append(asyncio.create_task(ask(server)))
        await asyncio.sleep(0)
        for one in told[::5]:
            one.cancel()
        ended = await asyncio.gather(*told, return_exceptions=True)
    assert sum(isinstance(one, outbound.Response) for one in ended) >= 40
    assert server.connections <= 3
    assert (pool()._all_busy, pool()._busy, len(pool()._waiting)) == (0, {}, 0)


@pytest.mark.spec("V7")
async def test_idle_connections_give_way_to_those_of_other_servers(settings):
    settings.UPSTREAM_CONNECTIONS = 2
    async with serve(ok()) as one, serve(ok()) as two, serve(ok()) as three:
        for server in (one, two, three):
            await ask(server)
        await asyncio.wait_for(one.ended.wait(), 5)
        assert len(pool()._open) == 2


@pytest.mark.spec("V7", "O19")
async def test_the_time_in_all_holds_for_a_server_that_trickles():
    async def trickle(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serve(trickle) as server:
        began = time.monotonic()
        assert await failed(server, limits=Limits(0.2, 0.1)) is Kind.TIMEOUT
        assert 0.15 < time.monotonic() - began < 2


@pytest.mark.spec("V7", "O19")
async def test_a_pause_within_the_body_is_a_timeout_and_one_before_is_no_excuse():
    async def pause(writer):
        await asyncio.sleep(0.06)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")
        await writer.drain()

    async with serve(pause, ok()) as server:
        stream = await outbound.send("GET", server.url, rules=HERE, limits=Limits(5, 0.1))
        began = time.monotonic()
        with pytest.raises(OutboundError) as error:
            await stream.read()
        assert error.value.kind is Kind.TIMEOUT
        assert time.monotonic() - began < 2
        stream.close()
        assert (await ask(server)).body == b"mine"
    assert server.numbers == [1, 2]


@pytest.mark.spec("V3", "V7")
async def test_a_slow_reader_holds_the_server_back_and_is_not_called_a_slow_server():
    size = 40 * 1024 * 1024

    async def much(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // (1024 * 1024)):
            writer.write(b"a" * 1024 * 1024)
            await writer.drain()

    async with serve(much) as server:
        limits = Limits(30, 0.1, size)
        stream = await outbound.send("GET", server.url, rules=HERE, limits=limits)
        await asyncio.sleep(0.3)
        assert stream._answer.held_bytes <= 2 * HIGH_WATER
        total = 0
        async for chunk in stream.chunks():
            total += len(chunk)
        assert total == size
        stream.close()


@pytest.mark.spec("O19")
async def test_a_kept_connection_ends_after_a_while(monkeypatch):
    monkeypatch.setattr(http_connection, "KEEP_ALIVE_SECONDS", 0.05)
    async with serve(ok()) as server:
        await ask(server, limits=Limits(0.05, 0.05))
        await asyncio.wait_for(server.ended.wait(), 5)
    assert pool()._open == set()


@pytest.mark.spec("O19")
async def test_an_old_connection_is_not_asked_again(monkeypatch):
    async with serve(ok()) as server:
        await ask(server)
        monkeypatch.setattr(http_connection, "MAX_AGE_SECONDS", 0)
        await ask(server)
    assert server.numbers == [1, 2]


@pytest.mark.spec("O19")
async def test_a_long_body_is_sent_whole_and_answered_before_its_end_is_not_kept():
    early = scripted_server.Server("", [])

    async def answer(reader, writer):
        early.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok())
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    early.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    for _ in range(2):
        assert (await ask(early, "PUT", body=b"a" * 30_000_000)).status == 200
    assert early.connections == 2
    server.close()
    async with serve(ok()) as other:
        await ask(other, "PUT", body=b"a" * 3_000_000)
        assert len(other.asked[0][1]) > 3_000_000
