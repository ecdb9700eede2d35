"""`python -m tests.bench.profile code_exchange`: where a request's time goes in our own code.

Runs the ASGI application in this process, without a server, under cProfile, its loop as well as
its database work. Needs what `tests.bench` needs.
"""

import argparse
import asyncio
import base64
import cProfile
import json
import os
import pstats
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlencode

import django

from tests.bench import forms, ours, processes, records
from tests.services import free_port

Make = Callable[[], tuple[str, str, str]]


def main() -> None:
    """Print the functions that take the most time."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description=__doc__)
    parser.add_argument("scenario", choices=sorted(_scenarios(None, [])))
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--lines", type=int, default=60)
    parser.add_argument("--sort", default="tottime")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="authfi-bench-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        records.write(folder / "records")
        os.environ |= ours.environment(folder, free_port())
        django.setup()
        with processes.static_upstream(folder / "upstream", folder / "records") as behind:
            prepared = ours.prepare(folder, behind, options.requests + 20)
            profiles = asyncio.run(_profiled(prepared, options.scenario, options.requests))
    stats = pstats.Stats(*(one for one in profiles if one.getstats()))
    stats.sort_stats(options.sort).print_stats(options.lines)


def _scenarios(prepared: Any, tokens: list[str]) -> dict[str, Make]:
    """Method, path and query, and form of each request."""
    at = f"/t/{prepared.slug}" if prepared else ""
    codes = iter(prepared.codes if prepared else ())
    return {
        "gateway_read": lambda: ("GET", f"{at}/fhir/Observation/1", ""),
        "discovery": lambda: ("GET", f"{at}/.well-known/openid-configuration", ""),
        "code_exchange": lambda: ("POST", f"{at}/oauth/token", _exchange(next(codes))),
        "refresh": lambda: ("POST", f"{at}/oauth/token", _refresh(tokens.pop(0))),
        "introspection": lambda: (
            "POST",
            f"{at}/oauth/introspect",
            urlencode({"token": prepared.token}),
        ),
    }


def _exchange(code: str) -> str:
    return urlencode(
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": forms.REDIRECT_URI,
            "code_verifier": forms.VERIFIER,
        }
    )


def _refresh(token: str) -> str:
    return urlencode({"grant_type": "refresh_token", "refresh_token": token})


async def _profiled(prepared: Any, name: str, requests: int) -> list[cProfile.Profile]:
    from audit import loop_writer
    from authfi.asgi import application
    from authfi.lib import database, outbound

    tokens: list[str] = []
    made = _scenarios(prepared, tokens)
    if name == "refresh":
        answer = json.loads(await _ask(application, prepared, *made["code_exchange"]()))
        tokens.append(answer["refresh_token"])

    async def one() -> None:
        body = await _ask(application, prepared, *made[name]())
        if name == "refresh":
            tokens.append(json.loads(body)["refresh_token"])

    loop_writer.start()
    for _ in range(10):
        await one()
    # CPU time, not waiting: the same for a busy machine as for a quiet one.
    loop, thread = cProfile.Profile(time.thread_time), cProfile.Profile(time.thread_time)
    with mock.patch.object(database, "_executor", _Profiled(thread)):
        await one()
        thread.clear()
        loop.enable()
        for _ in range(requests):
            await one()
        loop.disable()
    loop_writer.stop()
    await outbound.close()
    return [loop, thread]


class _Profiled(ThreadPoolExecutor):
    """One thread, whose work is profiled."""

    def __init__(self, profile: cProfile.Profile) -> None:
        super().__init__(1)
        self._profile = profile

    def submit(self, work: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        """Run it later."""
        return super().submit(self._profile.runcall, work, *args)


async def _ask(application: Any, prepared: Any, method: str, path: str, form: str) -> bytes:
    is_fhir = "/fhir/" in path
    basic = base64.b64encode(f"{forms.CLIENT_ID}:{prepared.secret}".encode()).decode()
    credential = f"Bearer {prepared.token}" if is_fhir else f"Basic {basic}"
    headers = {
        **forms.FORWARDED,
        "Authorization": credential,
        "Content-Type": "application/x-www-form-urlencoded" if form else "",
        "User-Agent": "bench",
    }
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "scheme": "http",
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [(n.lower().encode(), v.encode()) for n, v in headers.items() if v],
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": form.encode(), "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
    body = b"".join(one.get("body", b"") for one in sent[1:])
    assert sent[0]["status"] == 200, body
    return body


if __name__ == "__main__":
    main()
