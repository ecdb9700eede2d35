"""Throw-away PostgreSQL and Redis on free loopback ports, gone when the block or command ends.

By hand: `python -m tests.services` starts them and prints the environment until Ctrl-C;
`python -m tests.services run [--durable] -- COMMAND` runs a command in that environment.
"""

import argparse
import ctypes
import os
import pwd
import random
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import psycopg
import redis
from psycopg import sql

from tests.packages import Programs, programs

START_SECONDS = 60
STOP_SECONDS = 20
PR_SET_PDEATHSIG = 1
SETTINGS = Path(__file__).resolve().parents[1] / "authfi" / "settings.py"
# Nothing here outlives the run, so nothing needs to reach the disk.
FORGETFUL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True)
class Home:
    """Where the servers keep their files, and as whom they run (None: as ourselves)."""

    path: Path
    account: pwd.struct_passwd | None

    def folder(self, name: str) -> Path:
        """A new folder that only the servers' account enters."""
        folder = self.path / name
        folder.mkdir(mode=0o700)
        if self.account:
            os.chown(folder, self.account.pw_uid, self.account.pw_gid)
        return folder

    def as_account(self) -> dict[str, Any]:
        """Arguments of `subprocess` that switch to the servers' account."""
        if self.account is None:
            return {}
        return {
            "user": self.account.pw_uid,
            "group": self.account.pw_gid,
            "extra_groups": [],
        }


@contextmanager
def new_home() -> Iterator[Home]:
    """A temporary folder. PostgreSQL refuses to run as root, so root runs servers as nobody."""
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    # Not TMPDIR for root: its folders are often closed to everyone else.
    path = Path(tempfile.mkdtemp(prefix="authfi-tests-", dir="/tmp" if account else None))  # noqa: S108
    path.chmod(0o711)
    try:
        yield Home(path, account)
    finally:
        shutil.rmtree(path)


def free_port() -> int:
    """A free loopback port below the range that outgoing connections take theirs from."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def die_with_parent() -> None:
    """Ask Linux to interrupt this process when its parent is gone, however that came about."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


@contextmanager
def server(
    home: Home, name: str, command: list[str], ready: Callable[[], object]
) -> Iterator[None]:
    """Run a server in a session of its own (Ctrl-C is ours to handle) until the block ends.

    Raises RuntimeError with the server's last words when it does not come up.
    """
    log = home.path / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
            preexec_fn=die_with_parent,
            **home.as_account(),
        )
    try:
        wait_until_ready(process, name, log, ready)
        yield
    finally:
        stop(process)


def wait_until_ready(
    process: subprocess.Popen[bytes], name: str, log: Path, ready: Callable[[], object]
) -> None:
    """Try until the server answers. Raises RuntimeError."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            ready()
        except (psycopg.OperationalError, redis.ConnectionError):
            time.sleep(0.05)
        else:
            return
    words = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{name} did not start:\n{words}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a server (for PostgreSQL: the fast shutdown), kill it if it will not go."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def postgres(found: Programs, home: Home, *, durable: bool) -> Iterator[dict[str, str]]:
    """PostgreSQL with the two roles and the database of an installation; yields their URLs."""
    folder, port, password = home.folder("postgres"), free_port(), secrets.token_hex(16)
    pwfile = folder / "password"
    pwfile.write_text(password)
    if home.account:
        os.chown(pwfile, home.account.pw_uid, home.account.pw_gid)
    data = folder / "data"
    subprocess.run(
        [found.postgres / "initdb", "--pgdata", data, "--username=postgres", "--no-sync",
         "--auth=scram-sha-256", f"--pwfile={pwfile}", "--encoding=UTF8", "--locale=C"],
        check=True, cwd="/", stdout=subprocess.DEVNULL, **home.as_account(),
    )  # fmt: skip
    settings = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=",
                "max_connections=200", *(() if durable else FORGETFUL)]  # fmt: skip
    command = [str(found.postgres / "postgres"), "-D", str(data)]
    command += [part for setting in settings for part in ("-c", setting)]
    address = f"127.0.0.1:{port}"
    superuser = f"postgresql://postgres:{password}@{address}/postgres"
    with server(home, "postgres", command, lambda: psycopg.connect(superuser).close()):
        owner, app = create_roles(superuser)
        yield {
            "DATABASE_URL": f"postgres://authfi_app:{app}@{address}/authfi",
            "DATABASE_OWNER_URL": f"postgres://authfi_owner:{owner}@{address}/authfi",
        }


def create_roles(superuser: str) -> tuple[str, str]:
    """What an administrator prepares for an installation; returns both roles' passwords.

    The owner migrates and makes further roles. Neither role passes row-level security.
    """
    owner, app = secrets.token_hex(16), secrets.token_hex(16)
    with psycopg.connect(superuser, autocommit=True) as connection:
        role = "CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS {} PASSWORD {}"
        for name, rights, password in (
            ("authfi_owner", "CREATEROLE", owner),
            ("authfi_app", "NOCREATEROLE", app),
        ):
            parts = (sql.Identifier(name), sql.SQL(rights), sql.Literal(password))
            connection.execute(sql.SQL(role).format(*parts))
        connection.execute("CREATE DATABASE authfi OWNER authfi_owner")
    return owner, app


@contextmanager
def redis_server(found: Programs, home: Home) -> Iterator[dict[str, str]]:
    """Redis that keeps nothing; yields its URL. The password also tells it from a stranger's."""
    port, folder, password = free_port(), home.folder("redis"), secrets.token_hex(16)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    command = [str(found.redis), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no", "--requirepass", password]
    with server(home, "redis", command, lambda: redis.Redis.from_url(url).ping()):
        yield {"REDIS_URL": url}


@contextmanager
def services(*, durable: bool = False) -> Iterator[dict[str, str]]:
    """Start both servers; yields the variables that the tests and settings read.

    AUTHFI_MODE, DATA_DIR (an empty folder), CHROMIUM, DATABASE_URL, DATABASE_OWNER_URL, REDIS_URL.
    `durable` keeps PostgreSQL's writes safe on disk, as in production: for measuring.
    """
    found = programs()
    with new_home() as home:
        data = home.path / "data"
        data.mkdir(mode=0o700)
        with postgres(found, home, durable=durable) as database, redis_server(found, home) as cache:
            yield {
                "AUTHFI_MODE": "test",
                "DATA_DIR": str(data),
                "CHROMIUM": str(found.chromium),
                **database,
                **cache,
            }


def settings_read() -> set[str]:
    """The variables that the settings read, each also as NAME_FILE."""
    calls = r'(?:\benv\.\w+|\b_database)\(\s*"([A-Z_]+)"'
    names = set(re.findall(calls, SETTINGS.read_text()))
    return names | {f"{name}_FILE" for name in names}


def clean_environment() -> dict[str, str]:
    """Our own environment without settings that someone exported for another AuthFI."""
    foreign = settings_read()
    return {name: value for name, value in os.environ.items() if name not in foreign}


def end_on_signal() -> None:
    """Let a polite end (make, a closed terminal) run the clean-up, as Ctrl-C does."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def finish(child: subprocess.Popen[bytes]) -> int:
    """Wait for a child; when we are told to end, give it time to end first. Returns its status.

    Ctrl-C reaches the whole foreground group, so an interrupted child is already on its way.
    """
    try:
        return child.wait()
    except BaseException as reason:
        if isinstance(reason, SystemExit):
            child.send_signal(signal.SIGINT)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise


def main() -> int:
    """Command line, see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    commands = parser.add_subparsers(dest="verb")
    run = commands.add_parser("run", help="run a command with the services")
    run.add_argument("--durable", action="store_true", help="keep writes safe, as in production")
    run.add_argument("command", nargs="+")
    options = parser.parse_args()
    end_on_signal()
    try:
        with services(durable=options.verb == "run" and options.durable) as variables:
            if options.verb == "run":
                return finish(
                    subprocess.Popen(options.command, env=clean_environment() | variables)
                )
            for name, value in variables.items():
                sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
            sys.stdout.flush()
            # Not signal.pause(): a signal that comes just before it would go unnoticed.
            while True:
                time.sleep(0.2)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
