"""Request bodies of the Django lane: not longer, and not slower, than a form needs (V3).

Django reads a body whole, into a file where it is large, before a view can refuse it. Here one that
says it is too long gets a 413, and one that turns out too long or too slow is cut off: Django then
sees a client that went away.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, Protocol

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Application(Protocol):
    """An ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""


MAX_BYTES: Final = 256 * 1024
MAX_SECONDS: Final = 30.0
_GONE: Final = {"type": "http.disconnect"}
_TOO_LONG: Final = (
    b'{"error":"invalid_request","error_description":"The request body is too large."}'
)

log = logging.getLogger(__name__)


def bounded(application: Application) -> Application:
    """The application behind these limits."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if _announced(scope) > MAX_BYTES:
            headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 413, "headers": headers})
            await send({"type": "http.response.body", "body": _TOO_LONG})
        else:
            await application(scope, _limited(receive), send)

    return guarded


def _announced(scope: Scope) -> int:
    lengths = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0


def _limited(receive: Receive) -> Receive:
    """`receive` that hands over at most MAX_BYTES of a body, arriving within MAX_SECONDS."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + MAX_SECONDS
    received = 0
    is_complete = False

    async def next_message() -> MutableMapping[str, Any]:
        nonlocal received, is_complete
        if is_complete:
            return await receive()  # waits for the client to hang up, for as long as it stays
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            log.warning("a request body was too slow")
            return dict(_GONE)
        received += len(message.get("body", b""))
        if received > MAX_BYTES:
            log.warning("a request body was too long")
            return dict(_GONE)
        is_complete = not message.get("more_body", False)
        return message

    return next_message
