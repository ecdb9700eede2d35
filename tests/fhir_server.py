"""A small FHIR server on a loopback port, and one that misbehaves."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

STATEMENT = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "software": {"name": "Fake FHIR", "version": "7"},
    "rest": [
        {
            "mode": "server",
            "resource": [
                {
                    "type": "Patient",
                    "interaction": [{"code": "read"}, {"code": "search-type"}],
                    "searchParam": [{"name": "name", "type": "string"}],
                },
                {"type": "Starship", "interaction": [{"code": "read"}]},
            ],
        }
    ],
}
JANE = {
    "resourceType": "Patient",
    "id": "456",
    "name": [
        {"use": "old", "family": "Roe", "given": ["Jane"]},
        {"use": "official", "family": "Doe", "given": ["Jane", "Mary"]},
    ],
}


@dataclass
class Answer:
    """What to send back."""

    body: object
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class FhirServer:
    """Routes by path below the base; change `routes` to make it misbehave."""

    base: str
    port: int
    routes: dict[str, Answer | Callable[[Asked], Answer]]
    asked: list[Asked] = field(default_factory=list)

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        route = self.routes.get(asked.path, Answer({"resourceType": "OperationOutcome"}, 404))
        return route if isinstance(route, Answer) else route(asked)


def ordinary_routes() -> dict[str, Answer | Callable[[Asked], Answer]]:
    """A proper R4 server with one patient."""
    return {
        "metadata": Answer(STATEMENT),
        "Patient": Answer({"resourceType": "Bundle", "total": 1, "entry": [{"resource": JANE}]}),
        "Patient/456": Answer(JANE),
    }


@contextmanager
def serve(tls: ssl.SSLContext | None = None) -> Iterator[FhirServer]:
    """A server on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            parts = urlsplit(self.path)
            answer = fhir.answer(
                Asked(
                    self.command,
                    parts.path.removeprefix("/fhir").removeprefix("/"),
                    parse_qs(parts.query),
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(length),
                )
            )
            raw = (
                answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            )
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(raw)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    Handler.do_POST = Handler.do_PUT = Handler.do_DELETE = Handler.do_GET  # type: ignore[attr-defined]

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that hang up are the point of some tests."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    port = server.server_port
    scheme = "https" if tls else "http"
    fhir = FhirServer(f"{scheme}://localhost:{port}/fhir", port, ordinary_routes())
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield fhir
    finally:
        server.shutdown()
        server.server_close()
