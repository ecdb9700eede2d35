"""The whole suite: once on SQLite as an embedded installation, once on PostgreSQL and Redis.

`python -m tests.run [pytest arguments]`; `make test` calls it. Ends with pytest's closing lines.
"""

import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass

from tests.services import clean_environment, die_with_parent, end_on_signal, services

# Pure code and the project's own tools know no database: the run on SQLite covers them.
ONCE = ("tests/scopes", "tests/policy", "tests/sandbox", "tests/project")
ONLY_SERVERS = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
NOTHING_COLLECTED = 5


@dataclass(frozen=True)
class Pass:
    """One run of pytest: its name, what it selects, and whether it has the servers."""

    name: str
    left_out: str
    select: tuple[str, ...]
    has_servers: bool


PASSES = (
    Pass(
        "PostgreSQL",
        " (the browser, and what knows no database, run once: in the pass on SQLite)",
        ("-m", "not browser", *(f"--ignore={folder}" for folder in ONCE)),
        has_servers=True,
    ),
    Pass(
        "SQLite",
        " (its deselected tests need roles, policies and partitions, and ran on PostgreSQL)",
        ("-m", "not postgres"),
        has_servers=False,
    ),
)


def pytest_command(select: tuple[str, ...], arguments: list[str]) -> list[str]:
    """One pytest run on both cores; a file stays together, so that it starts one browser."""
    colour = "yes" if sys.stdout.isatty() else "auto"
    command = [sys.executable, "-m", "pytest", f"--color={colour}", "-n", "2", "--dist", "loadfile"]
    return [*command, *select, *arguments]


def run_pass(suite: Pass, variables: dict[str, str], arguments: list[str]) -> tuple[int, str]:
    """Run one pass, showing its output as it comes; returns its status and closing line."""
    chosen = {
        name: value
        for name, value in variables.items()
        if suite.has_servers or name not in ONLY_SERVERS
    }
    env = clean_environment() | chosen | {"PYTHONUNBUFFERED": "1"}
    sys.stdout.write(f"\n{suite.name}{suite.left_out}\n")
    sys.stdout.flush()
    command = pytest_command(suite.select, arguments)
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, preexec_fn=die_with_parent
    ) as child:
        try:
            closing = show(child)
        except (KeyboardInterrupt, SystemExit) as reason:
            # Ctrl-C reached pytest too; any other signal only us. Let it take its tests down.
            if isinstance(reason, SystemExit):
                child.send_signal(signal.SIGINT)
            show(child)
            raise
    return child.returncode, closing


def show(child: subprocess.Popen[bytes]) -> str:
    """Copy a child's output to ours as it comes, until it ends; returns the last line.

    Its end, not the pipe's: a process that a test left behind may hold the pipe open.
    """
    assert child.stdout is not None
    pipe, tail = child.stdout.fileno(), b""
    while True:
        readable, _, _ = select.select([pipe], [], [], 0.5)
        chunk = os.read(pipe, 65536) if readable else b""
        if not chunk and (readable or child.poll() is not None):
            return tail.decode(errors="replace").rstrip("\n").rpartition("\n")[2]
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
        tail = (tail + chunk)[-2000:]


def verdict(statuses: list[int], *, narrowed: bool) -> int:
    """The exit status: the first failure's.

    A pass without tests fails too, unless arguments narrowed the suite and another pass ran some.
    """
    empty_is_fine = narrowed and any(status != NOTHING_COLLECTED for status in statuses)
    fine = {0, NOTHING_COLLECTED} if empty_is_fine else {0}
    return next((status for status in statuses if status not in fine), 0)


def main(arguments: list[str]) -> int:
    """Run every pass, then repeat the closing line of each. Returns the exit status."""
    end_on_signal()
    try:
        with services() as variables:
            results = [run_pass(suite, variables, arguments) for suite in PASSES]
    except KeyboardInterrupt:
        return 130
    sys.stdout.write("\n")
    for suite, (_, closing) in zip(PASSES, results, strict=True):
        sys.stdout.write(f"{suite.name}\n{closing}\n")
    return verdict([status for status, _ in results], narrowed=bool(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
