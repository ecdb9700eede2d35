"""The public documents: JSON for every origin, cached for minutes (CACH-03).

A process keeps the bytes of each for a few seconds, so that the slim lane answers without asking
anybody; a change made by this process is seen at once.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar, Final
from uuid import UUID

import orjson
from django.http import HttpRequest, HttpResponse

from authfi.crypto import signing
from authfi.lib.tenancy import TenantRef, bind
from authfi.lib.ttl import Ttl
from smart import activation, cors
from smart.server import discovery
from smart.server.endpoint import JSON, Reply
from smart.server.jwks import jwks as key_set
from tenants import directory
from tenants.models import Tenant

MAX_AGE_SECONDS: Final = 300
CACHE_SECONDS: Final = 3.0

Document = Callable[[TenantRef], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class _Made:
    """A document and what it was made from: as long as that is in memory, nothing has changed."""

    reply: Reply
    sources: tuple[float, float]


_made: Final[Ttl[tuple[UUID, Document], _Made]] = Ttl(CACHE_SECONDS)


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document where it is served: a Django view, and what the slim lane looks for (D15)."""

    document: Document

    csrf_exempt: ClassVar = True

    def __call__(self, request: HttpRequest, slug: str = "") -> HttpResponse:
        """Django's adapter; `slug` where the URL is outside the tenant's own."""
        tenant = directory.find(slug) if slug else getattr(request, "tenant", None)
        reply = self.reply(tenant, request.method or "", request.headers.get("Origin", ""))
        reply = unless_known(reply, request.headers.get("If-None-Match", ""))
        return HttpResponse(reply.body, status=reply.status, headers=dict(reply.headers))

    def reply(self, tenant: Tenant | None, method: str, origin: str) -> Reply:
        """The same bytes for all who ask, whatever they accept (DISC-02)."""
        if method == "OPTIONS":
            return Reply(204, cors.preflight_headers(origin, cors.ANY), b"")
        if method not in ("GET", "HEAD"):
            allowed = {"Allow": "GET, HEAD, OPTIONS"}
            return _json({"error": "only GET is served here"}, 405, allowed)
        if tenant is None or tenant.state != Tenant.State.ACTIVE:
            return _absent()
        return self.remembered(tenant.id) or self._remember(tenant.ref)

    def remembered(self, tenant_id: UUID) -> Reply | None:
        """The answer to a GET, from memory alone."""
        hit = _made.get((tenant_id, self.document))
        if hit is None or hit.value.sources != _sources(tenant_id):
            return None
        return hit.value.reply

    def _remember(self, tenant: TenantRef) -> Reply:
        asked_at = time.monotonic()
        with bind(tenant):
            activation.module()
            signing.keys()
            sources = _sources(tenant.id)
            found = self.document(tenant)
        if found is None:
            return _absent()
        reply = _cacheable(found)
        if all(sources):  # else one changed meanwhile
            _made.put((tenant.id, self.document), _Made(reply, sources), asked_at)
        return reply


def _sources(tenant_id: UUID) -> tuple[float, float]:
    """When the module and the keys were read, 0 for what has to be read again."""
    return activation.remembered_at(tenant_id), signing.cached_at(tenant_id)


def unless_known(reply: Reply, if_none_match: str) -> Reply:
    """304 where who asks has these bytes already (RFC 9110 13.1.2)."""
    if not if_none_match or reply.status != 200:
        return reply
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    is_known = reply.headers["ETag"] in known or "*" in known
    return Reply(304, reply.headers, b"") if is_known else reply


def _cacheable(body: Mapping[str, Any]) -> Reply:
    reply = _json(body, 200, {"Cache-Control": f"public, max-age={MAX_AGE_SECONDS}"})
    tag = f'"{sha256(reply.body).hexdigest()[:32]}"'
    return Reply(200, {**reply.headers, "ETag": tag}, reply.body)


def _absent() -> Reply:
    return _json({"error": "there is no such document here"}, 404, {})


def _json(body: Mapping[str, Any], status: int, headers: Mapping[str, str]) -> Reply:
    known = {"Content-Type": JSON, **cors.cors_headers("", cors.ANY)}
    return Reply(status, {**known, **headers}, orjson.dumps(body))


smart_configuration = DocumentView(discovery.smart_configuration)
openid_configuration = DocumentView(discovery.openid_configuration)
jwks = DocumentView(key_set)
oauth_metadata = DocumentView(discovery.oauth_metadata)
protected_resource = DocumentView(discovery.protected_resource)
