"""Nothing of the upstream's address leaves (security-checklist G35).

JSON is rewritten as text, so that numbers keep the precision they were written with (FHIR R4
json 2.6.2). What still shows the upstream's host afterwards is not sent: the app gets a 502.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import quote, urlsplit

import orjson

from smart.gateway.outcomes import UpstreamFault

#: Response headers that are passed on; those of the second set hold URLs.
_KEPT: Final = frozenset({"etag", "last-modified"})
_URLS: Final = frozenset({"content-location", "location"})
_string_literal = re.compile(rb'"(?:[^"\\]|\\.)*"').sub
# A host begins after no letter of a name, unless that is the end of an escape (%2F, \n).
# A base ends where a URL's next part, or the text around it, begins.
_BEFORE: Final = rb"(?:(?<![\w.-])|(?<=%[0-9a-f]{2})|(?<=\\[bfnrt]))"
_AFTER: Final = rb"(?=[/?#\"\s<>'&,;)|\\]|\Z)"


@dataclass(frozen=True, slots=True)
class Rewriter:
    """Turns URLs of one upstream server into URLs of this one."""

    public: bytes
    upstream: bytes
    base: re.Pattern[bytes]
    shown: tuple[bytes, ...]
    address: re.Pattern[bytes]

    @classmethod
    def between(cls, upstream: str, public: str) -> Self:
        """From the two absolute base URLs, with or without a trailing slash."""
        authority = urlsplit(upstream).netloc.rpartition("@")[2]
        shown = tuple({form.lower().encode() for form in (authority, quote(authority, safe=""))})
        forms = b"|".join(re.escape(form) for form in shown)
        after = rb"(?!\d)" if ":" in authority else rb"(?![\w-]|\.\w)"
        ours = urlsplit(public.rstrip("/"))
        if ours.netloc.lower() == authority.lower():
            after += rb"(?!" + re.escape(ours.path.encode()) + _AFTER + rb")"
        base = upstream.rstrip("/").encode()
        return cls(
            public=public.rstrip("/").encode(),
            upstream=base,
            base=re.compile(re.escape(base) + _AFTER),
            shown=shown,
            address=re.compile(_BEFORE + rb"(?:" + forms + rb")" + after, re.IGNORECASE),
        )

    def json(self, raw: bytes) -> bytes:
        """JSON text (valid UTF-8) with this server's URLs. Raises UpstreamFault (502)."""
        if b"\\/" in raw or b"\\u00" in raw:
            raw = _string_literal(_plain_literal, raw)
        return self._checked(self._replaced(raw))

    def url(self, text: str) -> str:
        """One URL or reference. Raises UpstreamFault (502) if it still shows the upstream."""
        return self._checked(self._replaced(_visible(text))).decode()

    def headers(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The upstream's headers worth passing on; all others (Server, Set-Cookie) are dropped."""
        kept = []
        for name, value in headers:
            lower = name.lower()
            if lower in _KEPT:
                kept.append((lower, self._checked(_visible(value)).decode()))
            elif lower in _URLS:
                kept.append((lower, self.url(value)))
        return kept

    def _replaced(self, raw: bytes) -> bytes:
        return self.base.sub(lambda _: self.public, raw) if self.upstream in raw else raw

    def _checked(self, raw: bytes) -> bytes:
        # The plain look for the host is fast; only where it is found does its surrounding count.
        lower = raw.lower()
        if any(form in lower for form in self.shown) and self.address.search(raw):
            raise UpstreamFault("the answer shows the upstream's address")
        return raw


def _visible(text: str) -> bytes:
    """Header text as bytes: only what RFC 9110 5.5 has new headers hold."""
    if not (text.isascii() and text.isprintable()):
        raise UpstreamFault("a header of the answer is not plain ASCII")
    return text.encode()


def _plain_literal(match: re.Match[bytes]) -> bytes:
    """A JSON string with needless escapes undone, so that no URL hides in them.

    Only escapes of ASCII characters (`\\u00xx`) and of the slash can spell one."""
    literal = match[0]
    if b"\\/" not in literal and b"\\u00" not in literal:
        return literal
    try:
        return orjson.dumps(orjson.loads(literal))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        raise UpstreamFault("the answer is not valid JSON") from None
