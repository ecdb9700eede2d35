"""The slim lane: token, introspection, keys, discovery without Django's handler (design D15).

It serves the very views that the URL patterns name, by the same functions and with the same
headers. What it does not know (another host, plain HTTP in production, a tenant that is not
there) it leaves to Django, which answers as ever.
"""

import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

import orjson
from csp.utils import build_policy
from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.urls import URLPattern

from authfi.lib import database, requestinfo, tenancy
from authfi.lib.bodies import Application
from smart.server import origin_urls, urls
from smart.server.documents import DocumentView, unless_known
from smart.server.endpoint import (
    JSON,
    MAX_BODY_BYTES,
    NO_STORE,
    FormView,
    Reply,
    ToAskError,
)
from tenants import directory
from tenants.middleware import client_ip, is_trusted_proxy
from tenants.models import Tenant

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
View = FormView | DocumentView
#: Tenant, method, query, headers and body of a form.
_Asked = tuple[tenancy.TenantRef, str, str, Mapping[str, str], bytes | None]

#: How many headers a request may have, and how long they may be together (V3).
MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 16 * 1024

log = logging.getLogger(__name__)

_SLUG: Final = "([a-z0-9-]{1,63})"
_tenant_path = re.compile(rf"/t/{_SLUG}/(.+)").fullmatch


def _views(patterns: Iterable[Any]) -> Iterator[tuple[str, View]]:
    """The routes of the URL patterns that this lane can carry."""
    for pattern in patterns:
        if isinstance(pattern, URLPattern) and isinstance(pattern.callback, View):
            yield str(pattern.pattern), pattern.callback


_of_tenant: Final[dict[str, View]] = dict(_views(urls.urlpatterns))
_of_origin: Final = [
    (re.compile("/" + re.escape(route).replace(re.escape("<slug:slug>"), _SLUG)), view)
    for route, view in _views(origin_urls.urlpatterns)
]


class Headers(Mapping[str, str]):
    """Request headers by any spelling of their names; repeated ones make one list."""

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        found: dict[bytes, bytes] = {}
        for name, value in raw:  # in lower case already, says ASGI
            found[name] = b"%b,%b" % (found[name], value) if name in found else value
        self._found = found

    def get(self, name: str, default: Any = None) -> Any:
        """Without the exception that a Mapping's own takes for what is not there."""
        value = self._found.get(_name(name))
        return default if value is None else value.decode("latin-1")

    def __getitem__(self, name: str) -> str:
        return self._found[_name(name)].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._found)

    def __len__(self) -> int:
        return len(self._found)


@lru_cache(maxsize=64)
def _name(name: str) -> bytes:
    return name.lower().encode("latin-1")


def lane_before(django: Application) -> Application:
    """The lane, and behind it Django for everything else."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        found = _find(scope["path"])
        if found is None:
            await django(scope, receive, send)
            return
        slug, view = found
        headers = Headers(scope["headers"])
        tenant = None
        if _is_plain(scope, headers):
            tenant = directory.peek(slug) or await database.run(None, directory.find, slug)
        if tenant is None or tenant.state != Tenant.State.ACTIVE:
            await django(scope, receive, send)
            return
        await _serve(view, tenant, headers, scope, receive, send)

    return application


def _find(path: str) -> tuple[str, View] | None:
    """Slug and view of a path."""
    if match := _tenant_path(path):
        view = _of_tenant.get(match[2])
        return (match[1], view) if view else None
    if path.startswith("/.well-known/"):
        for route, view in _of_origin:
            if match := route.fullmatch(path):
                return match[1], view
    return None


def _is_plain(scope: Scope, headers: Headers) -> bool:
    """False for what Django's middleware would refuse or redirect (K8, D1)."""
    if not _is_our_host(headers.get("host", "")):
        return False
    if not settings.SECURE_SSL_REDIRECT or scope["scheme"] == "https":
        return True
    peer = (scope.get("client") or ("",))[0]
    return headers.get("x-forwarded-proto") == "https" and is_trusted_proxy(peer)


@lru_cache(maxsize=64)
def _is_our_host(host: str) -> bool:
    domain, _ = split_domain_port(host)
    if settings.DEMO and domain in ("127.0.0.1", "[::1]"):
        return False  # the demo leads these to localhost
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


async def _serve(
    view: View, tenant: Tenant, headers: Headers, scope: Scope, receive: Receive, send: Send
) -> None:
    request_id = secrets.token_hex(8)
    method = scope["method"]
    reply: Reply | None
    if _is_too_long(scope["headers"]):
        reply = _error(431, "invalid_request", "The request has too many or too long headers.")
    elif isinstance(view, DocumentView):
        is_get = method in ("GET", "HEAD")
        reply = view.remembered(tenant.id) if is_get else None
        reply = reply or await _by_thread(
            tenant, view.reply, tenant, method, headers.get("origin", "")
        )
        reply = unless_known(reply, headers.get("if-none-match", ""))
    else:
        reply = await _form(view, tenant, headers, scope, receive, request_id)
    if reply is not None:
        await _send(send, reply, request_id, is_head=method == "HEAD")


async def _form(
    view: FormView,
    tenant: Tenant,
    headers: Headers,
    scope: Scope,
    receive: Receive,
    request_id: str,
) -> Reply | None:
    """None where the client went away before it had sent its form."""
    try:
        body = await _body(receive)
    except ConnectionAbortedError:
        return None
    info = requestinfo.RequestInfo(
        request_id=request_id,
        ip=client_ip((scope.get("client") or ("",))[0], headers.get("x-forwarded-for", "")),
        user_agent=headers.get("user-agent", "")[:200],
    )
    query = scope.get("query_string", b"").decode("latin-1")
    asked = tenant.ref, scope["method"], query, headers, body
    with requestinfo.serving(info):
        return await _from_memory(view, asked) or await _by_thread_or_asking(view, tenant, asked)


async def _from_memory(view: FormView, asked: _Asked) -> Reply | None:
    """An answer that takes no thread."""
    try:
        with tenancy.bind(asked[0]):
            return await view.from_memory(*asked)
    except Exception:
        log.exception("a machine endpoint failed")
        return _failure()


async def _by_thread_or_asking(view: FormView, tenant: Tenant, asked: _Asked) -> Reply:
    """A thread serves it; where another server has to be asked first, none waits for that."""
    try:
        return await _by_thread(tenant, view.reply, *asked)
    except ToAskError as missing:
        told = await missing.ask()
        return await _by_thread(tenant, view.reply, *asked, told=told)


async def _by_thread(
    tenant: Tenant, work: Callable[..., Reply], *args: Any, **options: Any
) -> Reply:
    """One thread hop for all that a request asks of the database (D15). Raises ToAskError."""
    try:
        return await database.run(tenant.ref, work, *args, **options)
    except ToAskError:
        raise
    except Exception:  # the lane answers whatever happens, and says nothing of what did
        log.exception("a machine endpoint failed")
        return _failure()


async def _body(receive: Receive) -> bytes | None:
    """The whole body, None where it is too long. Raises ConnectionAbortedError."""
    message = await receive()
    if message["type"] != "http.request":
        raise ConnectionAbortedError
    body = bytes(message.get("body", b""))
    while message.get("more_body", False):
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionAbortedError
        if len(body) <= MAX_BODY_BYTES:
            body += message.get("body", b"")
    return body if len(body) <= MAX_BODY_BYTES else None


def _is_too_long(headers: list[tuple[bytes, bytes]]) -> bool:
    if len(headers) > MAX_HEADERS:
        return True
    return sum([len(name) + len(value) for name, value in headers]) > MAX_HEADER_BYTES


def _failure() -> Reply:
    return _error(500, "server_error", "The server failed; try again later.")


def _error(status: int, error: str, description: str) -> Reply:
    body = orjson.dumps({"error": error, "error_description": description})
    return Reply(status, {"Content-Type": JSON, **NO_STORE}, body)


@lru_cache(maxsize=1)
def _common() -> tuple[tuple[bytes, bytes], ...]:
    """What Django's middleware sets on every answer (K8, V6)."""
    texts = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
        "Cross-Origin-Opener-Policy": settings.SECURE_CROSS_ORIGIN_OPENER_POLICY,
        "X-Frame-Options": settings.X_FRAME_OPTIONS,
        "Content-Security-Policy": build_policy(),
    }
    if settings.SECURE_HSTS_SECONDS:
        hsts = f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains; preload"
        texts["Strict-Transport-Security"] = hsts
    return tuple((name.lower().encode(), value.encode()) for name, value in texts.items())


@lru_cache(maxsize=1024)
def _encoded(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[bytes, bytes], ...]:
    """An answer's own headers and the common ones: nearly all answers have the same few sets."""
    own = ((name.lower().encode(), value.encode("latin-1")) for name, value in headers)
    return (*own, *_common())


async def _send(send: Send, reply: Reply, request_id: str, *, is_head: bool) -> None:
    headers = [*_encoded(tuple(reply.headers.items())), (b"x-request-id", request_id.encode())]
    if reply.status not in (204, 304):  # RFC 9110 8.6
        headers.append((b"content-length", b"%d" % len(reply.body)))
    with suppress(OSError):  # the client has gone
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if is_head else reply.body})
