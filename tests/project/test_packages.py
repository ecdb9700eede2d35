"""What is missing is installed where we may; elsewhere one line says how."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import packages


@dataclass
class Machine:
    """A Debian machine without Redis, and what apt-get was asked on it."""

    root: bool = True
    works: bool = True
    asked: list[list[str]] = field(default_factory=list)
    kept_down: list[bool] = field(default_factory=list)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    state = Machine()
    policy = tmp_path / "policy-rc.d"

    def find_redis():
        installed = state.works and any("install" in command for command in state.asked)
        return Path("/usr/bin/redis-server") if installed else None

    def run(command, **_options):
        state.asked.append(command)
        state.kept_down.append(policy.exists())
        if not state.works:
            raise subprocess.CalledProcessError(100, command)

    monkeypatch.setattr(packages, "POLICY", policy)
    monkeypatch.setattr(packages, "find_redis", find_redis)
    monkeypatch.setitem(packages.PACKAGES, "redis-server", find_redis)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(os, "geteuid", lambda: 0 if state.root else 1000)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return state


LINE = "sudo apt-get update && sudo apt-get install -y --no-install-recommends redis-server"


def test_root_installs_only_what_is_missing(machine):
    assert str(packages.programs().redis) == "/usr/bin/redis-server"
    update, install = machine.asked
    assert update[-1] == "update"
    assert install[-1] == "redis-server"
    assert "chromium" not in install


def test_installed_servers_are_not_started(machine):
    packages.programs()
    assert machine.kept_down == [True, True]
    assert not packages.POLICY.exists()


def test_a_policy_of_the_machine_stays(machine):
    packages.POLICY.write_text("mine")
    packages.programs()
    assert packages.POLICY.read_text() == "mine"


def test_others_are_told_the_line(machine):
    machine.root = False
    with pytest.raises(SystemExit, match=LINE) as stopped:
        packages.programs()
    assert machine.asked == []
    assert "\n" not in str(stopped.value)


def test_failed_installation_tells_the_line(machine):
    machine.works = False
    with pytest.raises(SystemExit, match=LINE):
        packages.programs()
    assert not packages.POLICY.exists()
