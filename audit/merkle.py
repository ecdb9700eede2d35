"""The Merkle tree of RFC 9162 2.1, grown at its right edge in logarithmic memory (A6)."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Self

HASH_BYTES = 32


class Tree:
    """A tree known by its size and frontier: the roots of its perfect subtrees, largest first."""

    __slots__ = ("frontier", "size")

    def __init__(self, size: int = 0, frontier: Sequence[bytes] = ()) -> None:
        self.size = size
        self.frontier = list(frontier)

    @classmethod
    def restore(cls, size: int, frontier: bytes) -> Self:
        """A tree from its stored frontier. Raises ValueError where size and frontier disagree."""
        if len(frontier) != HASH_BYTES * size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} frontier hashes")
        starts = range(0, len(frontier), HASH_BYTES)
        return cls(size, [frontier[start : start + HASH_BYTES] for start in starts])

    def append(self, leaf: bytes) -> None:
        """Add a leaf's data on the right."""
        self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaves' data on the right, in order."""
        frontier, size = self.frontier, self.size
        for leaf in leaves:
            digest, pairs = sha256(b"\0" + leaf).digest(), size
            while pairs & 1:
                digest = sha256(b"\1" + frontier.pop() + digest).digest()
                pairs >>= 1
            frontier.append(digest)
            size += 1
        self.size = size

    def root(self) -> bytes:
        """The Merkle tree hash."""
        if not self.frontier:
            return sha256().digest()
        digest = self.frontier[-1]
        for left in reversed(self.frontier[:-1]):
            digest = sha256(b"\1" + left + digest).digest()
        return digest

    def stored_frontier(self) -> bytes:
        """The frontier as `restore` takes it."""
        return b"".join(self.frontier)
