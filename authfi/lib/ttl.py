"""What a process remembers for a few seconds, of many keys, in bounded memory."""

import threading
import time
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

#: After this part of its time a value is due: one caller looks it up anew, others go on meanwhile.
DUE = 0.75

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(NamedTuple, Generic[V]):
    """A value, and the moment on the monotonic clock that it is true of."""

    at: float
    value: V


class Ttl(Generic[K, V]):
    """Values by key, each good for `seconds`; beyond `most` the oldest are dropped.

    Any thread may use it. It never asks anybody: who finds nothing looks up and puts.
    """

    def __init__(self, seconds: float, most: int = 10_000) -> None:
        self.seconds, self.most = seconds, most
        self._known: dict[K, Remembered[V]] = {}
        self._renewing: dict[K, Remembered[V]] = {}
        self._lock = threading.Lock()

    def get(self, key: K) -> Remembered[V] | None:
        """What is remembered of a key, None where that is nothing or too old."""
        hit = self._known.get(key)
        return hit if hit and time.monotonic() - hit.at < self.seconds else None

    def is_due(self, hit: Remembered[V]) -> bool:
        """Whether a value should be looked up anew before its time is over."""
        return time.monotonic() - hit.at >= self.seconds * DUE

    def get_unless_due(self, key: K) -> Remembered[V] | None:
        """`get`, but None for the first who asks for a value that is due.

        That caller looks it up and puts it; so a crowd never finds nothing all at once.
        """
        hit = self.get(key)
        if hit and self.is_due(hit) and self._renewing.get(key) is not hit:
            with self._lock:
                self._renewing[key] = hit
            return None
        return hit

    def put(self, key: K, value: V, at: float | None = None) -> V:
        """Remember a value, true at that moment (default: now); it is returned."""
        with self._lock:
            self._drop(key)
            self._known[key] = Remembered(time.monotonic() if at is None else at, value)
            while len(self._known) > self.most:
                self._drop(next(iter(self._known)))
        return value

    def forget(self, key: K) -> None:
        """Drop one key."""
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._known.clear()
            self._renewing.clear()

    def _drop(self, key: K) -> None:
        self._known.pop(key, None)
        self._renewing.pop(key, None)
