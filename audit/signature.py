"""The key that signs checkpoints: a file which the database's roles cannot read (A6).

Only who is about to sign makes it; to check with a new key would call every chain broken.
"""

from functools import cache
from pathlib import Path
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from joserfc.jwk import ECKey

from authfi.lib import localfiles

_ES256 = ec.ECDSA(hashes.SHA256())
_HALF = 32


def prepare() -> None:
    """Make the key where there never was one, outside production; called before signing.

    Raises ImproperlyConfigured where it is missing although checkpoints were signed with it.
    """
    path = settings.AUDIT_KEY_FILE
    if settings.PRODUCTION or path.exists():
        return
    if settings.AUDIT_ANCHOR_FILE.exists():
        raise ImproperlyConfigured(f"the audit key is missing: {path}")
    localfiles.read_or_create(path, _make)


def kid() -> str:
    """The key's RFC 7638 thumbprint. Raises ImproperlyConfigured."""
    return _load(settings.AUDIT_KEY_FILE)[1]


def statement(tenant_id: UUID, size: int, root: bytes, head: bytes, time: str, key: str) -> bytes:
    """What is signed: RFC 8785 JSON of a checkpoint, digests in hex, `time` in RFC 3339."""
    members = {
        "head": head.hex(),
        "kid": key,
        "root": root.hex(),
        "size": size,
        "tenant": str(tenant_id),
        "time": time,
    }
    return orjson.dumps(members, option=orjson.OPT_SORT_KEYS)


def sign(message: bytes) -> bytes:
    """ES256 signature in the 64-byte form of RFC 7518 3.4. Raises ImproperlyConfigured."""
    key, _ = _load(settings.AUDIT_KEY_FILE)
    r, s = utils.decode_dss_signature(key.sign(message, _ES256))
    return r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")


def is_valid(message: bytes, signature: bytes) -> bool:
    """Whether our key signed it. Raises ImproperlyConfigured."""
    key, _ = _load(settings.AUDIT_KEY_FILE)
    halves = (int.from_bytes(signature[:_HALF], "big"), int.from_bytes(signature[_HALF:], "big"))
    try:
        key.public_key().verify(utils.encode_dss_signature(*halves), message, _ES256)
    except InvalidSignature:
        return False
    return True


@cache
def _load(path: Path) -> tuple[ec.EllipticCurvePrivateKey, str]:
    try:
        pem = path.read_bytes()
        key = serialization.load_pem_private_key(pem, password=None)
    except FileNotFoundError as error:
        raise ImproperlyConfigured(f"the audit key is missing: {path}") from error
    except (OSError, ValueError, TypeError) as error:
        raise ImproperlyConfigured(f"AUDIT_KEY_FILE: {path} is not a readable PEM key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ImproperlyConfigured(f"AUDIT_KEY_FILE: {path} is not a P-256 key")
    return key, str(ECKey.import_key(pem).thumbprint())


def _make() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
