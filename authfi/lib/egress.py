"""Where AuthFI itself may connect to (security checklist O19, A1.3.6). Pure but for settings."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from yarl import URL

Address = IPv4Address | IPv6Address

MAX_URL_LENGTH = 16_384
# IPv6 forms that carry an IPv4 address to somewhere else: 6to4, Teredo, NAT64 (also local).
_CARRIERS = tuple(
    ip_network(text) for text in ("2002::/16", "2001::/32", "64:ff9b::/96", "64:ff9b:1::/48")
)


#: ASCII without blanks, control characters that end a line, and the backslash.
_is_plain = re.compile(r"[!-\[\]-\x7f]*").fullmatch


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


def check_url(text: str, rules: Rules = PUBLIC) -> URL:
    """The URL, ready to be asked; names are judged later, when they are resolved.

    Raises OutboundError (refused).
    """
    url = _parse(text)
    host = url.host or ""
    local = is_loopback(host)
    if local and not rules.loopback:
        raise OutboundError(Kind.REFUSED, "The URL leads to this machine.")
    if url.scheme != "https" and not (local and url.scheme == "http"):
        raise OutboundError(Kind.REFUSED, "The URL does not begin with https://.")
    if not local and not rules.any_port and url.port != 443:
        raise OutboundError(Kind.REFUSED, "The URL names a port other than 443.")
    literal = _literal(host)
    if literal is not None and not local:
        check_address(literal)
    return url


def _parse(text: str) -> URL:
    refused = OutboundError(Kind.REFUSED, "The URL is not a plain absolute http(s) URL.")
    if len(text) > MAX_URL_LENGTH or not _is_plain(text):
        raise refused
    try:
        url = URL(text, encoded=True)
        complete = url.absolute and url.scheme in ("http", "https") and bool(url.host) and url.port
    except ValueError:
        raise refused from None
    if not complete or "@" in url.raw_authority or "#" in text:
        raise refused
    return url


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine by its own words: `localhost` or such an address."""
    address = _literal(host)
    return host.rstrip(".") == "localhost" if address is None else _unmapped(address).is_loopback


def check_address(address: Address) -> None:
    """Raises OutboundError (refused) unless it is public or in `settings.EGRESS_NETWORKS`."""
    address = _unmapped(address)
    if any(address in network for network in settings.EGRESS_NETWORKS):
        return
    carried = any(address in network for network in _CARRIERS)
    if carried or not address.is_global or address.is_multicast:
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
