"""The one HTTP client for everything AuthFI asks of others (security checklist O19, K8).

Every use states its rules and limits. A name is resolved once for each connection, every address
is judged, and the connection goes to one of the judged addresses. Redirects are not followed,
cookies not kept, proxies of the environment not used.
"""

import asyncio
import atexit
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from aiohttp.abc import AbstractResolver, ResolveResult
from django.conf import settings
from multidict import CIMultiDict, CIMultiDictProxy

from authfi.lib import egress
from authfi.lib.egress import Kind, OutboundError, Rules

T = TypeVar("T")

USER_AGENT = "AuthFI"
KEEP_ALIVE_SECONDS = 30.0
_REPEATABLE = frozenset({"GET", "HEAD"})
# The AEAD suites of TLS 1.2 with forward secrecy; those of TLS 1.3 all are.
_TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take: seconds in all and between two reads, bytes of the body."""

    total_seconds: float = 5.0
    read_seconds: float = 5.0
    max_bytes: int = 256 * 1024


SHORT = Limits()


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer. Redirects arrive here as what they are, a status 3xx."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Stream:
    """An answer whose body is still to be read; close it, or use it in `async with`."""

    def __init__(self, answer: aiohttp.ClientResponse, max_bytes: int) -> None:
        self._answer = answer
        self._max_bytes = max_bytes

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._answer.status

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """Header fields; names compare without regard to case."""
        return self._answer.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises OutboundError (too_large, timeout, bad_answer)."""
        if (self._answer.content_length or 0) > self._max_bytes:
            raise _too_large()
        total = 0
        try:
            async for chunk in self._answer.content.iter_any():
                total += len(chunk)
                if total > self._max_bytes:
                    raise _too_large()
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translated(error) from error

    async def read(self, max_bytes: int | None = None) -> bytes:
        """The whole body, at most `max_bytes` of it if that is less. Raises as `chunks`."""
        if max_bytes is not None:
            self._max_bytes = min(self._max_bytes, max_bytes)
        return b"".join([chunk async for chunk in self.chunks()])

    def close(self) -> None:
        """Done with it: a body read to its end gives its connection back, others are cut."""
        self._answer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Resolver(AbstractResolver):
    """Resolves a name and refuses it if any of its addresses is not allowed (O19)."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OutboundError (refused), OSError."""
        if egress.is_loopback(host):  # allowed or not when the URL was checked
            return [_result(host, "127.0.0.1", port), _result(host, "::1", port)]
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            egress.check_address(ip_address(address.partition("%")[0]))
        return [_result(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Nothing is kept."""


def _result(name: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=name,
        host=address,
        port=port,
        family=family,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """Certificates verified, TLS 1.2 with AEAD at least (K8). `SSL_CERT_FILE` adds own roots."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_CIPHERS)
    return context


_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()


def _session() -> aiohttp.ClientSession:
    """The pooled session of the running loop, made when first needed."""
    loop = asyncio.get_running_loop()
    session = _sessions.get(loop)
    if session is None or session.closed:
        connector = aiohttp.TCPConnector(
            limit=settings.UPSTREAM_CONNECTIONS,
            # One silent server leaves room for the others.
            limit_per_host=max(1, settings.UPSTREAM_CONNECTIONS // 2),
            resolver=_Resolver(),
            use_dns_cache=False,
            ssl=tls_context(),
            keepalive_timeout=KEEP_ALIVE_SECONDS,
        )
        session = _sessions[loop] = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        )
    return session


async def _once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Sends a request that changes something once: whether a lost one arrived is not known.

    The client itself would repeat PUT and DELETE on the loss of a kept connection.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError("the connection was lost") from error


@lru_cache(maxsize=64)
def _timeout(limits: Limits) -> aiohttp.ClientTimeout:
    """The total holds for connecting too."""
    return aiohttp.ClientTimeout(total=limits.total_seconds, sock_read=limits.read_seconds)


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
    target = egress.check_url(url, rules)
    try:
        answer = await _session().request(
            method,
            target,
            headers=headers,
            data=body,
            allow_redirects=False,
            timeout=_timeout(limits),
            middlewares=() if method in _REPEATABLE else (_once,),
        )
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise _translated(error) from error
    stream = Stream(answer, limits.max_bytes)
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        stream.close()
        raise OutboundError(Kind.BAD_ANSWER, "The answer is encoded in a way not asked for.")
    return stream


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
        return Response(stream.status, CIMultiDict(stream.headers), await stream.read())


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
    """Close the running loop's session and the one of `fetch`; both open again when needed."""
    session = _sessions.pop(asyncio.get_running_loop(), None)
    if session is not None:
        await session.close()
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
        """Close the session and end the thread."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._process != os.getpid():
            return
        session = _sessions.pop(loop, None)
        if session is not None:
            asyncio.run_coroutine_threadsafe(session.close(), loop).result()
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
    """One of five kinds, without the addresses that the original text names."""
    if isinstance(error, TimeoutError):
        return OutboundError(Kind.TIMEOUT, "The server did not answer in time.")
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return OutboundError(Kind.REFUSED, "The server's certificate or TLS version is refused.")
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return OutboundError(Kind.UNREACHABLE, "The server cannot be reached.")
    if isinstance(error, aiohttp.InvalidURL):
        return OutboundError(Kind.REFUSED, "The URL is refused.")
    return OutboundError(Kind.BAD_ANSWER, "The server's answer is not proper HTTP.")
