"""`python -m tests.bench`: every scenario of AuthFI and its peers in turn; see docs/performance.md.

Needs a durable PostgreSQL and a Redis of its own:
`python -m tests.services run --durable -- python -m tests.bench`.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import django

from tests.bench import audit, cpu, load, ours, peers, processes, records, report
from tests.services import free_port

TARGET = Path("build/bench.json")


def main() -> None:
    """Measure, print a table and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=12, help="rounds (default 12)")
    parser.add_argument("--requests", type=int, default=400, help="of a scenario in each round")
    parser.add_argument("--workers", type=int, default=1, help="web processes of each server")
    parser.add_argument("--only", default="", help="scenarios whose names hold this text")
    parser.add_argument("--audit-seconds", type=float, default=5, help="of each audit scenario")
    options = parser.parse_args()
    # nginx changes to an account that may enter no folder of ours.
    with tempfile.TemporaryDirectory(prefix="authfi-bench-", dir="/tmp") as name:
        figures = measure(Path(name), options)
        trail = audit.measure(options.audit_seconds) if options.only in "audit" else {}
    TARGET.parent.mkdir(exist_ok=True)
    said = {"figures": figures, "ratios": report.ratios(figures), "options": vars(options)}
    said["audit"] = trail
    TARGET.write_text(json.dumps(said, indent=2) + "\n")
    sys.stdout.write(report.table(figures))
    sys.stdout.write(audit.lines(trail))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Start everything in `folder`, measure, stop it."""
    folder.chmod(0o755)
    record = records.write(folder / "records")
    port = free_port()
    os.environ |= ours.environment(folder, port)
    django.setup()
    count = (options.rounds + 1) * options.requests + load.CONNECTIONS
    with (
        processes.static_upstream(folder / "upstream", folder / "records") as behind,
        processes.proxy(folder / "proxy", behind) as (proxy_pid, proxy_port),
        peers.toolkit(record, count, options.workers) as toolkit,
    ):
        prepared = ours.prepare(folder, behind, count)
        with ours.server(options.workers) as pid:
            scenarios = [
                *ours.scenarios(prepared, f"http://127.0.0.1:{port}"),
                *peers.toolkit_scenarios(toolkit),
                *peers.proxy_scenarios(proxy_port, prepared.token),
            ]
            database = urlsplit(os.environ["DATABASE_URL"]).port or 5432
            clocks = {
                "authfi": cpu.of_tree(pid),
                "dot": cpu.of_tree(toolkit.pid),
                "nginx": cpu.of_tree(proxy_pid),
                "database": cpu.of_tree(cpu.postgres_root(database)),
            }
            chosen = [one for one in scenarios if options.only in one.name]
            taken = asyncio.run(
                load.run(chosen, clocks, rounds=options.rounds, requests=options.requests)
            )
    return {name: one.figures() for name, one in taken.items()}


if __name__ == "__main__":
    main()
