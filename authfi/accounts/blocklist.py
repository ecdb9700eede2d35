"""Passwords known from breaches, shipped with the product and asked offline (N3).

`data/README.md` tells the format and where the passwords come from.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import overload

from authfi.crypto.keyring import normalised

RECORD_BYTES = 5
_FILE = Path(__file__).parent / "data" / "breached-passwords.bin"


class PackedList(Sequence[bytes]):
    """Sorted records of equal length in one piece of memory."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def __len__(self) -> int:
        return len(self._packed) // RECORD_BYTES

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        return self._packed[index * RECORD_BYTES : (index + 1) * RECORD_BYTES]

    def holds(self, password: str) -> bool:
        """Is the password, as a whole and whatever its case, on the list?"""
        record = _record(password)
        place = bisect_left(self, record)
        return place < len(self) and self[place] == record


def pack(passwords: Iterable[str]) -> bytes:
    """The file's content for these passwords."""
    return b"".join(sorted({_record(password) for password in passwords}))


@cache
def breached() -> PackedList:
    """The list that is shipped."""
    return PackedList(_FILE.read_bytes())


def _record(password: str) -> bytes:
    return sha256(normalised(password).encode(errors="replace")).digest()[:RECORD_BYTES]
