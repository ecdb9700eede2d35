"""Connections to other servers: no answer is ever taken for that of another request (O19, G36)."""

import asyncio
import ipaddress
import random
import socket
import time
from contextlib import suppress

import pytest

from authfi.lib import http_connection, outbound
from authfi.lib.egress import Kind, Origin, OutboundError, Rules
from authfi.lib.http_answer import Answer
from authfi.lib.http_connection import HIGH_WATER
from authfi.lib.http_pool import Pool
from authfi.lib.outbound import Limits
from tests.lib import scripted_server
from tests.lib.scripted_server import closing, ok, piecewise, serve, silence

HERE = Rules(loopback=True, any_port=True)
OTHERS = ok(b"another patient's")


@pytest.fixture(autouse=True)
async def _closed():
    yield
    await outbound.close()


async def ask(server, method="GET", limits=outbound.SHORT, path="", **more):
    return await outbound.ask(method, server.url + path, rules=HERE, limits=limits, **more)


async def failed(server, method="GET", limits=outbound.SHORT, **more):
    with pytest.raises(OutboundError) as error:
        await ask(server, method, limits, **more)
    return error.value.kind


def pool():
    return outbound._pools[asyncio.get_running_loop()]


# One connection for many requests ----------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
async def test_a_connection_is_kept(method):
    async with serve(ok(b"a"), ok(b"b")) as server:
        bodies = [(await ask(server, method, body=b"{}")).body for _ in range(2)]
    assert (bodies, server.numbers) == ([b"a", b"b"], [1, 1])
    assert pool()._all_busy == 0


async def test_the_request_is_one_piece_with_its_length():
    async with serve(ok()) as server:
        await ask(server, path="a?b=c", headers={"accept": "x"})
        await ask(server, "PUT", body=b"body")
        await ask(server, "DELETE")
    host = server.url.split("/")[2].encode()
    common = b"Host: %s\r\nUser-Agent: AuthFI\r\nAccept-Encoding: identity\r\n" % host
    assert [request for _, request in server.asked] == [
        b"GET /a?b=c HTTP/1.1\r\n%saccept: x\r\n\r\n" % common,
        b"PUT / HTTP/1.1\r\n%sContent-Length: 4\r\n\r\nbody" % common,
        b"DELETE / HTTP/1.1\r\n%sContent-Length: 0\r\n\r\n" % common,
    ]


@pytest.mark.parametrize("value", ["a\r\nX: b", "a\nb", "a\rb", "a\0b", "\u20ac"])
async def test_no_header_is_smuggled_into_a_request(value):
    async with serve(ok()) as server:
        assert await failed(server, headers={"prefer": value}) is Kind.REFUSED
    assert server.connections == 0


# No answer for another request -------------------------------------------------------------------


@pytest.mark.spec("O19", "G36")
@pytest.mark.parametrize(
    "first",
    [
        ok() + OTHERS,
        ok() + b"HTTP/1.1 200 OK\r\nContent-Le",
        ok() + b"rubbish",
        closing(ok()),
        ok(b"mine", "Connection: close"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmine\r\n0\r\n\r\n" + OTHERS,
        closing(b"HTTP/1.1 200 OK\r\n\r\nmine"),
    ],
)
async def test_what_follows_an_answer_is_nobodys(first):
    async with serve(first, ok(b"second")) as server:
        assert (await ask(server)).body == b"mine"
        assert (await ask(server)).body == b"second"
    assert server.numbers == [1, 2]


@pytest.mark.spec("O19", "G36")
@pytest.mark.parametrize("status", ["204 None", "304 Same"])
async def test_a_body_where_there_is_none_is_nobodys(status):
    first = f"HTTP/1.1 {status}\r\nContent-Length: {len(OTHERS)}\r\n\r\n".encode() + OTHERS
    async with serve(first, ok(b"second")) as server:
        assert (await ask(server)).body == b""
        assert (await ask(server)).body == b"second"
    assert server.numbers == [1, 2]


@pytest.mark.spec("O19", "G36")
async def test_the_body_of_an_answer_to_head_is_nobodys():
    async with serve(OTHERS, ok(b"second")) as server:
        assert (await ask(server, "HEAD")).body == b""
        assert (await ask(server)).body == b"second"
    assert server.numbers == [1, 2]


@pytest.mark.spec("O19", "G36")
@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nmine" + OTHERS,
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 9\r\n\r\nmine" + OTHERS,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmine!!0\r\n\r\n" + OTHERS,
        closing(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nmine"),
        closing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmine\r\n"),
        closing(b"HTTP/1.1 200 OK\r\nContent-Le"),
    ],
)
@pytest.mark.parametrize("is_slow", [False, True])
async def test_after_an_improper_answer_nothing_more_is_read(first, is_slow):
    first = piecewise(first) if is_slow and isinstance(first, bytes) else first
    async with serve(first, ok(b"second")) as server:
        assert await failed(server) is Kind.BAD_ANSWER
        assert (await ask(server)).body == b"second"
    assert server.numbers == [1, 2]
    assert pool()._all_busy == 0


@pytest.mark.spec("O19", "G36")
async def test_an_answer_to_nothing_ends_the_connection():
    async def later(writer):
        writer.write(ok())
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(OTHERS)
        await writer.drain()

    async with serve(later, ok(b"second")) as server:
        assert (await ask(server)).body == b"mine"
        await asyncio.wait_for(server.ended.wait(), 5)
        assert pool()._open == set()
        assert (await ask(server)).body == b"second"
    assert server.numbers == [1, 2]


@pytest.mark.spec("O19", "G36")
def test_an_answer_to_nothing_that_waits_unread_is_not_the_next_ones():
    """It has arrived, but the loop has not seen it, when the next request is about to be sent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"

        async def talk():
            first = asyncio.create_task(outbound.ask("GET", url, rules=HERE))
            connection = await asyncio.to_thread(lambda: listening.accept()[0])
            await asyncio.to_thread(connection.recv, 1000)
            connection.sendall(ok())
            assert (await first).body == b"mine"
            connection.sendall(OTHERS)
            next_one = outbound.ask("GET", url, rules=HERE, limits=Limits(total_seconds=5))
            second = asyncio.create_task(next_one)
            other = await asyncio.to_thread(lambda: listening.accept()[0])
            await asyncio.to_thread(other.recv, 1000)
            other.sendall(ok(b"second"))
            assert (await second).body == b"second"
            connection.close()
            other.close()
            await outbound.close()

        asyncio.run(talk())


@pytest.mark.spec("O19")
@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_who_leaves_early_leaves_nothing_to_the_next(is_cancelled):
    async def half(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await writer.drain()

    async with serve(half, ok(b"second")) as server:
        stream = await outbound.send("GET", server.url, rules=HERE)
        if is_cancelled:
            reading = asyncio.create_task(stream.read())
            await asyncio.sleep(0.01)
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
        stream.close()
        await asyncio.wait_for(server.ended.wait(), 5)
        assert (await ask(server)).body == b"second"
    assert server.numbers == [1, 2]
    assert pool()._all_busy == 0


@pytest.mark.spec("O19")
async def test_who_is_cancelled_before_the_head_comes_ends_the_connection():
    async with serve(silence) as server:
        asking = asyncio.create_task(ask(server))
        while not server.asked:
            await asyncio.sleep(0.001)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(server.ended.wait(), 5)
    assert (pool()._all_busy, pool()._open) == (0, set())


async def _own_answer(server, number):
    """What a patient's request is told, or None where it fails; some leave early."""
    path = f"Patient/{number}"
    try:
        if number % 7 == 0:
            async with asyncio.timeout(0.003):
                return await ask(server, path=path)
        return await ask(server, path=path)
    except (OutboundError, TimeoutError):
        return None


@pytest.mark.spec("O19", "G36", "G13")
async def test_among_many_at_once_and_a_server_gone_mad_everybody_gets_their_own(settings):
    settings.UPSTREAM_CONNECTIONS = 20
    dice = random.Random(7)

    async def mad(writer):
        body = server.asked[-1][1].split(b" ")[1].removeprefix(b"/")
        answer = ok(body)
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        kind = dice.randrange(8)
        if kind == 0:
            answer += OTHERS
        elif kind == 1:
            answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
        elif kind == 2:
            answer = answer[: dice.randrange(len(answer))]
        if kind == 0:
            writer.write(answer)
        else:
            await (closing(answer) if kind in (2, 3) else piecewise(answer))(writer)

    async with serve(mad) as server:
        numbers = range(300)
        told = await asyncio.gather(*[_own_answer(server, number) for number in numbers])
    bodies = {number: one.body for number, one in zip(numbers, told, strict=True) if one}
    assert len(bodies) > 150
    assert bodies == {number: f"Patient/{number}".encode() for number in bodies}
    assert pool()._all_busy == 0


# What is sent twice ------------------------------------------------------------------------------


@pytest.mark.spec("O19")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_read_on_a_lost_connection_is_repeated_once(method):
    async with serve(ok(), closing(b""), ok()) as server:
        await ask(server)
        assert (await ask(server, method)).status == 200
    assert server.numbers == [1, 1, 2]


@pytest.mark.spec("O19")
async def test_a_read_is_not_repeated_again():
    async with serve(ok(), closing(b"")) as server:
        await ask(server)
        assert await failed(server) is Kind.UNREACHABLE
    assert server.numbers == [1, 1, 2]


@pytest.mark.spec("O19")
@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
async def test_a_change_is_sent_once(method):
    async with serve(ok(), closing(b"")) as server:
        await ask(server)
        assert await failed(server, method) is Kind.UNREACHABLE
    assert server.numbers == [1, 1]


@pytest.mark.spec("O19")
@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 100 Go\r\n\r\n", ok()[:-1]])
async def test_a_read_that_was_answered_in_part_is_not_repeated(part):
    async with serve(ok(), closing(part)) as server:
        await ask(server)
        assert await failed(server) is Kind.BAD_ANSWER
    assert server.numbers == [1, 1]


@pytest.mark.spec("O19")
async def test_a_read_on_a_new_connection_is_not_repeated():
    async with serve(closing(b"")) as server:
        assert await failed(server) is Kind.UNREACHABLE
    assert server.numbers == [1]


# How many, how long, how much --------------------------------------------------------------------


@pytest.mark.spec("V3", "V7")
async def test_one_server_takes_half_of_the_connections_and_others_the_rest(settings):
    settings.UPSTREAM_CONNECTIONS = 4
    async with serve(silence) as silent, serve(ok()) as other:
        held = [asyncio.create_task(ask(silent, limits=Limits(0.4, 5))) for _ in range(2)]
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
async def test_all_who_wait_get_their_turn(settings):
    settings.UPSTREAM_CONNECTIONS = 2
    async with serve(ok()) as server:
        told = [asyncio.create_task(ask(server)) for _ in range(50)]
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


# Where to ----------------------------------------------------------------------------------------


@pytest.mark.spec("O19")
async def test_a_name_is_resolved_once_for_a_connection(monkeypatch, settings):
    """It leads elsewhere a moment later; the address that was judged is the one connected to."""
    settings.EGRESS_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]
    answers = [["127.0.0.1"], ["10.0.0.7"]]

    def resolve(host, port, *_, **__):
        return [(socket.AF_INET, 1, 6, "", (one, port)) for one in answers.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with serve(ok()) as server:
        port = int(server.url.rsplit(":", 1)[1].rstrip("/"))
        soon = time.monotonic() + 5
        origin = Origin("http", "pinned.example", port, "pinned.example")
        made = Pool()
        connection = await made.take(origin, is_new=False, ends_at=soon)
        answer = connection.ask(b"GET / HTTP/1.1\r\n\r\n", "GET", soon, 5)
        await _complete(answer)
        assert await made.take(origin, is_new=False, ends_at=soon) is connection
        assert len(answers) == 1
        with pytest.raises(OutboundError) as error:
            await made.take(origin, is_new=True, ends_at=soon)
        assert error.value.kind is Kind.REFUSED
        await made.close()


async def _complete(answer: Answer):
    while not answer.is_over:
        await answer.more()
