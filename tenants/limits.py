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
from authfi.lib import database, requestinfo, tenancy
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
VISITS = "visits"

#: Tenant, limit, what it is counted by, window: a clock that is set back finds its own again.
_Key = tuple[UUID, str, str, int]


@dataclass(slots=True)
class _Lease:
    """What this process may still use of a limit in one window."""

    left: int
    is_last: bool = False
    is_told: bool = False

    @property
    def is_used_up(self) -> bool:
        """Nothing is left here, nor was anything left for others to take."""
        return self.left < 0 or (self.left == 0 and self.is_last)


_leases: dict[_Key, _Lease] = {}
_window = 0
_lock = threading.Lock()


def take(limit: str, key: str) -> int:
    """Use one of the bound tenant's limit for that key: 0, or the seconds until there is more."""
    waiting = take_leased(limit, key)
    return _lease(limit, key) if waiting is None else waiting


async def atake(limit: str, key: str) -> int:
    """`take` for async code: without a thread as long as the block lasts."""
    waiting = take_leased(limit, key)
    if waiting is None:
        waiting = await database.run(tenancy.current(), _lease, limit, key)
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
        return _until_next() if lease.is_used_up else None


def waiting(limit: str, key: str) -> int:
    """The seconds until there is more of a limit that this process knows to be used up, else 0.

    Uses none of it and asks nobody: another process's last one is noticed with the next `take`.
    """
    lease = _leased(limit, key)
    return _until_next() if lease is not None and lease.is_used_up else 0


def tell_once(limit: str, key: str) -> None:
    """Record that a limit is used up: once in each window, process and key, however many ask."""
    if event := _untold(limit, key):
        record.record(event)


async def atell_once(limit: str, key: str) -> None:
    """`tell_once` for async code."""
    if event := _untold(limit, key):
        await record.arecord(event)


def count_refusal() -> int:
    """Count a refusal of the present address; the seconds to wait where there were too many.

    Each leaves an event, so that nobody can make the trail grow without bound.
    """
    return count(REFUSALS, network_of(requestinfo.current().ip))


def count_visit() -> int:
    """Count a row that a stranger of the present address leaves here; the seconds to wait.

    A session that is nobody's, or a request that waits for somebody to sign in.
    """
    address = requestinfo.current().ip
    return 0 if is_trusted(address) else count(VISITS, network_of(address))


def count(limit: str, key: str) -> int:
    """`take`, and record it where the limit is used up."""
    seconds = take(limit, key)
    if seconds:
        tell_once(limit, key)
    return seconds


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
    global _window
    with _lock:
        _leases.clear()
        _window = 0


@lru_cache(maxsize=1_000)
def _is_in(address: str, networks: tuple[str, ...]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in ip_network(network) for network in networks)


def _leased(limit: str, key: str) -> _Lease | None:
    global _window
    window = _present()
    if window > _window or len(_leases) > _REMEMBERED:
        with _lock:
            if window > _window or len(_leases) > _REMEMBERED:
                _leases.clear()
                _window = window
    return _leases.get((tenancy.current().id, limit, key, window))


def _present() -> int:
    return int(time.time()) // WINDOW_SECONDS


def _untold(limit: str, key: str) -> events.Event | None:
    lease = _leased(limit, key)
    with _lock:
        if lease is None or lease.is_told:
            return None
        lease.is_told = True
    return events.Event(
        code=events.Code.AUDIT_ANOMALY,
        outcome=events.Outcome.DENIED,
        actor=events.Actor.anonymous(),
        reason=f"throttled: {limit}",
        details={"limit": settings.LIMITS[limit], "key": key},
    )


def _until_next() -> int:
    return WINDOW_SECONDS - int(time.time()) % WINDOW_SECONDS


def _lease(limit: str, key: str) -> int:
    """Take a block for this process and one of it at once; 0 or the seconds to wait.

    The minute may be over before the statement is: then what it gave is not kept.
    """
    allowed: int = settings.LIMITS[limit]
    block = max(1, allowed // BLOCKS)
    window = _present()
    used = _use(limit, key, window, block)
    granted = block - max(0, used - allowed)
    place = (tenancy.current().id, limit, key, window)
    with _lock:
        former = _leases.get(place)
        left = granted - 1 if granted > 0 else -1
        lease = _leases[place] = _Lease(left, is_last=used >= allowed)
        if former:
            lease.is_told = former.is_told
            lease.left += max(0, former.left) if granted > 0 else 0
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
