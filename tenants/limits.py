"""Limits per minute, shared by all processes and paid for in blocks (V1, ERRS-06; D1, D18).

What is used in a minute is a row (`Allowance`). A process takes a block of a limit with one
statement and then counts in memory, so that nearly no request costs a round trip. Of a limit a
process may hold back less than one block that another process could have used.
"""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from uuid import UUID, uuid4

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from audit import events, record
from authfi.crypto import keyring
from authfi.lib import database, tenancy
from tenants import policies
from tenants.models import Allowance

WINDOW_SECONDS = 60
#: A block is this part of a limit.
BLOCKS = 20
_REMEMBERED = 100_000
_KEPT_WINDOWS = 2

#: Names of limits, as in settings.LIMITS; what each counts by is its caller's choice.
SIGN_IN_FAILURES = "sign_in_failures"
TOKEN = "token"
INTROSPECTION = "introspection"
GATEWAY = "gateway"
REFUSALS = "refusals"

_Key = tuple[UUID, str, str]


@dataclass(slots=True)
class _Lease:
    """What this process may still use of a limit in the present window."""

    left: int
    is_told: bool = False


_leases: dict[_Key, _Lease] = {}
_window = 0
_lock = threading.Lock()


def take(limit: str, key: str) -> int:
    """Use one of the bound tenant's limit for that key: 0, or the seconds until there is more."""
    waiting = take_leased(limit, key)
    return _lease(limit, key, taken=1) if waiting is None else waiting


async def atake(limit: str, key: str) -> int:
    """`take` for async code: without a thread as long as the block lasts."""
    waiting = take_leased(limit, key)
    if waiting is None:
        waiting = await database.run(tenancy.current(), _lease, limit, key, taken=1)
    return waiting


def take_leased(limit: str, key: str) -> int | None:
    """`take` where this process has an answer in memory, else None."""
    lease = _leased(limit, key)
    if lease is None:
        return None
    with _lock:
        if lease.left > 0:
            lease.left -= 1
            return 0
        return None if lease.left == 0 else _until_next()


def waiting(limit: str, key: str) -> int:
    """The seconds until there is more of a limit; 0 where some is left. Uses none of it."""
    lease = _leased(limit, key)
    if lease is not None and lease.left > 0:
        return 0
    if lease is not None and lease.left < 0:
        return _until_next()
    return _lease(limit, key, taken=0)


def tell_once(limit: str, key: str) -> None:
    """Record that a limit is used up: once in each window, process and key, however many ask."""
    lease = _leased(limit, key)
    if lease is None or lease.is_told:
        return
    lease.is_told = True
    record.record(
        events.Event(
            code=events.Code.AUDIT_ANOMALY,
            outcome=events.Outcome.DENIED,
            actor=events.Actor.anonymous(),
            reason=f"throttled: {limit}",
            details={"limit": settings.LIMITS[limit], "key": key},
        )
    )


def is_trusted(address: str) -> bool:
    """Is it in a network that the tenant trusts not to guess passwords (D18)?"""
    networks = policies.sign_in().trusted_networks
    return bool(networks) and _is_in(address, tuple(networks))


@lru_cache(maxsize=10_000)
def network_of(address: str) -> str:
    """Whom an address stands for: itself, or the /64 that one IPv6 subscriber has."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))
    return str(parsed)


def forget() -> None:
    """Drop what this process has leased."""
    with _lock:
        _leases.clear()


@lru_cache(maxsize=1_000)
def _is_in(address: str, networks: tuple[str, ...]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in ip_network(network) for network in networks)


def _leased(limit: str, key: str) -> _Lease | None:
    global _window
    window = int(time.time()) // WINDOW_SECONDS
    if window != _window or len(_leases) > _REMEMBERED:
        with _lock:
            _leases.clear()
            _window = window
    return _leases.get((tenancy.current().id, limit, key))


def _until_next() -> int:
    return WINDOW_SECONDS - int(time.time()) % WINDOW_SECONDS


def _lease(limit: str, key: str, *, taken: int) -> int:
    """Take a block for this process, and `taken` of it at once; 0 or the seconds to wait."""
    allowed: int = settings.LIMITS[limit]
    block = max(1, allowed // BLOCKS)
    window = int(time.time()) // WINDOW_SECONDS
    granted = block - max(0, _use(limit, key, window, block) - allowed)
    left = granted - taken if granted > 0 else -1
    with _lock:
        former = _leases.get((tenancy.current().id, limit, key))
        is_told = former.is_told if former else False
        if former and former.left > 0 and left >= 0:
            left += former.left
        _leases[tenancy.current().id, limit, key] = _Lease(left, is_told)
    return 0 if granted > 0 else _until_next()


_TABLE = Allowance._meta.db_table
_USE = (
    f'INSERT INTO {_TABLE} (id, tenant_id, key, "window", used, expires_at) '  # noqa: S608
    "VALUES (%s, %s, %s, %s, %s, %s) "
    f'ON CONFLICT (tenant_id, key, "window") DO UPDATE SET used = {_TABLE}.used + excluded.used '
    "RETURNING used"
)


def _use(limit: str, key: str, window: int, amount: int) -> int:
    """Note that much as used; returns what has been used in the window by all."""
    connection = connections[DEFAULT_DB_ALIAS]
    field = {field.name: field for field in Allowance._meta.concrete_fields}
    ends_at = datetime.fromtimestamp((window + _KEPT_WINDOWS) * WINDOW_SECONDS, UTC)
    values = {
        "id": uuid4(),
        "tenant_id": tenancy.current().id,
        "key": f"{limit}:{keyring.digest(f'limit.{limit}', key)}",
        "window": window,
        "used": amount,
        "expires_at": ends_at,
    }
    parameters = [field[name].get_db_prep_save(value, connection) for name, value in values.items()]
    with connection.cursor() as cursor:
        cursor.execute(_USE, parameters)
        [used] = cursor.fetchone()
    return int(used)
