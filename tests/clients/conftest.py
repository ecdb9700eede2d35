"""One running demo for all clients, and apps registered by the command."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.clients.person import Person
from tests.demo_server import Account, Demo, new_demo, served

Register = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Iterator[Demo]:
    """The demo of `manage.py serve --demo`."""
    running = new_demo(tmp_path_factory.mktemp("demo"))
    with served(running):
        info = json.loads(running.run("manage.py", "demo_info", "--json"))
        for user in info["tenants"][0]["users"]:
            running.accounts[user["email"]] = Account(
                user["email"], user["password"], user["totp_secret"]
            )
        yield running


@pytest.fixture
def doctor(demo) -> Person:
    """Dr. Smith."""
    return Person(demo.accounts["dr.smith@hospital.com"])


@pytest.fixture
def patient(demo) -> Person:
    """John Doe."""
    return Person(demo.accounts["john.doe@email.com"])


@pytest.fixture
def register(demo) -> Register:
    """`register_app` beside the running demo; returns what it printed."""

    def registered(**members: Any) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "manage.py", "register_app", "general-hospital", "-"],
            env=demo.env,
            input=json.dumps(members),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return registered
