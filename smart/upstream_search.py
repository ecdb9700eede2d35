"""Searching a tenant's FHIR server page by page (FHIR R4 3.1.1.5; ehr-connectors 7).

For pages of ours and for evidence, not for the gateway, which judges what apps ask.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from authfi.lib.egress import Kind
from authfi.lib.outbound import Limits, Response
from smart import upstream
from smart.upstream import Upstream, UpstreamError

LIMITS: Final = Limits(total_seconds=5, read_seconds=5, max_bytes=8 * 1024 * 1024)

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Resources of the type asked for, and the query of the next page, where there is one.

    `following` is path and query below the base.
    """

    resources: list[Resource]
    following: tuple[str, str] | None


async def page(server: Upstream, resource_type: str, params: Sequence[tuple[str, str]]) -> Page:
    """The first page of a search. Raises UpstreamError."""
    return await further(server, resource_type, (resource_type, urlencode(params)))


async def further(server: Upstream, resource_type: str, following: tuple[str, str]) -> Page:
    """The page that `following` names. Raises UpstreamError."""
    path, query = following
    asking = upstream.request(server, "GET", path, query, limits=LIMITS)
    async with await asking as stream:
        answer = Response(stream.status, stream.headers, await stream.read())
    bundle = upstream.document(answer)
    entries = bundle.get("entry", [])
    if bundle.get("resourceType") != "Bundle" or not isinstance(entries, list):
        raise UpstreamError(Kind.BAD_ANSWER, "The FHIR server did not answer with a Bundle.")
    found = [entry.get("resource") for entry in entries if isinstance(entry, dict)]
    return Page(
        [
            one
            for one in found
            if isinstance(one, dict) and one.get("resourceType") == resource_type
        ],
        _next(bundle, server, path),
    )


async def pages(
    server: Upstream, resource_type: str, params: Sequence[tuple[str, str]], *, most: int
) -> AsyncIterator[Page]:
    """Page after page, `most` at most; the last one says whether there is more.

    Raises UpstreamError.
    """
    found = await page(server, resource_type, params)
    yield found
    for _ in range(most - 1):
        if found.following is None:
            return
        found = await further(server, resource_type, found.following)
        yield found


def at_base(url: str, own_url: str, base: str, path: str) -> str:
    """A link of an answer, below the base that the server was asked at.

    A server behind a proxy may know itself by another address (HAPI's `server_address`). It shows
    in the answer's `self` link, `own_url`, which ends with the path that was asked for.
    """
    own = own_url.partition("?")[0].rstrip("/").removesuffix("/_search")
    stated = own.removesuffix(path).rstrip("/")
    rest = url.removeprefix(stated)
    if not own.endswith(path) or "://" not in stated or rest == url or rest[:1] not in ("/", "?"):
        return url
    return base + rest


def _next(bundle: Resource, server: Upstream, path: str) -> tuple[str, str] | None:
    """Where the next page is; only below the server's own base (SSRF). Raises UpstreamError."""
    links = bundle.get("link", [])
    urls = {
        link.get("relation"): str(link.get("url"))
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, dict)
    }
    if "next" not in urls:
        return None
    return below(server, at_base(urls["next"], urls.get("self", ""), server.base_url, path))


def below(server: Upstream, url: object) -> tuple[str, str]:
    """Path and query of a URL below the server's base. Raises UpstreamError for any other."""
    text = url if isinstance(url, str) else ""
    rest = text.removeprefix(server.base_url)
    if rest == text or rest[:1] not in ("/", "?") or not text.isprintable() or ".." in rest:
        raise UpstreamError(Kind.BAD_ANSWER, "The FHIR server's next page is somewhere else.")
    path, _, query = rest.removeprefix("/").partition("?")
    return path, query
