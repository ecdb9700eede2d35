"""The connections of one event loop, as many to a server and in all as the settings allow (O19).

A name is resolved once for each connection, every address is judged, and the connection goes to
one of the judged addresses, whatever the name would lead to a moment later.
"""

import asyncio
import ssl
from collections import deque
from functools import lru_cache

import aiohappyeyeballs
from django.conf import settings

from authfi.lib.egress import Origin
from authfi.lib.http_connection import Connection
from authfi.lib.http_names import Names

#: Until the next address of a name is tried beside the last one (RFC 8305 5).
_NEXT_ADDRESS_SECONDS = 0.25
# The AEAD suites of TLS 1.2 with forward secrecy; those of TLS 1.3 all are.
_TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """Certificates verified, TLS 1.2 with AEAD at least (K8). `SSL_CERT_FILE` adds own roots."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_CIPHERS)
    return context


class Pool:
    """Take a connection; it comes back by itself when its answer has ended."""

    def __init__(self) -> None:
        self._most = max(1, settings.UPSTREAM_CONNECTIONS)
        # One silent server leaves room for the others.
        self._most_of_one = max(1, self._most // 2)
        self._idle: dict[str, list[Connection]] = {}
        self._busy: dict[str, int] = {}
        self._all_busy = 0
        self._open: set[Connection] = set()
        self._names = Names()
        self._emptied = asyncio.Event()
        self._waiting: deque[tuple[Origin, asyncio.Future[None]]] = deque()

    def ready(self, origin: Origin) -> Connection | None:
        """A kept connection, if there is one and nobody waits."""
        if self._waiting or not self._has_room(origin):
            return None
        connection = self._kept(origin)
        if connection is not None:
            self._count(origin, 1)
        return connection

    async def take(self, origin: Origin, *, is_new: bool, ends_at: float) -> Connection:
        """A kept connection or a new one, by the loop's time `ends_at`.

        Raises OutboundError (refused), TimeoutError, OSError.
        """
        async with asyncio.timeout_at(ends_at):
            await self._turn(origin)
            try:
                kept = None if is_new else self._kept(origin)
                return kept or await self._connect(origin)
            except BaseException:
                self._count(origin, -1)
                raise

    async def close(self) -> None:
        """End all connections."""
        if self._open:
            self._emptied.clear()
            for connection in list(self._open):
                connection.close()
            await self._emptied.wait()

    def _kept(self, origin: Origin) -> Connection | None:
        """The one used last, which is least likely to be ended by the server now."""
        idle = self._idle.get(origin.name)
        while idle:
            connection = idle.pop()
            if connection.is_fit():
                return connection
            connection.close()
        return None

    async def _connect(self, origin: Origin) -> Connection:
        addresses = await self._names.judged(origin)
        self._make_room()
        try:
            sock = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS
            )
        except RuntimeError as error:
            raise OSError("no address could be connected to") from error
        is_tls = origin.scheme == "https"
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(origin, self._free, self._lost),
            sock=sock,
            ssl=tls_context() if is_tls else None,
            server_hostname=origin.host.rstrip(".") if is_tls else None,
        )
        self._open.add(connection)
        return connection

    def _make_room(self) -> None:
        """No more are open than may be busy: the idle ones of others give way."""
        if len(self._open) >= self._most:
            idle = next((found for found in self._idle.values() if found), None)
            if idle:
                idle.pop(0).close()

    # Who may go

    def _has_room(self, origin: Origin) -> bool:
        return self._all_busy < self._most and self._busy.get(origin.name, 0) < self._most_of_one

    async def _turn(self, origin: Origin) -> None:
        """Wait until there is room, and count as busy; who came first goes first."""
        if not self._waiting and self._has_room(origin):
            self._count(origin, 1)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((origin, turn))
        self._call_next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting = deque(one for one in self._waiting if one[1] is not turn)
            else:  # its turn had come already
                self._count(origin, -1)
            raise

    def _call_next(self) -> None:
        """Let all go for whom there is room; they count as busy from now on."""
        waiting, self._waiting = self._waiting, deque()
        for origin, turn in waiting:
            if not self._has_room(origin):
                self._waiting.append((origin, turn))
            elif not turn.done():
                self._count(origin, 1)
                turn.set_result(None)

    def _count(self, origin: Origin, change: int) -> None:
        self._all_busy += change
        name = origin.name
        busy = self._busy.get(name, 0) + change
        if busy:
            self._busy[name] = busy
        else:
            del self._busy[name]
        if change < 0 and self._waiting:
            self._call_next()

    # What connections tell

    def _free(self, connection: Connection) -> None:
        if not connection.is_over:
            self._idle.setdefault(connection.origin.name, []).append(connection)
        self._count(connection.origin, -1)

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._emptied.set()
        idle = self._idle.get(connection.origin.name)
        if idle and connection in idle:
            idle.remove(connection)
        if idle is not None and not idle:
            del self._idle[connection.origin.name]
