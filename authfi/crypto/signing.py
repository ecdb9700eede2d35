"""Signing keys of the bound tenant's issuer: made, used, published (K6, OIDC-05 to OIDC-08)."""

import json
import threading
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone
from joserfc.jwk import ECKey, KeySet, RSAKey

from authfi.crypto import jose
from authfi.crypto.models import SigningKey
from authfi.lib import tenancy

ACCESS_TOKEN_ALG = "ES256"
ID_TOKEN_ALG = "RS256"
CACHE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Keys:
    """A tenant's signing keys, parsed once."""

    active: dict[str, jose.PrivateKey]
    public: KeySet
    jwks: dict[str, list[dict[str, Any]]]
    loaded_at: float


_cache: dict[UUID, Keys] = {}
_lock = threading.Lock()


class NoSigningKeyError(RuntimeError):
    """The tenant has no active key of the algorithm."""


def create() -> None:
    """Make the bound tenant's first signing keys: ES256 for access, RS256 for ID tokens."""
    for alg in (ACCESS_TOKEN_ALG, ID_TOKEN_ALG):
        key = jose.new_key(alg)
        SigningKey(
            kid=str(key.kid),
            alg=alg,
            state=SigningKey.State.ACTIVE,
            public_jwk=key.as_dict(private=False),
            private_jwk=json.dumps(key.as_dict(private=True)),
        ).save()


def sign(alg: str, claims: dict[str, Any], typ: str = "JWT") -> str:
    """Sign with the bound tenant's active key of that algorithm. Raises NoSigningKeyError."""
    key = keys().active.get(alg)
    if key is None:
        raise NoSigningKeyError(f"no active {alg} key")
    return jose.sign(key, claims, typ)


def keys() -> Keys:
    """The bound tenant's keys, read again after a minute or `forget`."""
    tenant = tenancy.current()
    found = cached(tenant.id)
    if found is None:
        found = _load()
        with _lock:
            _cache[tenant.id] = found
    return found


def cached(tenant_id: UUID) -> Keys | None:
    """The tenant's keys if this process holds them fresh; never asks the database."""
    found = _cache.get(tenant_id)
    return found if found and time.monotonic() - found.loaded_at < CACHE_SECONDS else None


def cached_at(tenant_id: UUID) -> float:
    """When this process last read the keys, 0 where it must read them again: tells a change."""
    found = cached(tenant_id)
    return found.loaded_at if found else 0.0


def forget(tenant_id: UUID) -> None:
    """Drop a tenant's keys from this process's memory."""
    with _lock:
        _cache.pop(tenant_id, None)


def _load() -> Keys:
    in_force = Q(not_after__isnull=True) | Q(not_after__gt=timezone.now())
    rows = list(SigningKey.objects.filter(in_force).order_by("created_at", "kid"))
    active = {row.alg: _private(row) for row in rows if row.state == SigningKey.State.ACTIVE}
    public = [dict(row.public_jwk) for row in rows]
    return Keys(
        active=active,
        public=KeySet.import_key_set({"keys": public}),
        jwks={"keys": public},
        loaded_at=time.monotonic(),
    )


def _private(row: SigningKey) -> jose.PrivateKey:
    loaded = json.loads(row.private_jwk)
    return RSAKey.import_key(loaded) if row.alg.startswith("RS") else ECKey.import_key(loaded)
