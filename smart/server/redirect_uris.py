"""Which redirect URIs may be registered, and which one was (O3, REGI-01, RFC 8252 7.3)."""

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

LOOPBACK_ADDRESSES = frozenset({"127.0.0.1", "::1"})

# RFC 3986 characters without "*", whose only use here would be to look like a pattern.
_URI = re.compile(r"https?://[A-Za-z0-9._~:/?\[\]@!$&'()+,;=%-]+")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")


class UnusableURIError(ValueError):
    """The URI cannot be registered; the text says why."""


def check_registrable(uri: str, *, in_development: bool) -> None:
    """Refuse what must not be registered: only https, or http on this machine (O3).

    The name `localhost` may be pointed elsewhere, so it is for apps in development only. Raises
    UnusableURIError.
    """
    parts = _split(uri)
    if parts is None:
        raise UnusableURIError(f"{uri!r} is not an absolute http or https URI")
    if "@" in parts.netloc:
        raise UnusableURIError(f"{uri!r} holds a user name")
    if parts.scheme == "https" or parts.hostname in LOOPBACK_ADDRESSES:
        return
    if parts.hostname != "localhost":
        raise UnusableURIError(f"{uri!r} must be https")
    if not in_development:
        raise UnusableURIError(
            f"{uri!r}: localhost is for apps in development: use 127.0.0.1, or add in_development"
        )


def is_registered(uri: str, registered: Iterable[str], *, in_development: bool) -> bool:
    """Is it one of them, byte for byte? Only the port of a loopback address may differ (O3)."""
    known = tuple(registered)
    return uri in known or any(
        _differ_in_port_only(uri, one, in_development=in_development) for one in known
    )


def origin_of(uri: str) -> str:
    """The origin of a URI that was registered, as browsers write it: no port where it is usual."""
    parts = urlsplit(uri)
    usual = ":443" if parts.scheme == "https" else ":80"
    return f"{parts.scheme}://{parts.netloc.removesuffix(usual)}"


def _differ_in_port_only(uri: str, registered: str, *, in_development: bool) -> bool:
    asked, known = _split(uri), _split(registered)
    if asked is None or known is None or asked.scheme != "http" or "@" in asked.netloc:
        return False
    hosts = LOOPBACK_ADDRESSES | ({"localhost"} if in_development else set())
    return asked.hostname in hosts and _without_port(asked) == _without_port(known)


def _without_port(parts: SplitResult) -> tuple[str, str | None, str, str]:
    return parts.scheme, parts.hostname, parts.path, parts.query


def _split(uri: str) -> SplitResult | None:
    """The parts of a well-formed URI, host in lower case as written, port in range."""
    if not _URI.fullmatch(uri):
        return None
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    bare = parts.netloc.rpartition("@")[2]
    written = f"[{host}]" if ":" in host else host
    if bare not in (written, f"{written}:{port}"):
        return None
    return parts if host == "::1" or _HOST.fullmatch(host) else None
