"""Providers of the key-encryption key, which wraps every tenant's data keys (K1).

A new KMS is a class with `wrap` and `unwrap` and a line in `PROVIDERS`.
"""

from functools import cache
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from authfi.crypto import envelope
from authfi.lib import localfiles


class KekProvider(Protocol):
    """Wraps a data key for storage and unwraps it; `context` binds it to its tenant and use."""

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt a data key."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt a data key. Raises envelope.SealBrokenError."""
        ...


class FileKek:
    """A 256-bit key in a file that only AuthFI's user can read."""

    def __init__(self, path: Path) -> None:
        self._key = _read(path)
        if len(self._key) != envelope.KEY_BYTES:
            raise ImproperlyConfigured(f"{path} is not a 256-bit key")

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Encrypt a data key."""
        return envelope.seal(self._key, 0, key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt a data key. Raises envelope.SealBrokenError."""
        return envelope.open_sealed(self._key, wrapped, context)


def _read(path: Path) -> bytes:
    """The key; made where it is absent in the embedded mode only.

    In production a file that is not there is a mount that failed: a new key would open nothing.
    """
    if not settings.PRODUCTION:
        return localfiles.read_or_create(path, envelope.new_key)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImproperlyConfigured(f"KEK_URL: {path} cannot be read") from error


PROVIDERS = {"file": FileKek}


@cache
def provider() -> KekProvider:
    """The provider named by the setting `KEK_URL`, such as `file:///etc/authfi/kek.key`."""
    url = urlsplit(settings.KEK_URL)
    if url.scheme not in PROVIDERS:
        raise ImproperlyConfigured(f"KEK_URL: unknown provider {url.scheme!r}")
    return PROVIDERS[url.scheme](Path(url.path))
