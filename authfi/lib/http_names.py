"""Where the name of a server leads: looked up in threads of its own, every address judged (O19).

The system's resolver blocks its thread for as long as a name's own servers please. So lookups have
threads that nothing else waits for, and each tenant may occupy a few of them only.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from uuid import UUID

from aiohappyeyeballs import AddrInfoType

from authfi.lib import egress, tenancy
from authfi.lib.egress import Origin

THREADS = 8
#: How many of them wait for names of one tenant: a few tenants with silent names leave the rest.
MOST_OF_ONE = 2


@dataclass(frozen=True, slots=True)
class _Lookup:
    """For whom it was begun, and what it will have found."""

    tenant: UUID | None
    addresses: asyncio.Future[list[str]]


class Names:
    """The lookups of one event loop; those who ask for the same name at once share one."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="names")
        self._running: dict[tuple[str, int], _Lookup] = {}

    async def judged(self, origin: Origin) -> list[AddrInfoType]:
        """Where to connect to: all addresses of the name, of which none may be a private one.

        It takes as long as the name's servers; who stops waiting leaves it to others who wait.
        Raises OutboundError (refused), OSError.
        """
        if origin.address is not None:  # judged with its URL
            return [_address(str(origin.address), origin.port)]
        if origin.is_local:
            return [_address("127.0.0.1", origin.port), _address("::1", origin.port)]
        addresses = await self._addresses(origin.host, origin.port)
        for address in addresses:
            egress.check_address(ip_address(address.partition("%")[0]))
        if not addresses:
            raise OSError("the name has no address")
        return [_address(address, origin.port) for address in addresses]

    async def _addresses(self, host: str, port: int) -> list[str]:
        """By the lookup that is under way, or by one of the tenant's own when it may have one."""
        tenant = tenancy.bound_id()
        while (lookup := self._running.get((host, port))) is None:
            own = [one.addresses for one in self._running.values() if one.tenant == tenant]
            if len(own) < MOST_OF_ONE:
                self._begin(host, port, tenant)
            else:
                await asyncio.wait(own, return_when=asyncio.FIRST_COMPLETED)
        return await asyncio.shield(lookup.addresses)

    def _begin(self, host: str, port: int, tenant: UUID | None) -> None:
        found = asyncio.get_running_loop().run_in_executor(self._threads, _resolve, host, port)
        self._running[host, port] = _Lookup(tenant, found)

        def ended(found: asyncio.Future[list[str]]) -> None:
            del self._running[host, port]
            if not found.cancelled():
                found.exception()  # all who would be told may have left

        found.add_done_callback(ended)


def _resolve(host: str, port: int) -> list[str]:
    """In a thread. Raises OSError, UnicodeError."""
    found = socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _address(address: str, port: int) -> AddrInfoType:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
