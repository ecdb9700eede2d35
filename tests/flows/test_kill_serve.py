"""`manage.py serve` goes on answering when its web worker or its web server is killed (V9, D1)."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.flows.killing import trail_is_whole
from tests.flows.test_kill_tokens import Shop, refresh_tokens
from tests.server.conftest import an_app, connect
from tests.services import die_with_parent, free_port
from tests.web_process import START_SECONDS, Web, children_of, send, wait_until_it_answers

CALLERS = 4


@pytest.fixture(scope="module")
def served(database: None) -> Iterator[Web]:
    """The production command, on the database of this test run."""
    port = free_port()
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "authfi.settings", "PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "serve"], env=env, preexec_fn=die_with_parent
    )
    try:
        wait_until_it_answers(port, process)
        yield Web(port, process)
    finally:
        process.terminate()
        process.wait(30)


class Load:
    """Callers that ask for a tenant's keys over and over; how often each was served."""

    def __init__(self, web: Web, path: str) -> None:
        self.web, self.path = web, path
        self.changed = threading.Condition()
        self.stopped = False
        self.served = [0] * CALLERS
        self.failed = 0
        self.others: set[int] = set()
        self.threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(CALLERS)]

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped = True
        for thread in self.threads:
            thread.join(30)

    def until_served_again(self) -> None:
        """Return when each caller was served 10 times more, whatever failed meanwhile."""
        with self.changed:
            wanted = [number + 10 for number in self.served]
            assert self.changed.wait_for(
                lambda: all(now >= then for now, then in zip(self.served, wanted, strict=True)),
                START_SECONDS,
            )

    def kill(self, pid: int) -> None:
        """`kill -9`; return when a caller has lost its connection."""
        with self.changed:
            before = self.failed
            os.kill(pid, signal.SIGKILL)
            assert self.changed.wait_for(lambda: self.failed > before, START_SECONDS)

    def _ask(self, number: int) -> None:
        connection = self.web.connect()
        while not self.stopped:
            try:
                status, _ = send(connection, "GET", self.path)
            except (OSError, HTTPException):
                connection.close()
                with self.changed:
                    self.failed += 1
                    self.changed.notify_all()
                    self.changed.wait(0.1)  # leave the machine to what starts again
                continue
            self.others |= {status} - {200}
            with self.changed:
                self.served[number] += 1
                self.changed.notify_all()
        connection.close()


def web_server_of(serve: Web) -> int:
    """The process id of the web server that `serve` keeps running."""
    (found,) = [
        pid
        for pid in children_of(serve.process.pid)
        if b"granian" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return found


@pytest.mark.spec("V9", "D1")
def test_the_service_goes_on_when_a_worker_or_the_web_server_is_killed(mercy, pat, served):
    connect(mercy)
    shop = Shop(an_app(mercy, grant_types=["authorization_code", "refresh_token"]), pat)
    raws = [shop.family()[1] for _ in range(CALLERS)]
    with Load(served, f"/t/{mercy.slug}/.well-known/jwks.json") as load:
        load.until_served_again()
        raws = refresh_tokens(shop.refresh(served, raws))
        (worker,) = children_of(web_server_of(served))
        for victim in (worker, web_server_of(served)):
            load.kill(victim)
            load.until_served_again()
            raws = refresh_tokens(shop.refresh(served, raws))
        assert children_of(web_server_of(served)) != [worker]
    assert not load.others
    trail_is_whole(mercy)
