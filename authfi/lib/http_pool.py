"""The connections of one event loop, as many to a server and in all as the settings allow (O19).

A name is resolved once for each connection, every address is judged, and the connection goes to
one of the judged addresses, whatever the name would lead to a moment later.
"""

import asyncio
import ssl
from collections import deque
from functools import lru_cache
from uuid import UUID

import aiohappyeyeballs
from django.conf import settings

from authfi.lib import tenancy
from authfi.lib.egress import Origin
from authfi.lib.http_connection import Claim, Connection
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
        # One silent server leaves room for the others, and so does one tenant with many.
        self._most_of_one = max(1, self._most // 2)
        self._idle: dict[str, list[Connection]] = {}
        self._busy: dict[str | UUID | None, int] = {}  # by server and by tenant
        self._all_busy = 0
        self._open: set[Connection] = set()
        self._names = Names()
        self._emptied = asyncio.Event()
        self._waiting: deque[tuple[Claim, asyncio.Future[None]]] = deque()

    def ready(self, origin: Origin) -> Connection | None:
        """A kept connection, if there is one and nobody waits."""
        claim = _claim(origin)
        if self._waiting or not self._has_room(claim):
            return None
        connection = self._kept(origin)
        if connection is not None:
            connection.claim = claim
            self._count(claim, 1)
        return connection

    async def take(self, origin: Origin, *, is_new: bool, ends_at: float) -> Connection:
        """A kept connection or a new one, by the loop's time `ends_at`.

        Raises OutboundError (refused), TimeoutError, OSError.
        """
        claim = _claim(origin)
        async with asyncio.timeout_at(ends_at):
            await self._turn(claim)
            try:
                kept = None if is_new else self._kept(origin)
                connection = kept or await self._connect(origin)
            except BaseException:
                self._count(claim, -1)
                raise
            connection.claim = claim
            return connection

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

    def _has_room(self, claim: Claim) -> bool:
        server, tenant = claim
        busy, most = self._busy, self._most_of_one
        return (
            self._all_busy < self._most
            and busy.get(server, 0) < most
            and busy.get(tenant, 0) < most
        )

    async def _turn(self, claim: Claim) -> None:
        """Wait until there is room, and count as busy; who came first goes first."""
        if not self._waiting and self._has_room(claim):
            self._count(claim, 1)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((claim, turn))
        self._call_next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting = deque(one for one in self._waiting if one[1] is not turn)
            else:  # its turn had come already
                self._count(claim, -1)
            raise

    def _call_next(self) -> None:
        """Let all go for whom there is room; they count as busy from now on."""
        waiting, self._waiting = self._waiting, deque()
        for claim, turn in waiting:
            if not self._has_room(claim):
                self._waiting.append((claim, turn))
            elif not turn.done():
                self._count(claim, 1)
                turn.set_result(None)

    def _count(self, claim: Claim, change: int) -> None:
        self._all_busy += change
        for one in claim:
            busy = self._busy.get(one, 0) + change
            if busy:
                self._busy[one] = busy
            else:
                del self._busy[one]
        if change < 0 and self._waiting:
            self._call_next()

    # What connections tell

    def _free(self, connection: Connection) -> None:
        if not connection.is_over:
            self._idle.setdefault(connection.origin.name, []).append(connection)
        self._count(connection.claim, -1)

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._emptied.set()
        idle = self._idle.get(connection.origin.name)
        if idle and connection in idle:
            idle.remove(connection)
        if idle is not None and not idle:
            del self._idle[connection.origin.name]


def _claim(origin: Origin) -> Claim:
    return origin.name, tenancy.bound_id()
