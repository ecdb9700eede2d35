"""One web process of AuthFI on this test run's database, to ask, to kill and to see die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from tests.services import die_with_parent, free_port

START_SECONDS = 60
STOP_SECONDS = 30
HOST = "localhost:8000"


@dataclass(frozen=True)
class Web:
    """A running web server and the port it listens on."""

    port: int
    process: "subprocess.Popen[bytes]"

    def connect(self) -> HTTPConnection:
        """A connection of the caller's own."""
        return HTTPConnection("127.0.0.1", self.port, timeout=30)

    def kill_workers(self) -> None:
        """`kill -9` for what answers, from outside; its parent lives."""
        for pid in children_of(self.process.pid):
            os.kill(pid, signal.SIGKILL)

    def wait_until_dead(self) -> None:
        """Return when its only worker was killed. Raises TimeoutExpired."""
        self.process.wait(STOP_SECONDS)


def children_of(pid: int) -> list[int]:
    """The processes that a process of ours has started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def send(
    connection: HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[int, bytes]:
    """Status and body of one request; the connection stays open.

    Raises OSError or HTTPException where no answer came.
    """
    connection.request(method, path, body, {"Host": HOST, **(headers or {})})
    response = connection.getresponse()
    return response.status, response.read()


@contextmanager
def web_process(at: str = "") -> Iterator[Web]:
    """A server with one worker until the block ends; `at` is where the worker dies (tests.crash).

    A worker that died is not replaced: the server ends with it.
    """
    port = free_port()
    target = "tests.crash_asgi:application" if at else "authfi.asgi:application"
    command = [
        *(sys.executable, "-m", "granian", "--interface=asgi", "--workers=1", "--no-ws"),
        *("--host=127.0.0.1", f"--port={port}", "--log-level=critical", target),
    ]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "authfi.settings", "CRASH_AT": at}
    process = subprocess.Popen(command, env=env, preexec_fn=die_with_parent)
    try:
        wait_until_it_answers(port, process)
        yield Web(port, process)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def wait_until_it_answers(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Return when the server is healthy. Raises AssertionError where it does not start."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            if send(connection, "GET", "/healthz")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise AssertionError("a web process did not start")
