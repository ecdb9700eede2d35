"""`make bench`: CPU and time of a code exchange and a gateway read, against a running server.

PostgreSQL with row-level security and durable commits, one web worker, eight connections. CPU is
what the web process and the database used, in microseconds per request. Figures go to
`build/bench.json`.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import django

CONNECTIONS = 8
REDIRECT_URI = "https://app.example/callback"
VERIFIER = "v" * 64
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Prepared:
    """What the scenarios need of the database."""

    slug: str
    codes: list[str]
    token: str


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="per scenario (default 2000)")
    requests = parser.parse_args().requests
    port = free_port()
    os.environ |= {"PORT": str(port), "DJANGO_SETTINGS_MODULE": "authfi.settings"}
    django.setup()
    with tempfile.TemporaryDirectory() as folder, sandbox(Path(folder)) as upstream:
        prepared = prepare(upstream, requests)
        with web(port) as pid:
            figures = asyncio.run(measure(prepared, port, pid))
    target = Path("build/bench.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(figures, indent=2) + "\n")
    for name, figure in figures.items():
        sys.stdout.write(f"{name:14} {json.dumps(figure)}\n")


def prepare(upstream: dict[str, Any], requests: int) -> Prepared:
    """A tenant with an app, a person, a live grant and as many codes as requests."""
    from django.core.management import call_command

    from audit.events import Actor
    from authfi.accounts.people import create_person
    from authfi.lib import tenancy
    from smart import activation, tokens
    from smart.server.register import register_application
    from tenants.http import fhir_base
    from tenants.services import create_tenant

    call_command("migrate", verbosity=0)
    tenant = create_tenant(slug=f"bench-{secrets.token_hex(4)}", name="Bench")
    with tenancy.bind(tenant):
        activation.activate(
            preset="custom",
            fhir_base=f"http://127.0.0.1:{upstream['port']}/fhir",
            auth={"mode": "static_bearer", "token": upstream["bearer"]},
            actor=Actor.system("bench"),
        )
        app, _ = register_application(
            client_id="bench",
            name="Bench",
            client_type="public",
            redirect_uris=[REDIRECT_URI],
            scopes="openid fhirUser launch/patient patient/*.rs",
            grant_types=["authorization_code"],
        )
        user = create_person(
            email="pat@bench.example", name="Pat", roles=["patient"], fhir_user="Patient/789"
        )
        grant, codes = issue_codes(app, user, requests)
        token, _ = tokens.issue(
            client_id="bench",
            subject=str(user.pk),
            scope=grant.scopes,
            audience=fhir_base(tenant),
            seconds=3600,
            grant_id=grant.pk,
            patient="789",
            fhir_user="Patient/789",
        )
    return Prepared(slug=tenant.slug, codes=codes, token=token)


def issue_codes(app: Any, user: Any, count: int) -> tuple[Any, list[str]]:
    """Codes as the authorize endpoint stores them, each with a grant of its own."""
    from django.utils import timezone

    from authfi.lib import tenancy
    from smart.models import AuthorizationCode, Grant
    from smart.models.handles import handle_digest, new_handle
    from tenants.http import fhir_base

    scopes = "openid fhirUser launch/patient patient/*.rs"
    base = fhir_base(tenancy.current())
    expires = timezone.now() + timedelta(hours=1)
    codes = [new_handle() for _ in range(count)]
    grants = Grant.objects.bulk_create(
        Grant(
            application=app,
            user=user,
            scopes=scopes,
            patient="789",
            context={"audience": base, "patient": "789", "fhir_user": "Patient/789"},
            expires_at=expires,
            auth_time=timezone.now(),
        )
        for _ in range(count + 1)
    )
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    AuthorizationCode.objects.bulk_create(
        AuthorizationCode(
            code=handle_digest("code", code),
            application=app,
            user=user,
            grant=grant,
            redirect_uri=REDIRECT_URI,
            scope=scopes,
            code_challenge=base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            code_challenge_method="S256",
            expires=expires,
        )
        for code, grant in zip(codes, grants, strict=False)
    )
    return grants[-1], codes


async def measure(prepared: Prepared, port: int, pid: int) -> dict[str, Any]:
    """Every scenario in turn, each after a short warm-up."""
    base = f"http://127.0.0.1:{port}/t/{prepared.slug}"
    codes = iter(prepared.codes)
    bearer = {"Authorization": f"Bearer {prepared.token}"}

    async def exchange(session: aiohttp.ClientSession) -> int:
        form = {
            "grant_type": "authorization_code",
            "code": next(codes),
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
            "client_id": "bench",
        }
        async with session.post(f"{base}/oauth/token", data=form) as answer:
            await answer.read()
            return answer.status

    def get(path: str) -> Callable[[aiohttp.ClientSession], Awaitable[int]]:
        async def ask(session: aiohttp.ClientSession) -> int:
            async with session.get(f"{base}{path}", headers=bearer) as answer:
                await answer.read()
                return answer.status

        return ask

    count = len(prepared.codes)
    return {
        "gateway_read": await scenario(get("/fhir/Patient/789"), count, pid),
        "gateway_search": await scenario(
            get("/fhir/Observation?category=laboratory&_count=20"), count // 4, pid
        ),
        "code_exchange": await scenario(exchange, count, pid, warm_up=min(50, count // 4)),
        "discovery": await scenario(get("/fhir/.well-known/smart-configuration"), count, pid),
    }


async def scenario(
    ask: Callable[[aiohttp.ClientSession], Awaitable[int]],
    count: int,
    pid: int,
    warm_up: int = 50,
) -> dict[str, float]:
    """Run `count` requests over eight connections; raises where one is not answered 200."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        for _ in range(warm_up):
            await ask(session)
        counted = count - warm_up
        taken: list[float] = []

        async def caller(share: int) -> None:
            for _ in range(share):
                began = time.perf_counter()
                status = await ask(session)
                taken.append(time.perf_counter() - began)
                assert status == 200, status

        cpu = cpu_seconds(pid)
        began = time.perf_counter()
        await asyncio.gather(*(caller(counted // CONNECTIONS) for _ in range(CONNECTIONS)))
        wall = time.perf_counter() - began
        cpu = {name: used - cpu[name] for name, used in cpu_seconds(pid).items()}
    taken.sort()
    return {
        "requests_per_second": round(len(taken) / wall, 1),
        "web_cpu_us": round(cpu["web"] / len(taken) * 1e6),
        "database_cpu_us": round(cpu["database"] / len(taken) * 1e6),
        "p50_ms": round(taken[len(taken) // 2] * 1000, 2),
        "p99_ms": round(taken[int(len(taken) * 0.99)] * 1000, 2),
    }


def cpu_seconds(pid: int) -> dict[str, float]:
    """CPU used so far by the web process with its children, and by the database's processes."""
    tree, database = {pid}, 0.0
    stats = {int(path.name): stat for path in Path("/proc").glob("[0-9]*") if (stat := _stat(path))}
    for child in sorted(stats):
        if stats[child][1] in tree:
            tree.add(child)
    database = sum(used for name, _, used in stats.values() if name == "postgres")
    return {"web": sum(stats[one][2] for one in tree if one in stats), "database": database}


def _stat(path: Path) -> tuple[str, int, float] | None:
    """Name, parent and CPU seconds of a process and its ended children."""
    try:
        text = (path / "stat").read_text()
    except OSError:
        return None
    name, _, rest = text.partition(" (")[2].rpartition(") ")
    fields = rest.split()
    return name, int(fields[1]), sum(map(int, fields[11:15])) / TICKS_PER_SECOND


@contextmanager
def sandbox(folder: Path) -> Iterator[dict[str, Any]]:
    """A sandbox FHIR server of its own."""
    credentials = folder / "sandbox.json"
    command = [
        *(sys.executable, "-m", "smart.sandbox.server", "--db", str(folder / "sandbox.sqlite3")),
        *("--port", "0", "--credentials", str(credentials), "--seed", "general-hospital"),
    ]
    with running(command):
        wait_for(credentials.exists)
        yield json.loads(credentials.read_text())


@contextmanager
def web(port: int) -> Iterator[int]:
    """The web process; yields its id."""
    command = [
        *(sys.executable, "-m", "granian", "--interface=asgi", f"--port={port}", "--workers=1"),
        *("--no-access-log", "--log-level=warning", "authfi.asgi:application"),
    ]
    with running(command) as process:
        wait_for(lambda: answers(port))
        yield process.pid


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as the block lasts."""
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def wait_for(is_true: Callable[[], bool], seconds: float = 60) -> None:
    """Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError("a server did not start")
        time.sleep(0.1)


def answers(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
