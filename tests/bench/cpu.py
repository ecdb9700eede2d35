"""CPU time of servers that run now: each process of a tree by its own clock, to the nanosecond."""

import time
from collections.abc import Callable
from pathlib import Path

#: Gives the CPU seconds that a server has used so far.
Clock = Callable[[], float]
# A process's CPU clock, as Linux numbers them (clock_getcpuclockid(3)).
_CPUCLOCK_SCHED = 2


def of_tree(root: int) -> Clock:
    """The clock of a process and all its children, of all their threads, user and system time.

    The children are looked up at each call, so that none is forgotten.
    """
    return lambda: sum(_used(pid) for pid in _tree(root))


def postgres_root(port: int) -> int:
    """The server process that listens there: this run's, whoever else runs one.

    Raises LookupError.
    """
    for path in Path("/proc").glob("[0-9]*"):
        words = _words(path)
        if f"port={port}" in words and Path(words[0]).name == "postgres":
            return int(path.name)
    raise LookupError(f"no PostgreSQL of ours on port {port}")


def _used(pid: int) -> float:
    try:
        return time.clock_gettime(((~pid) << 3) | _CPUCLOCK_SCHED)
    except OSError:  # it has ended
        return 0.0


def _tree(root: int) -> set[int]:
    parents = {int(p.name): parent for p in Path("/proc").glob("[0-9]*") if (parent := _parent(p))}
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return tree


def _parent(path: Path) -> int | None:
    try:
        text = (path / "stat").read_text()
    except OSError:
        return None
    return int(text.rpartition(") ")[2].split()[1])


def _words(path: Path) -> list[str]:
    try:
        return (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return [""]
