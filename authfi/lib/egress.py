"""Where AuthFI itself may connect to (security checklist O19, A1.3.6). Pure but for settings."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings

Address = IPv4Address | IPv6Address

MAX_URL_LENGTH = 16_384
# What Python calls global, and is not: IPv6 forms that carry an IPv4 address to somewhere else
# (IPv4-compatible, 6to4 and its relays, Teredo, NAT64, also local), and site-local addresses.
_NOT_GLOBAL = tuple(
    ip_network(text)
    for text in (
        "::/96",
        "2002::/16",
        "192.88.99.0/24",
        "2001::/32",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "fec0::/10",
    )
)


#: Scheme and authority, then path and query: ASCII without blanks, controls, backslash, fragment
#: or user information (RFC 3986).
_parts = re.compile(
    r"(https?://[a-z0-9._:\[\]-]+)((?:[/?][!\"$-\[\]-~]*)?)", re.IGNORECASE
).fullmatch
_authority = re.compile(
    r"(https?)://(?:([a-z0-9][a-z0-9._-]*)|\[([0-9a-f:.]+)\])(?::([0-9]{1,5}))?"
).fullmatch
_PORTS = {"http": 80, "https": 443}


class Kind(StrEnum):
    """Why an outgoing call came to nothing."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    BAD_ANSWER = "bad_answer"
    TOO_LARGE = "too_large"


class OutboundError(Exception):
    """An outgoing call that failed; the text names no address, host or secret."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Rules:
    """What one use may do beyond https on port 443 to public addresses.

    `loopback`: this machine too, also without TLS (the sandbox). `any_port`: FHIR servers.
    """

    loopback: bool = False
    any_port: bool = False


PUBLIC = Rules()


@dataclass(frozen=True, slots=True)
class Origin:
    """A server to ask. `address` is its host where that is one, `is_local` this machine.

    `authority` is what the Host header says (RFC 9110 7.2).
    """

    scheme: str
    host: str
    port: int
    authority: str
    address: Address | None = None
    is_local: bool = False

    @property
    def name(self) -> str:
        """What tells it from others."""
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class Url:
    """An address that may be asked: the server, and path and query as they stand in the request."""

    origin: Origin
    target: str


def check_url(text: str, rules: Rules = PUBLIC) -> Url:
    """The URL, ready to be asked; names are judged later, when they are resolved.

    Raises OutboundError (refused).
    """
    url = _parse(text)
    origin = url.origin
    if origin.is_local:
        if not rules.loopback:
            raise OutboundError(Kind.REFUSED, "The URL leads to this machine.")
        return url
    if origin.scheme != "https":
        raise OutboundError(Kind.REFUSED, "The URL does not begin with https://.")
    if not rules.any_port and origin.port != 443:
        raise OutboundError(Kind.REFUSED, "The URL names a port other than 443.")
    if origin.address is not None:
        check_address(origin.address)
    return url


def _parse(text: str) -> Url:
    found = _parts(text) if len(text) <= MAX_URL_LENGTH else None
    origin = _origin(found[1]) if found else None
    if found is None or origin is None:
        raise OutboundError(Kind.REFUSED, "The URL is not a plain absolute http(s) URL.")
    target = found[2]
    return Url(origin, target if target.startswith("/") else f"/{target}")


@lru_cache(maxsize=1024)
def _origin(text: str) -> Origin | None:
    """The server that scheme and authority name; what names none is None."""
    found = _authority(text.lower())
    if found is None:
        return None
    scheme, host = found[1], found[2] or found[3]
    port = int(found[4]) if found[4] else _PORTS[scheme]
    address = _literal(host)
    if not 0 < port < 65_536 or (found[3] and address is None):
        return None
    authority = f"[{host}]" if ":" in host else host
    if port != _PORTS[scheme]:
        authority = f"{authority}:{port}"
    return Origin(scheme, host, port, authority, address, is_loopback(host))


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine by its own words: `localhost` or such an address."""
    address = _literal(host)
    return host.rstrip(".") == "localhost" if address is None else _unmapped(address).is_loopback


def check_address(address: Address) -> None:
    """Raises OutboundError (refused) unless it is public or in `settings.EGRESS_NETWORKS`."""
    address = _unmapped(address)
    if any(address in network for network in settings.EGRESS_NETWORKS):
        return
    is_left_out = any(address in network for network in _NOT_GLOBAL)
    if is_left_out or not address.is_global or address.is_multicast:
        raise OutboundError(Kind.REFUSED, "The address is not public.")


@lru_cache(maxsize=1024)
def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _unmapped(address: Address) -> Address:
    """`::ffff:127.0.0.1` is 127.0.0.1."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
