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

    Any thread may use it. It never asks anybody: who finds nothing looks up and puts, with the
    moment at which the look-up began. What was found before its key was forgotten is not kept: it
    may be the very thing that had to be forgotten.
    """

    def __init__(self, seconds: float, most: int = 10_000) -> None:
        self.seconds, self.most = seconds, most
        self._known: dict[K, Remembered[V]] = {}
        self._renewing: dict[K, Remembered[V]] = {}
        # When keys were forgotten; of those that no longer fit in here, and of all, when at last.
        self._forgotten: dict[K, float] = {}
        self._all_forgotten_at = 0.0
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
                if self._known.get(key) is not hit or self._renewing.get(key) is hit:
                    return self.get(key)  # another was quicker
                self._renewing[key] = hit
            return None
        return hit

    def put(self, key: K, value: V, at: float) -> V:
        """Remember a value that was true at that moment, before it was asked for; it is returned.

        Not where the key was forgotten since, or something newer is known. The very same again
        does not end a look-up that is under way.
        """
        with self._lock:
            if at < self._forgotten.get(key, self._all_forgotten_at):
                return value
            known = self._known.get(key)
            if known and known.at > at:
                return value
            found = Remembered(at, value)
            if known == found:
                found = self._known.pop(key)
            else:
                self._drop(key)
            self._known[key] = found
            while len(self._known) > self.most:
                self._drop(next(iter(self._known)))
        return value

    def forget(self, key: K) -> None:
        """Drop one key, and what is being looked up of it."""
        with self._lock:
            self._drop(key)
            self._forgotten.pop(key, None)
            self._forgotten[key] = time.monotonic()
            while len(self._forgotten) > self.most:
                self._all_forgotten_at = self._forgotten.pop(next(iter(self._forgotten)))

    def clear(self) -> None:
        """Drop everything, and what is being looked up."""
        with self._lock:
            self._known.clear()
            self._renewing.clear()
            self._forgotten.clear()
            self._all_forgotten_at = time.monotonic()

    def _drop(self, key: K) -> None:
        self._known.pop(key, None)
        self._renewing.pop(key, None)
