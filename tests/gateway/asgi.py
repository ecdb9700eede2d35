"""A client of the whole ASGI application, for requests that no proper client would send."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from authfi.asgi import application

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Reply:
    """An answer as the server would write it to the socket."""

    status: int
    raw_headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name; a name that occurs twice is an error of ours."""
        names = [name.decode().lower() for name, _ in self.raw_headers]
        assert len(set(names)) == len(names), names
        return {name.decode().lower(): value.decode() for name, value in self.raw_headers}

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def everything(self) -> bytes:
        """Headers and body: where nothing may leak."""
        lines = [b"%s: %s" % pair for pair in self.raw_headers]
        return b"\n".join([*lines, b"", self.body])

    def outcome(self, status: int, issue: str) -> str:
        """A refusal: its diagnostics, after its form was checked (RSVR-16)."""
        assert (self.status, self.json["resourceType"]) == (status, "OperationOutcome"), self.body
        assert self.headers["content-type"] == "application/fhir+json; charset=utf-8"
        assert self.headers["cache-control"] == "no-store"
        assert "Authorization" in self.headers["vary"]
        assert self.headers["x-content-type-options"] == "nosniff"
        (only,) = self.json["issue"]
        assert (only["severity"], only["code"]) == ("error", issue), only
        assert set(only) == {"severity", "code", "diagnostics"}
        return str(only["diagnostics"])

    def ids(self) -> list[str]:
        """`Type/id` of a searchset's matches."""
        assert (self.status, self.json["resourceType"]) == (200, "Bundle"), self.body
        return [
            f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
            for entry in self.json.get("entry", [])
            if entry["search"]["mode"] == "match"
        ]


def scope_of(method: str, raw_path: bytes, query: bytes, headers: Headers) -> dict[str, Any]:
    """What the server tells the application of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in headers],
        "client": ("192.0.2.7", 50000),
        "server": ("localhost", 8000),
    }


async def call(
    method: str,
    raw_path: bytes,
    query: bytes = b"",
    headers: Headers = (),
    body: bytes = b"",
) -> Reply:
    """One request, and what was answered."""
    scope = scope_of(method, raw_path, query, headers)
    waiting = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()  # the client waits for its answer
        return waiting.pop()

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await application(scope, receive, send)
    start, *rest = sent
    assert start["type"] == "http.response.start"
    return Reply(
        status=start["status"],
        raw_headers=tuple(start["headers"]),
        body=b"".join(message.get("body", b"") for message in rest),
    )
