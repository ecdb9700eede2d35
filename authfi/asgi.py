"""The ASGI application: gateway and machine endpoints in lanes before Django's (D6, D15)."""

import gc
import os
import re
import warnings
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "authfi.settings")
# Static files are small and come from memory's page cache: reading one whole is no harm.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous")
django_application = get_asgi_application()

from audit import loop_writer  # noqa: E402 (these need the app registry)
from authfi.lib import bodies, outbound  # noqa: E402
from smart.gateway.app import gateway  # noqa: E402
from smart.server.lane import lane_before  # noqa: E402

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

# Discovery below the FHIR base is the authorization server's, not the gateway's.
_other_requests = bodies.bounded(lane_before(django_application))
_FHIR_PATH = re.compile(r"^/t/([a-z0-9-]{1,63})/fhir(?!/\.well-known/)(?:/|$)")


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand `/t/{tenant}/fhir` to the gateway, all else to the slim lane and Django behind it."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if scope["type"] != "http":
        return
    match = _FHIR_PATH.match(scope["path"])
    if match:
        await gateway(scope, receive, send, slug=match[1])
    else:
        await _other_requests(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    """Settle before the first request; close what was opened, and say so, when the server stops."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            loop_writer.start()
            _settle_memory()
        if message["type"] == "lifespan.shutdown":
            await outbound.close()
            loop_writer.stop()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _settle_memory() -> None:
    """Keep what was loaded out of the garbage collector's sight, and have it look less often.

    Requests make few cycles, while each full look through everything that Django loads costs many
    milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
