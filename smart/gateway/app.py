"""The FHIR gateway: an ASGI application of its own in front of Django's (design D6, D15).

One request's way: tenant, token, FHIR request, facts, decision, upstream, response gate, audit,
answer. Every step that says no says it as an OperationOutcome; no byte of a record leaves before
its event is stored (V8).
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any

from django.conf import settings

from authfi.lib import database, requestinfo, tenancy
from smart.gateway import body, outcomes, service
from smart.gateway.body import Receive
from smart.gateway.outcomes import Answer
from smart.gateway.service import Request
from tenants import directory
from tenants.middleware import client_ip
from tenants.models import Tenant

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


async def gateway(scope: Scope, receive: Receive, send: Send, *, slug: str) -> None:
    """Answer one request below `/t/{slug}/fhir`."""
    request = _request(scope, receive, slug)
    info = requestinfo.RequestInfo(
        request_id=secrets.token_hex(8),
        ip=client_ip((scope.get("client") or ("",))[0], request.header(b"x-forwarded-for")),
        user_agent=request.header(b"user-agent")[:200],
    )
    with requestinfo.serving(info):
        answer = await _answer(request, slug)
    await _send(send, answer, info.request_id, is_head=request.method == "HEAD")


async def _answer(request: Request, slug: str) -> Answer:
    try:
        tenant = directory.peek(slug) or await database.run(None, directory.find, slug)
        if tenant is None or tenant.state != Tenant.State.ACTIVE:
            return outcomes.no_such_base()
        with tenancy.bind(tenant.ref):
            return await service.respond(request, tenant)
    except Exception:  # the gateway answers whatever happens, and says nothing of what did
        log.exception("the gateway failed")
        return outcomes.unavailable()


def _request(scope: Scope, receive: Receive, slug: str) -> Request:
    """The path as it came: a decoded one could not be checked for what was encoded (G8)."""
    raw_path = scope.get("raw_path") or scope["path"].encode()
    base = f"/t/{slug}/fhir".encode()
    path = raw_path[len(base) :] if raw_path.startswith(base) else b"/" + raw_path
    headers = [(name.lower(), value) for name, value in scope["headers"]]
    return Request(
        method=scope["method"],
        path=path,
        query=scope.get("query_string", b""),
        headers=headers,
        read_body=partial(body.read, receive, headers),
    )


@lru_cache(maxsize=16)
def _hsts(seconds: int) -> bytes:
    """As on Django's pages, which this lane does not pass (K8)."""
    return f"max-age={seconds}; includeSubDomains; preload".encode()


@lru_cache(maxsize=1024)
def _encoded(name: str, value: str) -> tuple[bytes, bytes]:
    return name.encode(), value.encode("latin-1", "replace")


async def _send(send: Send, answer: Answer, request_id: str, *, is_head: bool) -> None:
    headers = [_encoded(name, value) for name, value in answer.headers]
    headers.append((b"x-request-id", request_id.encode()))
    if seconds := settings.SECURE_HSTS_SECONDS:
        headers.append((b"strict-transport-security", _hsts(seconds)))
    if answer.status != 204:  # RFC 9110 8.6
        headers.append((b"content-length", str(len(answer.body)).encode()))
    with suppress(OSError):  # the client has gone; what it was answered is in the trail
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if is_head else answer.body})
