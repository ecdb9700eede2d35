"""The real demo as a process, and the Lab Results App served a second time from another origin."""

import base64
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from django.utils import timezone

from authfi.accounts.mfa import totp
from smart.demo.lab_results_app import FOLDER, TYPES
from tests.services import clean_environment, die_with_parent, free_port

START_SECONDS = 60
STATIC = Path("static").resolve()

REGISTER = """
import sys
import django
django.setup()
from authfi.lib import tenancy
from smart.demo import cast
from smart.server.register import register_application
from tenants import directory
origin = sys.argv[1]
tenant = directory.find("general-hospital")
with tenancy.bind(tenant.ref):
    register_application(
        client_id="second-lab", name="Second Lab App", client_type="public",
        redirect_uris=[f"{origin}/demo/lab-results/"],
        launch_uris=[f"{origin}/demo/lab-results/launch.html?clientId=second-lab"],
        scopes=cast.LAB_RESULTS.scopes, grant_types=["authorization_code"],
        allowed_origins=[origin], in_development=True)
"""


@dataclass
class Account:
    """A person of the demo; `code()` gives codes that were not used yet."""

    email: str
    password: str
    secret: str | None
    last_step: int = -1

    def code(self) -> str:
        """A code; waits when the present step and the one after were used up."""
        step = max(totp.step_at(timezone.now()), self.last_step + 1)
        while step > totp.step_at(timezone.now()) + 1:
            time.sleep(0.2)
        self.last_step = step
        return totp._code(base64.b32decode(self.secret or ""), step)


@dataclass
class Demo:
    """A running demo and the origin of the second app."""

    port: int
    folder: Path
    second_origin: str
    accounts: dict[str, Account] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def hospital(self) -> str:
        return f"{self.origin}/t/general-hospital"

    @cached_property
    def env(self) -> dict[str, str]:
        """What a shell beside it has set."""
        return clean_environment() | {
            "PORT": str(self.port),
            "DATA_DIR": str(self.folder),
            "DJANGO_SETTINGS_MODULE": "authfi.settings",
        }

    def run(self, *arguments: str) -> str:
        """What a Python program prints that runs beside the demo."""
        done = subprocess.run(
            [sys.executable, *arguments], env=self.env, capture_output=True, text=True, check=True
        )
        return done.stdout


@contextmanager
def served(demo: Demo) -> Iterator[None]:
    """`manage.py serve --demo` until the block ends."""
    log = demo.folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--demo"],
            env=demo.env,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )
        try:
            wait_for(process, log)
            yield
        finally:
            process.terminate()
            process.wait(30)


def wait_for(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when the demo has printed its table. Raises AssertionError with its last words."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if b"Ctrl-C stops it" in log.read_bytes():
            return
        time.sleep(0.05)
    raise AssertionError(f"the demo did not start:\n{log.read_text()[-3000:]}")


@contextmanager
def second_origin(fhir_origin: str, port: int) -> Iterator[None]:
    """The app's folder and the static files it names, on another port, under a strict policy."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src {fhir_origin}; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = file_of(urlsplit(self.path).path)
            self.send_response(200 if file else 404)
            self.send_header("Content-Security-Policy", policy)
            self.send_header("Content-Type", TYPES[file.suffix] if file else "text/plain")
            self.end_headers()
            self.wfile.write(file.read_bytes() if file else b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def file_of(path: str) -> Path | None:
    """The file behind a URL path of the second origin."""
    for prefix, folder in (("/demo/lab-results/", FOLDER), ("/static/", STATIC)):
        if path.startswith(prefix):
            name = path.removeprefix(prefix) or "index.html"
            file = (folder / name).resolve()
            return file if file.is_relative_to(folder) and file.is_file() else None
    return None


def new_demo(folder: Path) -> Demo:
    """A demo that is not started yet."""
    return Demo(free_port(), folder, f"http://localhost:{free_port()}")
