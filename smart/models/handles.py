"""Opaque handles of 256 bits that are kept as keyed digests only (O4, O21, EHRL-03, REGI-11)."""

import secrets

from authfi.crypto import keyring


def new_handle() -> str:
    """A fresh handle: 43 characters of `A-Z a-z 0-9 - _`."""
    return secrets.token_urlsafe(32)


def handle_digest(kind: str, handle: str) -> str:
    """What is stored of a handle: its HMAC-SHA-256 under the bound tenant's index key."""
    return keyring.digest(f"handle.{kind}", handle)
