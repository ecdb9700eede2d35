"""The Makefile prepares the environment once and hands over to the right program.

A stand-in interpreter notes how it is called, so that nothing is downloaded.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("demo", "test", "check", "conformance", "bench", "lock", "clean")
# `-m venv --clear DIR` makes an environment whose python is this script again.
STAND_IN = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
    "-c import ensurepip") exit "${NO_ENSUREPIP:-0}" ;;
    "-m venv --clear "*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && : > "$4/pyvenv.cfg" ;;
    "manage.py serve --demo") echo "served on $HOST:$PORT from $DATA_DIR" ;;
esac
"""


class Project:
    """A copy of what make reads, and the calls it made of the interpreter."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.calls_file = folder / "calls"
        shutil.copy(ROOT / "Makefile", folder)
        shutil.copytree(ROOT / "requirements", folder / "requirements")
        self.interpreter = folder / "stand-in"
        self.interpreter.write_text(STAND_IN)
        self.interpreter.chmod(0o755)

    def make(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run make; its calls are read with `calls`."""
        self.calls_file.write_text("")
        env = {
            "PATH": os.environ["PATH"],
            "PYTHON": str(self.interpreter),
            "CALLS": str(self.calls_file),
        }
        return subprocess.run(
            ["make", *arguments],
            cwd=self.folder, env=env | variables, capture_output=True, text=True, check=False,
        )  # fmt: skip

    @property
    def calls(self) -> list[str]:
        """How the interpreter was called, each cut to its telling end."""
        lines = self.calls_file.read_text().splitlines()
        return [line.partition("--no-compile ")[2] or line for line in lines]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_help_lists_every_command(project: Project):
    listed = [line.split()[1] for line in project.make().stdout.splitlines()]
    assert set(COMMANDS) <= set(listed)


def test_demo_prepares_once_then_only_serves(project: Project):
    serve = "manage.py serve --demo"
    first = project.make("demo")
    assert first.returncode == 0, first.stderr
    assert first.stdout.endswith("served on 127.0.0.1:8000 from .data\n")
    install = "-r requirements/base.txt"
    assert project.calls == ["-c import ensurepip", "-m venv --clear .venv", install, serve]
    project.make("demo")
    assert project.calls == [serve]


def test_demo_takes_its_settings_from_the_environment(project: Project):
    done = project.make("demo", HOST="localhost", PORT="9001", DATA_DIR="/srv/my data")
    assert done.stdout.endswith("served on localhost:9001 from /srv/my data\n")


def test_new_locks_are_installed(project: Project):
    project.make("test")
    newer = project.folder.joinpath("requirements/base.txt")
    stamp = project.folder.joinpath(".venv/.dev").stat().st_mtime
    os.utime(newer, (stamp + 10, stamp + 10))
    project.make("test")
    expected = ["-r requirements/base.txt", "-r requirements/dev.txt", "-m tests.run"]
    assert project.calls == expected


def test_arguments_reach_pytest(project: Project):
    project.make("test", "ARGS=-k 'sign in'")
    assert project.calls[-1] == "-m tests.run -k sign in"


def test_failed_installation_is_tried_again(project: Project):
    script = STAND_IN.replace(
        "case", 'case "$*" in *base.txt) test -e network || exit 1;; esac; case'
    )
    project.interpreter.write_text(script)
    assert project.make("demo").returncode != 0
    assert "manage.py serve --demo" not in project.calls
    project.folder.joinpath("network").touch()
    assert project.make("demo").returncode == 0
    assert project.calls == ["-r requirements/base.txt", "manage.py serve --demo"]


def test_unsupported_python_is_named(project: Project):
    done = project.make("demo", "PYTHON=")
    assert done.returncode != 0
    assert "Python 3.11, 3.12 or 3.13 is needed." in done.stderr


def test_ci_runs_the_same_commands():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().endswith("make check\nmake test\n")
