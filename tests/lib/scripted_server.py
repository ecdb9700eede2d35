"""A server that says whatever bytes a test wants, and notes who asked what on which connection."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from authfi.lib import outbound
from authfi.lib.egress import Kind, OutboundError, Rules
from authfi.lib.http_pool import Pool
from authfi.lib.outbound import Limits, Response

HERE = Rules(loopback=True, any_port=True)
Say = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """`says` is what each request is answered with in turn: bytes, which keep the connection, or
    something that is given the writer. What is left is said again and again."""

    url: str
    says: list[bytes | Say]
    #: The number of the connection and the request as it came, for each request.
    asked: list[tuple[int, bytes]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await self._answer(number, reader, writer)
        self.ended.set()
        writer.close()

    async def _answer(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        self.asked.append((number, head + await reader.readexactly(int(length or 0))))
        say = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if isinstance(say, bytes):
            writer.write(say)
            await writer.drain()
        else:
            await say(writer)

    @property
    def numbers(self) -> list[int]:
        """The connections that the requests came on."""
        return [number for number, _ in self.asked]


@asynccontextmanager
async def serve(*says: bytes | Say, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server on a free port until the block ends."""
    made = Server("", list(says))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    where = "https://localhost" if tls else "http://127.0.0.1"
    made.url = f"{where}:{server.sockets[0].getsockname()[1]}/"
    try:
        yield made
    finally:
        server.close()


def ok(body: bytes = b"mine", *lines: str) -> bytes:
    """A proper answer."""
    head = "".join(f"{line}\r\n" for line in lines)
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body


def closing(data: bytes) -> Say:
    """Says it and ends the connection."""

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        raise ConnectionAbortedError

    return say


def piecewise(data: bytes) -> Say:
    """Says it byte by byte."""

    async def say(writer: asyncio.StreamWriter) -> None:
        for at in range(len(data)):
            writer.write(data[at : at + 1])
            await asyncio.sleep(0)
        await writer.drain()

    return say


async def silence(writer: asyncio.StreamWriter) -> None:
    """Says nothing and keeps the connection."""


async def ask(
    server: Server,
    method: str = "GET",
    limits: Limits = outbound.SHORT,
    path: str = "",
    **more: Any,
) -> Response:
    """What the server answers."""
    return await outbound.ask(method, server.url + path, rules=HERE, limits=limits, **more)


async def failed(
    server: Server, method: str = "GET", limits: Limits = outbound.SHORT, **more: Any
) -> Kind:
    """Why it does not."""
    with pytest.raises(OutboundError) as error:
        await ask(server, method, limits, **more)
    return error.value.kind


def pool() -> Pool:
    """The running loop's connections."""
    return outbound._pools[asyncio.get_running_loop()]
