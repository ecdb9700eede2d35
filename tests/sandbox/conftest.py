"""A sandbox server as a real process, and stores with synthetic or hand-made content."""

import http.client
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from smart.sandbox.generate import SEEDS, generate
from smart.sandbox.store import Store

ANCHOR = date(2026, 11, 1)
START_SECONDS = 30


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    def ids(self, mode: str = "match") -> list[str]:
        """`Type/id` of the entries of a searchset."""
        return [
            f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
            for entry in self.json.get("entry", [])
            if entry["search"]["mode"] == mode
        ]

    def link(self, relation: str) -> str | None:
        return next((x["url"] for x in self.json["link"] if x["relation"] == relation), None)


@dataclass(frozen=True)
class Sandbox:
    """A running server and who may talk to it."""

    process: subprocess.Popen[bytes]
    port: int
    bearer: str

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/fhir"

    def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Reply:
        """One request to a path, with exactly these headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        reply = Reply(response.status, names, response.read())
        connection.close()
        return reply

    def call(self, method: str, path: str, resource: Any = None, **headers: str) -> Reply:
        """One request on the FHIR base with the right bearer; `path` starts at the base."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        names["Authorization"] = f"Bearer {self.bearer}"
        if resource is not None:
            names["Content-Type"] = "application/fhir+json"
        body = b"" if resource is None else json.dumps(resource).encode()
        return self.send(method, f"/fhir{path}", body, names)

    def search(self, resource_type: str, *pairs: tuple[str, str], **headers: str) -> Reply:
        query = f"?{urlencode(pairs)}" if pairs else ""
        return self.call("GET", f"/{resource_type}{query}", **headers)

    def follow(self, url: str) -> Reply:
        """An absolute link of the server's own."""
        assert url.startswith(self.base)
        return self.call("GET", url.removeprefix(self.base))


@contextmanager
def running(database: Path, *arguments: str) -> Iterator[Sandbox]:
    """Start a server on a free port, wait for its credentials, end it."""
    credentials = database.with_suffix(".credentials.json")
    command = [sys.executable, "-m", "smart.sandbox.server", "--db", str(database)]
    command += ["--port", "0", "--credentials", str(credentials), *arguments]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    try:
        deadline = time.monotonic() + START_SECONDS
        while not credentials.exists():
            assert process.poll() is None, "the server ended at once"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        content = json.loads(credentials.read_bytes())
        yield Sandbox(process, content["port"], content["bearer"])
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def hospital():
    return generate("general-hospital", ANCHOR)


@pytest.fixture(scope="session")
def clinic():
    return generate("lakeside-clinic", ANCHOR)


@pytest.fixture(params=SEEDS)
def people(request, hospital, clinic):
    """The resources of each seed in turn."""
    return {"general-hospital": hospital, "lakeside-clinic": clinic}[request.param]


@pytest.fixture(scope="session")
def hospital_file(hospital, tmp_path_factory):
    """A database seeded once; copy it before use."""
    path = tmp_path_factory.mktemp("seeded") / "hospital.sqlite3"
    store = Store(path)
    store.load(hospital, {"seed": "general-hospital"})
    store.close()
    return path


@pytest.fixture(scope="module")
def sandbox(hospital_file, tmp_path_factory):
    """A running server with the general hospital's data, one per test module."""
    database = tmp_path_factory.mktemp("sandbox") / "hospital.sqlite3"
    shutil.copy(hospital_file, database)
    with running(database, "--seed", "general-hospital") as server:
        yield server


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "store.sqlite3")
    yield opened
    opened.close()
