"""Nothing of the upstream's address leaves (security-checklist G35).

JSON is rewritten as text, so that numbers keep the precision they were written with (FHIR R4
json 2.6.2). URLs below the upstream's base become URLs below this one. Where its host is named
otherwise (identifier systems, for instance), this server's host takes its place. What apps send
goes the way back, so that they write and search by the names that the upstream knows.
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
#: Stands for an upstream on this server's own host, of which only the path is to be hidden.
_NOWHERE: Final = "fhir-server.invalid"
_string_literal = re.compile(rb'"(?:[^"\\]|\\.)*"').sub
# A host begins after no letter of a name, unless that is the end of an escape (%2F, \n).
# A base ends where a URL's next part, or the text around it, begins.
_BEFORE: Final = rb"(?:(?<![\w.-])|(?<=%[0-9a-f]{2})|(?<=\\[bfnrt]))"
_AFTER: Final = rb"(?=[/?#\"\s<>'&,;)|\\]|\Z)"
#: Where our own URLs are that stand for none of the upstream's.
_OWN_PATHS: Final = rb"(?!/t/)"


@dataclass(frozen=True, slots=True)
class Rewriter:
    """Turns URLs of one upstream server into URLs of this one."""

    public: bytes
    upstream: bytes
    base: re.Pattern[bytes]
    authority: bytes
    shown: tuple[bytes, ...]
    address: re.Pattern[bytes]
    instead: bytes
    own_base: re.Pattern[bytes]
    own_address: re.Pattern[bytes]

    @classmethod
    def between(cls, upstream: str, public: str) -> Self:
        """From the two absolute base URLs, with or without a trailing slash."""
        authority = urlsplit(upstream).netloc.rpartition("@")[2]
        shown = tuple({form.lower().encode() for form in (authority, quote(authority, safe=""))})
        forms = b"|".join(re.escape(form) for form in shown)
        after = rb"(?!\d)" if ":" in authority else rb"(?![\w-]|\.\w)"
        ours = urlsplit(public.rstrip("/"))
        instead = ours.netloc
        if ours.netloc.lower() == authority.lower():
            after += rb"(?!" + re.escape(ours.path.encode()) + _AFTER + rb")"
            instead = _NOWHERE
        base = upstream.rstrip("/").encode()
        return cls(
            public=public.rstrip("/").encode(),
            upstream=base,
            base=re.compile(re.escape(base) + _AFTER),
            authority=authority.encode(),
            shown=shown,
            address=re.compile(_BEFORE + rb"(?:" + forms + rb")" + after, re.IGNORECASE),
            instead=instead.encode(),
            own_base=re.compile(re.escape(public.rstrip("/").encode()) + _AFTER),
            own_address=re.compile(
                rb"\A(https?://)" + re.escape(instead.encode()) + _AFTER + _OWN_PATHS
            ),
        )

    def json(self, raw: bytes) -> bytes:
        """JSON text (valid UTF-8) that names this server only. Raises UpstreamFault (502) for
        what is no JSON."""
        # One byte is looked for six times faster than two; most resources have no escape at all.
        if b"\\" in raw and (b"\\/" in raw or b"\\u00" in raw):
            raw = _string_literal(_plain_literal, raw)
        return self._renamed(self._replaced(raw))

    def text(self, text: str) -> str:
        """One string out of a resource, as `json` would leave it."""
        return self._renamed(self._replaced(text.encode())).decode()

    def url(self, text: str) -> str:
        """One URL or reference. Raises UpstreamFault (502) for what is no plain ASCII."""
        return self._renamed(self._replaced(_visible(text))).decode()

    def back(self, text: str) -> str:
        """A string of an app's as the upstream knows it: the reverse of what it is shown.

        Below the FHIR base that is certain. Another URL on this server's host goes back where it
        is all of the string, as an identifier's system is; one within a text may mean what it says.
        """
        raw = text.encode()
        if self.instead not in raw and self.public not in raw:
            return text
        raw = self.own_base.sub(lambda _: self.upstream, raw)
        return self.own_address.sub(lambda found: found[1] + self.authority, raw).decode()

    def headers(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The upstream's headers worth passing on; all others (Server, Set-Cookie) are dropped,
        and with them those that name its host in another way than by a URL below its base, or
        another host: a server may know itself by an address of its own."""
        kept = []
        for name, value in headers:
            lower = name.lower()
            if lower not in _KEPT and lower not in _URLS:
                continue
            shown = _visible(value)
            shown = self._replaced(shown) if lower in _URLS else shown
            is_ours = lower in _KEPT or b"//" not in shown or shown.startswith(self.public + b"/")
            if is_ours and self._renamed(shown) == shown:
                kept.append((lower, shown.decode()))
        return kept

    def _replaced(self, raw: bytes) -> bytes:
        return self.base.sub(lambda _: self.public, raw) if self.upstream in raw else raw

    def _renamed(self, raw: bytes) -> bytes:
        # The plain look for the host is fast; only where it is found does its surrounding count.
        lower = raw.lower()
        for form in self.shown:
            if form in lower:
                return self.address.sub(self._instead_of, raw)
        return raw

    def _instead_of(self, found: re.Match[bytes]) -> bytes:
        """In a URL within a URL the host is escaped; so is what stands for it."""
        return quote(self.instead, safe="").encode() if b"%" in found[0] else self.instead


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
