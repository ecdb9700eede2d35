"""AES-256-GCM with a key number in front: `version | key number | nonce | ciphertext` (K1-K3)."""

import os
from functools import lru_cache
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = 1
NONCE_BYTES = 12
HEADER_BYTES = 5
KEY_BYTES = 32


class SealBrokenError(ValueError):
    """A sealed value was changed, moved to another row, or sealed under another key."""


def new_key() -> bytes:
    """A fresh 256-bit key."""
    return AESGCM.generate_key(bit_length=KEY_BYTES * 8)


def seal(key: bytes | AESGCM, key_number: int, plaintext: bytes, aad: bytes) -> bytes:
    """Encrypt; `aad` says where the value lives and must be given again to open it.

    A key that is used often is given as a cipher, which is made once.
    """
    cipher = key if isinstance(key, AESGCM) else AESGCM(key)
    header = bytes([VERSION]) + key_number.to_bytes(4, "big")
    nonce = os.urandom(NONCE_BYTES)
    return header + nonce + cipher.encrypt(nonce, plaintext, header + aad)


def open_sealed(key: bytes | AESGCM, blob: bytes, aad: bytes) -> bytes:
    """Decrypt. Raises SealBrokenError."""
    header, body = blob[:HEADER_BYTES], blob[HEADER_BYTES:]
    try:
        cipher = key if isinstance(key, AESGCM) else AESGCM(key)
        return cipher.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], header + aad)
    except (InvalidTag, ValueError) as error:
        raise SealBrokenError("a sealed value does not open here") from error


def key_number(blob: bytes) -> int:
    """Which of the tenant's data keys sealed this. Raises SealBrokenError."""
    if len(blob) <= HEADER_BYTES + NONCE_BYTES or blob[0] != VERSION:
        raise SealBrokenError("not a sealed value")
    return int.from_bytes(blob[1:HEADER_BYTES], "big")


def place(tenant_id: UUID, table: str, column: str, row: object) -> bytes:
    """The AAD of a field: tenant, table, column and row, each with its length in front (K2)."""
    return _field(tenant_id, table, column) + _with_length(str(row).encode())


@lru_cache(maxsize=4096)
def _field(tenant_id: UUID, table: str, column: str) -> bytes:
    parts = (tenant_id.bytes, table.encode(), column.encode())
    return b"".join(map(_with_length, parts))


def _with_length(part: bytes) -> bytes:
    return len(part).to_bytes(2, "big") + part
