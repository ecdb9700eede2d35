"""`python -m tests.bench.audit`: how fast the audit trail is written and verified (D7).

Two processes with 32 callers each, every caller waiting for the commit of its own event before it
records the next; on one tenant's chain and on a thousand. The calibration beside it calls the
database's function with ready-made rows, nothing else. Needs a durable PostgreSQL:
`python -m tests.services run --durable -- python -m tests.bench.audit`.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import django

PROCESSES, CALLERS = 2, 32
SCENARIOS = ("tasks", "threads", "function")


@dataclass(frozen=True)
class Run:
    """One process's share of a scenario."""

    events: int
    seconds: float
    cpu_seconds: float
    waits: list[float]


def measure(seconds: float) -> dict[str, dict[str, float]]:
    """Every scenario over one and over a thousand tenants, then verification of the longest chain.

    Needs Django set up and the database migrated.
    """
    figures = {}
    for count, name in ((1, "one_tenant"), (1000, "1000_tenants")):
        tenants = make_tenants(count)
        for scenario in SCENARIOS:
            figures[f"audit_{scenario}_{name}"] = race(scenario, tenants, seconds)
        if count == 1:
            figures["audit_verify"] = verification(tenants[0])
    return figures


def make_tenants(count: int) -> list[UUID]:
    """Tenants as the trail knows them: an id, with data keys."""
    from authfi.crypto import keyring
    from authfi.lib import tenancy

    made = [tenancy.TenantRef(id=uuid4(), slug=f"bench-{number}") for number in range(count)]
    for tenant in made:
        with tenancy.bind(tenant):
            keyring.create()
    return [tenant.id for tenant in made]


def race(scenario: str, tenants: Sequence[UUID], seconds: float) -> dict[str, float]:
    """All processes at once; they start together when each has its keys in memory."""
    command = [sys.executable, "-m", "tests.bench.audit", "--work", scenario, str(seconds)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for process in running:
        say(process, json.dumps([str(tenant) for tenant in tenants]))
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    before = database_cpu()
    for process in running:
        say(process, "go")
    runs = [Run(**json.loads(process.communicate()[0])) for process in running]
    return summary(runs, database_cpu() - before)


def say(process: "subprocess.Popen[str]", line: str) -> None:
    """A line into a process."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def summary(runs: Sequence[Run], database_seconds: float) -> dict[str, float]:
    """Figures of all processes together."""
    events = sum(run.events for run in runs)
    waits = sorted(wait for run in runs for wait in run.waits)
    return {
        "events_per_second": round(sum(run.events / run.seconds for run in runs)),
        "python_cpu_us": round(sum(run.cpu_seconds for run in runs) / events * 1e6, 1),
        "database_cpu_us": round(database_seconds / events * 1e6, 1),
        "p50_ms": round(waits[len(waits) // 2] * 1000, 2),
        "p99_ms": round(waits[int(len(waits) * 0.99)] * 1000, 2),
    }


def database_cpu() -> float:
    """CPU seconds of our PostgreSQL so far: the server and all it started."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
    stats = {
        int(path.parent.name): stat
        for path in Path("/proc").glob("[0-9]*/stat")
        if (stat := _stat(path))
    }
    server = stats[backend][0]
    used = sum(ticks for pid, (parent, ticks) in stats.items() if server in {pid, parent})
    return used / os.sysconf("SC_CLK_TCK")


def _stat(path: Path) -> tuple[int, int] | None:
    """Parent of a process, and clock ticks used by it and its ended children."""
    try:
        fields = path.read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return int(fields[1]), sum(map(int, fields[11:15]))


def verification(tenant_id: UUID) -> dict[str, float]:
    """A full verification, the reading included."""
    from audit import verify
    from authfi.lib import tenancy

    began = time.perf_counter()
    found = verify.verify(tenancy.TenantRef(id=tenant_id, slug="bench"))
    seconds = time.perf_counter() - began
    assert found.broken is None, found
    return {"events": found.count, "events_per_second": round(found.count / seconds)}


def lines(figures: dict[str, dict[str, float]]) -> str:
    """The figures for people."""
    return "".join(f"{name:28} {json.dumps(figure)}\n" for name, figure in figures.items())


def work(scenario: str, seconds: float) -> None:
    """One process of a race."""
    from authfi.lib import tenancy

    tenants = [
        tenancy.TenantRef(id=UUID(text), slug=text) for text in json.loads(sys.stdin.readline())
    ]
    prepare(tenants)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    waits: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    events = WORK[scenario](turns(tenants), began + seconds, waits)
    run = Run(events, time.perf_counter() - began, time.process_time() - cpu, waits)
    sys.stdout.write(json.dumps(run.__dict__))


def prepare(tenants: Sequence[Any]) -> None:
    """Read every tenant's keys, and open the writer's connection."""
    from audit import record
    from authfi.lib import tenancy

    for tenant in tenants:
        with tenancy.bind(tenant):
            record._prepare((an_event(0),))
    record.record_for(tenants[0], an_event(0))


def turns(tenants: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Tenant after tenant, each with an event about another of 500 patients."""
    events = cycle([an_event(number) for number in range(500)])
    start = os.getpid() % len(tenants)
    return zip(cycle([*tenants[start:], *tenants[:start]]), events, strict=True)


def an_event(number: int) -> Any:
    """What the gateway records of a search."""
    from audit.events import Actor, Code, Event, Outcome

    return Event(
        code=Code.FHIR_SEARCH_ALLOW,
        outcome=Outcome.SUCCESS,
        actor=Actor.person(UUID(int=number % 50), roles=("doctor",), aal=2),
        client_id="growth-chart",
        patient=f"patient-{number}",
        object="Observation",
        rule="scope_covers",
        details={
            "scopes": ["patient/Observation.rs", "patient/Patient.rs"],
            "jti": "0190f3c2-4b1e-7d1e-9b1e-3c1f2f0a9b11",
            "query": "patient=Patient/789&category=laboratory&_count=20",
        },
    )


def by_tasks(turn: Iterator[tuple[Any, Any]], end: float, waits: list[float]) -> int:
    """Callers as the gateway has them: tasks of one loop, which writes their events itself."""
    from audit import loop_writer, record
    from authfi.lib import tenancy

    async def caller() -> int:
        done = 0
        while (began := time.perf_counter()) < end:
            tenant, event = next(turn)
            with tenancy.bind(tenant):
                await record.arecord(event)
            waits.append(time.perf_counter() - began)
            done += 1
        return done

    async def everyone() -> int:
        loop_writer.start()
        try:
            return sum(await asyncio.gather(*(caller() for _ in range(CALLERS))))
        finally:
            loop_writer.stop()

    return asyncio.run(everyone())


def by_threads(turn: Iterator[tuple[Any, Any]], end: float, waits: list[float]) -> int:
    """Callers as pages have them: threads."""
    from audit import record

    counts, lock = [], threading.Lock()

    def caller() -> None:
        done = 0
        while (began := time.perf_counter()) < end:
            with lock:
                tenant, event = next(turn)
            record.record_for(tenant, event)
            waits.append(time.perf_counter() - began)
            done += 1
        counts.append(done)

    threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def by_function(turn: Iterator[tuple[Any, Any]], end: float, waits: list[float]) -> int:
    """The calibration: as many rows as there are callers in each call of the function."""
    from audit import chain, record
    from authfi.lib import tenancy

    made = []
    for _ in range(2000):
        tenant, event = next(turn)
        with tenancy.bind(tenant):
            made += record._prepare((event,))
    rows, done, own = cycle(made), 0, chain.own_connection()
    while (began := time.perf_counter()) < end:
        chain.append_and_commit(own, [next(rows) for _ in range(CALLERS)])
        waits.append(time.perf_counter() - began)
        done += CALLERS
    own.close()
    return done


WORK = {"tasks": by_tasks, "threads": by_threads, "function": by_function}


def main() -> None:
    """Measure, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="of each scenario (default 5)")
    parser.add_argument("--work", nargs=2, metavar=("SCENARIO", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "authfi.settings"
    django.setup()
    if options.work:
        work(options.work[0], float(options.work[1]))
        return
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    sys.stdout.write(lines(measure(options.seconds)))


if __name__ == "__main__":
    main()
