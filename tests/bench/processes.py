"""The servers of a run, each a process of its own on a free loopback port."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.packages import nginx
from tests.services import die_with_parent, free_port

START_SECONDS = 60
STOP_SECONDS = 20

_NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ }}
    default_type application/fhir+json;
    {body}
}}
"""
_FILES = """
    server {{
        listen 127.0.0.1:{port};
        root {root};
        location = /fhir/Observation {{ try_files /fhir/search.json =404; }}
    }}
"""
_PROXY = """
    upstream behind {{ server 127.0.0.1:{behind}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
"""


@contextmanager
def running(
    command: list[str], port: int, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """A server for as long as the block lasts; yields its process id once it listens."""
    env = os.environ | dict(environment or {})
    process = subprocess.Popen(command, env=env, preexec_fn=die_with_parent)
    try:
        _wait_for(port, process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


@contextmanager
def static_upstream(folder: Path, root: Path) -> Iterator[int]:
    """nginx that serves the files below `root` as a FHIR server's answers; yields its port."""
    port = free_port()
    with running(_nginx(folder, _FILES.format(port=port, root=root)), port):
        yield port


@contextmanager
def proxy(folder: Path, behind: int) -> Iterator[tuple[int, int]]:
    """nginx with `proxy_pass` and nothing else; yields process id and port."""
    port = free_port()
    with running(_nginx(folder, _PROXY.format(port=port, behind=behind)), port) as pid:
        yield pid, port


def granian(interface: str, port: int, target: str, workers: int, *options: str) -> list[str]:
    """The command line of the application server."""
    return [
        *(sys.executable, "-m", "granian", f"--interface={interface}", f"--port={port}"),
        *(f"--workers={workers}", "--no-access-log", "--log-level=warning", *options, target),
    ]


def _nginx(folder: Path, body: str) -> list[str]:
    folder.mkdir(parents=True)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, body=body))
    return [str(nginx()), "-p", str(folder), "-c", str(config), "-e", "stderr"]


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Raises TimeoutError."""
    deadline = time.monotonic() + START_SECONDS
    while not _listens(port):
        if time.monotonic() > deadline or process.poll() is not None:
            raise TimeoutError("a server did not start")
        time.sleep(0.1)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
