"""The data keys of the bound tenant, unwrapped and kept in memory only."""

import hmac
import threading
import time
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.apps import apps

from authfi.crypto import envelope, kek
from authfi.lib import tenancy

#: How long unwrapped keys stay in memory before the database is asked again, in seconds.
CACHE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class _Ring:
    data: dict[int, AESGCM]
    newest: int
    index: bytes
    loaded_at: float


_rings: dict[UUID, _Ring] = {}
_lock = threading.Lock()


class NoKeysError(RuntimeError):
    """The tenant has no keys: it was not made by `tenants.services`, or was shredded."""


def create() -> None:
    """Make the bound tenant's first data and index key."""
    tenant = tenancy.current()
    for purpose in ("data", "index"):
        wrapped = kek.provider().wrap(envelope.new_key(), _context(tenant.id, purpose, 1))
        _rows().create(number=1, purpose=purpose, wrapped=wrapped)


def seal(plaintext: bytes, table: str, column: str, row: object) -> bytes:
    """Seal a value of the bound tenant under its newest data key. Raises NoKeysError."""
    tenant, ring = _current()
    aad = envelope.place(tenant, table, column, row)
    return envelope.seal(ring.data[ring.newest], ring.newest, plaintext, aad)


def open_sealed(blob: bytes, table: str, column: str, row: object) -> bytes:
    """Open a value of the bound tenant. Raises NoKeysError, envelope.SealBrokenError."""
    tenant, ring = _current()
    number = envelope.key_number(blob)
    if number not in ring.data:
        forget(tenant)  # another process may have made it since
        tenant, ring = _current()
    key = ring.data.get(number)
    if key is None:
        raise envelope.SealBrokenError("sealed under a key this tenant does not have")
    return envelope.open_sealed(key, blob, envelope.place(tenant, table, column, row))


def blind_index(field: str, value: str) -> str:
    """Hex HMAC of a value for look-ups whatever its spelling, other in each tenant (K5)."""
    return digest(field, normalised(value))


def digest(field: str, value: str) -> str:
    """Hex HMAC of a value as it is, other in each tenant and field: for ids and secrets."""
    _, ring = _current()
    return _digest(ring.index, field, value)


def pseudonym(field: str, value: str) -> str:
    """`digest` of an id that comes again and again: the newest few are kept in memory."""
    _, ring = _current()
    return _pseudonym(ring.index, field, value)


def _digest(key: bytes, field: str, value: str) -> str:
    message = field.encode() + b"\0" + value.encode(errors="surrogatepass")
    return hmac.digest(key, message, "sha256").hex()


_pseudonym = lru_cache(maxsize=16_384)(_digest)


def normalised(value: str) -> str:
    """NFKC, case-folded, trimmed: what two spellings of one value have in common."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold()).strip()


def forget(tenant_id: UUID) -> None:
    """Drop a tenant's keys from this process's memory."""
    with _lock:
        _rings.pop(tenant_id, None)
        _pseudonym.cache_clear()


def _current() -> tuple[UUID, _Ring]:
    tenant = tenancy.current()
    ring = _rings.get(tenant.id)
    if ring is None or time.monotonic() - ring.loaded_at > CACHE_SECONDS:
        ring = _load(tenant)
        with _lock:
            _rings[tenant.id] = ring
    return tenant.id, ring


def _load(tenant: tenancy.TenantRef) -> _Ring:
    keys: dict[str, dict[int, bytes]] = {"data": {}, "index": {}}
    for row in _rows().all():
        context = _context(tenant.id, row.purpose, row.number)
        keys[row.purpose][row.number] = kek.provider().unwrap(bytes(row.wrapped), context)
    if not keys["data"] or not keys["index"]:
        raise NoKeysError(f"tenant {tenant.slug} has no data keys")
    return _Ring(
        data={number: AESGCM(key) for number, key in keys["data"].items()},
        newest=max(keys["data"]),
        index=keys["index"][max(keys["index"])],
        loaded_at=time.monotonic(),
    )


def _rows() -> Any:
    """By name: sealed fields stand on this module, and the model of the keys on sealed fields."""
    return apps.get_model("crypto", "DataKey")._default_manager


def _context(tenant_id: UUID, purpose: str, number: int) -> bytes:
    return envelope.place(tenant_id, "crypto_datakey", purpose, number)
