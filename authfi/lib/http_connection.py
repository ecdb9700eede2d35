"""A connection to one server: one request after another, each with its own answer (RFC 9112 9).

It is used again only after an answer that ended as it should, with nothing behind it. Whatever
comes unasked ends it, so that no answer can be taken for that of another request.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Any
from uuid import UUID

from authfi.lib.egress import Kind, Origin
from authfi.lib.http_answer import Answer

#: The server and the tenant that a busy connection is counted for.
Claim = tuple[str, UUID | None]

#: How long a connection waits for its next request, and how long it is used at all: its address
#: was judged when it was opened.
KEEP_ALIVE_SECONDS = 30.0
MAX_AGE_SECONDS = 300.0
#: Bytes of a body held for a reader who is slower than the server.
HIGH_WATER = 256 * 1024


class Connection(asyncio.Protocol):
    """`on_free` is called once after each request, `on_lost` when the connection has ended.

    `is_used` tells that a request was answered here before, `is_over` that no other can be.
    """

    def __init__(
        self,
        origin: Origin,
        on_free: Callable[["Connection"], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self.origin = origin
        self.claim: Claim = (origin.name, None)  # the pool's, of each request anew
        self.answer: Answer | None = None
        self.is_used = self.is_over = False
        self._on_free = on_free
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._opened_at = self._heard_at = self._loop.time()
        self._ends_at = 0.0
        self._read_seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: Any = None
        self._is_paused = False
        self._poll = select.poll()

    # For the pool

    def ask(self, request: bytes, method: str, ends_at: float, read_seconds: float) -> Answer:
        """Send a request; nothing else may be under way. `ends_at` is the loop's time."""
        self.answer = answer = Answer(method)
        self._heard_at, self._ends_at = self._loop.time(), ends_at
        self._read_seconds = read_seconds
        if self.is_over:
            self._part("The server cannot be reached.", Kind.UNREACHABLE)
            return answer
        self._wake_at(self._due())
        self._transport.write(request)
        return answer

    def is_fit(self) -> bool:
        """Whether another request may be sent: neither too old, nor ended, nor with bytes waiting
        that nobody has asked for."""
        is_young = self._loop.time() - self._opened_at < MAX_AGE_SECONDS
        return is_young and not self.is_over and not self._poll.poll(0)

    def resume(self, answer: Answer) -> None:
        """The reader of that answer has room again."""
        if self._is_paused and self.answer is answer:
            self._is_paused = False
            self._heard_at = self._loop.time()
            self._transport.resume_reading()

    def drop(self, answer: Answer) -> None:
        """The answer is not wanted any more: unless it has ended, the connection does."""
        if self.answer is answer:
            self._part("The request was given up.", Kind.UNREACHABLE)

    def close(self) -> None:
        """End it, without waiting for what is under way."""
        if self.answer is not None:
            self._part("The server cannot be reached.", Kind.UNREACHABLE)
        self._abort()

    # For the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to be asked."""
        self._transport = transport
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """A part of the answer, or something unasked, which ends the connection."""
        answer = self.answer
        if answer is None:
            self._abort()
            return
        self._heard_at = self._loop.time()
        answer.feed(data)
        if answer.is_over:
            self._finished(answer)
        elif answer.held_bytes > HIGH_WATER and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by either side."""
        self.is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        answer, self.answer = self.answer, None
        if answer is not None:
            answer.end()
            self._on_free(self)
        self._on_lost(self)

    # Within

    def _finished(self, answer: Answer) -> None:
        self.answer = None
        self.is_used = True
        is_sent = self._transport.get_write_buffer_size() == 0
        if not (answer.keeps_connection and is_sent):
            self._abort()
        self._on_free(self)

    def _part(self, text: str, kind: Kind) -> None:
        """End the connection with its request."""
        answer, self.answer = self.answer, None
        if answer is not None:
            answer.fail(kind, text)
        self._abort()
        self._on_free(self)

    def _abort(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._transport.abort()

    def _due(self) -> float:
        """When the connection has to be looked at."""
        if self.answer is None:
            return self._heard_at + KEEP_ALIVE_SECONDS
        return min(self._ends_at, self._heard_at + self._read_seconds)

    def _wake_at(self, due: float) -> None:
        """One timer for all requests: it is set anew only for one that ends before it."""
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        """The time has come, or was put off since the timer was set."""
        self._timer = None
        now = self._loop.time()
        if self.answer is not None and now < self._ends_at and self._is_held_up():
            self._heard_at = now
        if (due := self._due()) > now:
            self._wake_at(due)
        elif self.answer is None:
            self.close()
        else:
            self._part("The server did not answer in time.", Kind.TIMEOUT)

    def _is_held_up(self) -> bool:
        """Whether not the server is waited for, but our reader, or the sending of a long body."""
        return self._is_paused or self._transport.get_write_buffer_size() > 0
