"""Clients that ask a web process at the same moment, and the account drawn up when it was killed.

A process is armed for the first call of a step after one whole round of clients was answered. In
the next round all clients are under way at once; the first to reach the step ends all of them, so
that what is stored then is exact.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from audit import verify
from audit.models import AuditEvent
from authfi.lib import tenancy
from authfi.lib.tenancy import TenantRef
from tests.web_process import Web, send

CLIENTS = 6


@dataclass(frozen=True)
class Request:
    """One request of one client."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def at_once(web: Web, requests: Sequence[Request]) -> list[tuple[int, bytes] | None]:
    """Status and body for each, sent together on connections of their own; None: no answer."""
    ready = threading.Barrier(len(requests))

    def ask(request: Request) -> tuple[int, bytes] | None:
        connection = web.connect()
        connection.connect()
        ready.wait(30)
        try:
            return send(connection, request.method, request.path, request.headers, request.body)
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(ask, requests))


def events(tenant: TenantRef, *codes: str) -> list[dict[str, Any]]:
    """The details of the tenant's events of these codes, in their order."""
    with tenancy.bind(tenant):
        found = AuditEvent.objects.filter(code__in=codes).order_by("seq")
        return [dict(event.details) for event in found]


def told_once(tenant: TenantRef, name: str, *codes: str) -> set[str]:
    """That detail of the events of these codes, after none was found twice."""
    counted = Counter(str(details[name]) for details in events(tenant, *codes))
    assert set(counted.values()) <= {1}, counted
    return set(counted)


def trail_is_whole(tenant: TenantRef) -> None:
    """Every link of the tenant's chain holds."""
    found = verify.verify(tenant)
    assert found.broken is None
    assert found.count
