"""The one HTTP client for everything AuthFI asks of others (security checklist O19, K8).

Every use states its rules and limits. A name is resolved once for each connection, every address
is judged, and the connection goes to one of the judged addresses. Redirects are not followed,
cookies not kept, proxies of the environment not used.
"""

import asyncio
import atexit
import os
import ssl
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

from authfi.lib import egress
from authfi.lib.egress import Kind, OutboundError, Rules, Url
from authfi.lib.http_answer import Answer
from authfi.lib.http_connection import Connection
from authfi.lib.http_pool import Pool

T = TypeVar("T")

USER_AGENT = "AuthFI"
#: What may be sent twice when a kept connection was lost before a byte of its answer came.
_REPEATABLE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take: seconds in all and between two reads, bytes of the body."""

    total_seconds: float = 5.0
    read_seconds: float = 5.0
    max_bytes: int = 256 * 1024


SHORT = Limits()


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer. Redirects arrive here as what they are, a status 3xx.

    Names of `headers` are in lower case, the values of repeated ones make one list.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Stream:
    """An answer whose body is still to be read; close it, or use it in `async with`."""

    def __init__(self, answer: Answer, connection: Connection, max_bytes: int) -> None:
        self._answer = answer
        self._connection = connection
        self._max_bytes = max_bytes
        self._taken = 0

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._answer.status

    @property
    def headers(self) -> dict[str, str]:
        """Header fields; names are in lower case, the values of repeated ones make one list."""
        return self._answer.headers

    async def chunk(self) -> bytes:
        """More of the body as it comes, nothing at its end.

        Raises OutboundError (too_large, timeout, bad_answer).
        """
        answer = self._answer
        if int(answer.headers.get("content-length", 0)) > self._max_bytes:
            raise _too_large()
        while not (chunk := answer.take()):
            if answer.error is not None:
                raise answer.error
            if answer.is_complete:
                return b""
            await answer.more()
        self._connection.resume(answer)
        self._taken += len(chunk)
        if self._taken > self._max_bytes:
            raise _too_large()
        return chunk

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises as `chunk`."""
        while chunk := await self.chunk():
            yield chunk

    async def read(self, max_bytes: int | None = None) -> bytes:
        """The whole body, at most `max_bytes` of it if that is less. Raises as `chunk`."""
        if max_bytes is not None:
            self._max_bytes = min(self._max_bytes, max_bytes)
        return b"".join([chunk async for chunk in self.chunks()])

    def close(self) -> None:
        """Done with it: unless the body has come to its end, the connection is cut."""
        self._connection.drop(self._answer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = WeakKeyDictionary()


async def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    rules: Rules = egress.PUBLIC,
    limits: Limits = SHORT,
) -> Stream:
    """Ask, and return as soon as the answer's headers are there. Raises OutboundError."""
    where = egress.check_url(url, rules)
    request = _request(method, where, headers or {}, body)
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None:
        pool = _pools[loop] = Pool()
    ends_at = loop.time() + limits.total_seconds
    connection = pool.ready(where.origin) or await _connected(pool, where, ends_at)
    was_used = connection.is_used
    answer = await _asked(connection, request, method, ends_at, limits)
    # The server had ended the connection while it was kept. Whether a request that changes
    # something had arrived is not known, so that one is sent once.
    if was_used and answer.is_unanswered and method in _REPEATABLE:
        connection = await _connected(pool, where, ends_at, is_new=True)
        answer = await _asked(connection, request, method, ends_at, limits)
    if answer.error is not None and not answer.has_head:
        raise answer.error
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        connection.drop(answer)
        raise OutboundError(Kind.BAD_ANSWER, "The answer is encoded in a way not asked for.")
    return Stream(answer, connection, limits.max_bytes)


async def _connected(pool: Pool, url: Url, ends_at: float, *, is_new: bool = False) -> Connection:
    """A connection to be asked. Raises OutboundError."""
    try:
        return await pool.take(url.origin, is_new=is_new, ends_at=ends_at)
    except (TimeoutError, OSError, ValueError) as error:
        raise _translated(error) from error


async def _asked(
    connection: Connection, request: bytes, method: str, ends_at: float, limits: Limits
) -> Answer:
    """The answer with its head, or with an error; who is cancelled here wants neither."""
    answer = connection.ask(request, method, ends_at, limits.read_seconds)
    try:
        while not (answer.has_head or answer.is_over):
            await answer.more()
    except BaseException:
        connection.drop(answer)
        raise
    return answer


def _request(method: str, url: Url, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The whole request (RFC 9112 3, 5). Raises OutboundError for what cannot stand in a head."""
    lines = [
        f"{method} {url.target} HTTP/1.1",
        f"Host: {url.origin.authority}",
        f"User-Agent: {USER_AGENT}",
        "Accept-Encoding: identity",
        *[f"{name}: {value}" for name, value in headers.items()],
    ]
    if body is not None or method not in _REPEATABLE:
        lines.append(f"Content-Length: {len(body or b'')}")
    head = "\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count("\r") != breaks or head.count("\n") != breaks or "\0" in head:
        raise OutboundError(Kind.REFUSED, "The request has a header that cannot be sent.")
    try:
        return f"{head}\r\n\r\n".encode("latin-1") + (body or b"")
    except UnicodeEncodeError:
        raise OutboundError(Kind.REFUSED, "The request has a header that cannot be sent.") from None


async def ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    rules: Rules = egress.PUBLIC,
    limits: Limits = SHORT,
) -> Response:
    """Ask and read the whole answer. Raises OutboundError."""
    async with await send(
        method, url, headers=headers, body=body, rules=rules, limits=limits
    ) as stream:
        return Response(stream.status, stream.headers, await stream.read())


def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    rules: Rules = egress.PUBLIC,
    limits: Limits = SHORT,
) -> Response:
    """`ask` for code that is not async: views, commands, tasks. Raises OutboundError."""
    return _background.run(ask(method, url, headers=headers, body=body, rules=rules, limits=limits))


def run(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that asks others returns or raises, for code that is not async."""
    return _background.run(work)


async def close() -> None:
    """End the running loop's connections and those of `fetch`; others are opened when needed."""
    pool = _pools.pop(asyncio.get_running_loop(), None)
    if pool is not None:
        await pool.close()
    await asyncio.to_thread(_background.stop)


class _Background:
    """A loop in a thread of its own, so that synchronous code shares one pool too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises."""
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    def stop(self) -> None:
        """End the connections and the thread."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._process != os.getpid():
            return
        pool = _pools.pop(loop, None)
        if pool is not None:
            asyncio.run_coroutine_threadsafe(pool.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            # A forked child has the parent's loop object, but not its thread.
            if self._loop is None or self._process != os.getpid():
                self._loop, self._process = asyncio.new_event_loop(), os.getpid()
                threading.Thread(
                    target=self._loop.run_forever, name="outbound", daemon=True
                ).start()
            return self._loop


_background = _Background()
atexit.register(_background.stop)


def _too_large() -> OutboundError:
    return OutboundError(Kind.TOO_LARGE, "The answer is larger than allowed.")


def _translated(error: Exception) -> OutboundError:
    """Why there is no connection, without the addresses that the original text names."""
    if isinstance(error, TimeoutError):
        return OutboundError(Kind.TIMEOUT, "The server did not answer in time.")
    if isinstance(error, ssl.SSLError):
        return OutboundError(Kind.REFUSED, "The server's certificate or TLS version is refused.")
    return OutboundError(Kind.UNREACHABLE, "The server cannot be reached.")
