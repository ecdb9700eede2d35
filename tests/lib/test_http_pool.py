"""Connections to other servers: no answer is ever taken for that of another request (O19, G36)."""

import asyncio
import ipaddress
import random
import socket
import time
from contextlib import suppress

import pytest

from authfi.lib import outbound
from authfi.lib.egress import Kind, Origin, OutboundError
from authfi.lib.http_answer import Answer
from authfi.lib.http_pool import Pool
from authfi.lib.outbound import Limits
from tests.lib.scripted_server import (
    HERE,
    ask,
    closing,
    failed,
    ok,
    piecewise,
    pool,
    serve,
    silence,
)

OTHERS = ok(b"another patient's")


@pytest.fixture(autouse=True)
async def _closed():
    yield
    await outbound.close()


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
