"""Taking a request's body in, within limits (security-checklist G38, G39).

At most 5 MiB as it is sent, 20 MiB and 20 times as much once it is inflated. Every byte is held
against the process's budget, and a body that trickles in is given up.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from smart.gateway.budget import Lease
from smart.gateway.headers import Headers
from smart.gateway.outcomes import BadRequest

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
#: Reads the body of one request into memory that the lease accounts for.
ReadBody = Callable[[Lease], Awaitable[bytes]]

MAX_RAW_BYTES: Final = 5 * 1024 * 1024
MAX_BYTES: Final = 20 * 1024 * 1024
MAX_RATIO: Final = 20
SECONDS: Final = 30.0

_GZIP: Final = 16 + zlib.MAX_WBITS


async def read(receive: Receive, headers: Headers, lease: Lease) -> bytes:
    """The body, inflated. Raises BadRequest (400, 408, 413, 415), OverloadedError."""
    encoding = _encoding(headers)
    try:
        async with asyncio.timeout(SECONDS):
            raw = await _received(receive, lease)
    except TimeoutError:
        raise BadRequest(408, "timeout", "The body did not arrive in time.") from None
    return raw if encoding == "identity" else _inflated(raw, lease)


async def nothing(_: Lease) -> bytes:
    """The body of a request that has none."""
    return b""


def _encoding(headers: Headers) -> str:
    found = [
        value.decode("latin-1").strip().lower()
        for name, value in headers
        if name.lower() == b"content-encoding"
    ]
    if found in ([], ["identity"]):
        return "identity"
    if found in (["gzip"], ["x-gzip"]):
        return "gzip"
    raise BadRequest(415, "not-supported", "Send the body as it is, or with gzip.")


async def _received(receive: Receive, lease: Lease) -> bytes:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest(400, "incomplete", "The body did not arrive whole.")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_RAW_BYTES:
            raise _too_large(f"A body has at most {MAX_RAW_BYTES} bytes.")
        lease.grow_to(size)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _inflated(raw: bytes, lease: Lease) -> bytes:
    most = min(MAX_BYTES, MAX_RATIO * len(raw))
    lease.grow_to(len(raw) + most)
    stream = zlib.decompressobj(_GZIP)
    try:
        body = stream.decompress(raw, most + 1)
    except zlib.error:
        raise BadRequest(400, "invalid", "The body is not gzip.") from None
    if len(body) > most:
        raise _too_large(f"A body inflates to at most {MAX_BYTES} bytes and {MAX_RATIO} times.")
    if not stream.eof or stream.unused_data:
        raise BadRequest(400, "invalid", "The body is not one whole gzip stream.")
    return body


def _too_large(text: str) -> BadRequest:
    return BadRequest(413, "too-long", text)
