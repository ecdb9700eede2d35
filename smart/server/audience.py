"""Which server a token is for: how `aud` and `resource` are compared (AUTZ-10, RFC 8707 2)."""

from urllib.parse import SplitResult, urlsplit


def is_same(sent: str, own: str) -> bool:
    """Equal but for a trailing slash and the case of scheme and host."""
    try:
        return _normalised(urlsplit(sent)) == _normalised(urlsplit(own))
    except ValueError:
        return False


def _normalised(parts: SplitResult) -> tuple[str, ...]:
    path = parts.path.removesuffix("/")
    return parts.scheme.lower(), parts.netloc.lower(), path, parts.query, parts.fragment
