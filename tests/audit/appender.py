"""A second process for the tests: records events in a tenant's chain from several callers.

`python -m tests.audit.appender SLUG CALLERS EVENTS [threads|tasks|changes]`. An event is named
`Observation/{process}-{caller}-{number}`, and its name is written to standard output as soon as its
caller was told that it is stored. `changes` makes a policy's version and its event together.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator

import django

django.setup()

from audit import record  # noqa: E402
from audit.events import Event  # noqa: E402
from authfi.lib import tenancy  # noqa: E402
from authfi.lib.transaction import transaction  # noqa: E402
from tenants import directory  # noqa: E402
from tenants.models import Policy  # noqa: E402
from tests.audit.conftest import a_read  # noqa: E402

TWICE = ("pat-of-mercy", "sam-of-mercy")


def events_of(name: str) -> Iterator[Event]:
    """Two events that are stored together or not at all, about two patients."""
    return (a_read(name, patient=patient) for patient in TWICE)


def told(name: str) -> None:
    """One system call: what was said before a kill is not lost."""
    os.write(1, f"Observation/{name}\n".encode())


def in_threads(work: Callable[[str], None], callers: int, count: int) -> int:
    """Run all callers; how many events were stored."""
    tenant, done = tenancy.current(), []

    def caller(number: int) -> None:
        with tenancy.bind(tenant):
            for turn in range(count):
                name = f"{os.getpid()}-{number}-{turn}"
                work(name)
                told(name)
                done.append(name)

    running = [threading.Thread(target=caller, args=(number,)) for number in range(callers)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return len(done)


def by_threads(callers: int, count: int) -> int:
    """Callers that block."""
    return in_threads(lambda name: record.record(*events_of(name)), callers, count)


def by_changes(callers: int, count: int) -> int:
    """Callers whose event belongs to a change."""

    def change(name: str) -> None:
        with transaction():
            Policy.objects.create(kind=name, version=1, document={})
            record.record(*events_of(name))

    return in_threads(change, callers, count)


def by_tasks(callers: int, count: int) -> int:
    """Callers on one event loop."""

    async def caller(number: int) -> int:
        for turn in range(count):
            name = f"{os.getpid()}-{number}-{turn}"
            await record.arecord(*events_of(name))
            told(name)
        return count

    async def everyone() -> int:
        return sum(await asyncio.gather(*map(caller, range(callers))))

    return asyncio.run(everyone())


WAYS = {"threads": by_threads, "tasks": by_tasks, "changes": by_changes}


def main(slug: str, callers: str, count: str, way: str = "threads") -> None:
    """Record, and fail loudly where a caller could not."""
    tenant = directory.find(slug)
    assert tenant is not None
    with tenancy.bind(tenant.ref):
        stored = WAYS[way](int(callers), int(count))
    sys.exit(stored != int(callers) * int(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
