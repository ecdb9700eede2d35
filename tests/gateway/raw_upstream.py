"""A FHIR server that answers any bytes at all, proper HTTP or not."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.fhir_server import STATEMENT

PATIENT = {"resourceType": "Patient", "id": "456"}
EMPTY = {"resourceType": "Bundle", "type": "searchset", "total": 0}


@dataclass
class RawServer:
    """`answer` is sent to whatever is asked; before it is set, the server is a proper one."""

    base: str
    answer: bytes | None = None
    asked: list[bytes] = field(default_factory=list)
    wait: threading.Event = field(default_factory=threading.Event)


def http(body: bytes, status: int = 200, /, **headers: str) -> bytes:
    """A complete answer; an underscore in a header's name stands for a hyphen."""
    lines = {"Content-Type": "application/fhir+json", "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Status\r\nConnection: close\r\n{head}\r\n".encode("latin-1") + body


def chunked(*chunks: bytes) -> bytes:
    """An answer whose length is not said beforehand."""
    parts = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in (*chunks, b""))
    head = "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + parts


@contextmanager
def serve() -> Iterator[RawServer]:
    """A server on a free port until the block ends."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = iter(self.rfile.readline, b"\r\n")
            raw.asked.append(b"".join(line for line in lines if line))
            if raw.answer is None:
                is_metadata = b"/metadata" in raw.asked[-1]
                self.wfile.write(http(json.dumps(STATEMENT if is_metadata else EMPTY).encode()))
            elif raw.answer == b"":
                raw.wait.wait(20)
            else:
                self.wfile.write(raw.answer)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that hang up are the point of some tests."""

    server = Server(("127.0.0.1", 0), Handler)
    raw = RawServer(f"http://127.0.0.1:{server.server_address[1]}/fhir")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield raw
    finally:
        raw.wait.set()
        server.shutdown()
        server.server_close()


def searchset(*entries, **members):
    return {"resourceType": "Bundle", "type": "searchset", "entry": list(entries), **members}


def observation(number="1", patient="456", **members):
    subject = {"reference": f"Patient/{patient}"}
    return {"resourceType": "Observation", "id": number, "subject": subject, **members}
