"""How many bytes of upstream answers this process holds at once (design D6, V3)."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Final, Self
from weakref import WeakKeyDictionary

#: All answers together, as they came over the wire; judging and writing them takes some more.
TOTAL_BYTES: Final = 160 * 1024 * 1024
WAIT_SECONDS: Final = 5.0


class OverloadedError(RuntimeError):
    """Too much is held already: the caller should ask again later."""

    def __init__(self) -> None:
        super().__init__("too many answers are held at once")


class Budget:
    """Bytes to share among the tasks of one loop; who waits is served in order."""

    def __init__(self, total: int) -> None:
        self.free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def reserve(self, size: int, seconds: float) -> None:
        """Take bytes as soon as they are free. Raises OverloadedError after `seconds`."""
        if size <= self.free and not self._waiting:
            self.free -= size
            return
        turn = asyncio.get_running_loop().create_future()
        place = (size, turn)
        self._waiting.append(place)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except TimeoutError:
            self._leave(place)
            raise OverloadedError from None
        except asyncio.CancelledError:
            self._leave(place)
            raise

    def grow(self, size: int) -> None:
        """Take bytes if they are free now: waiting with others in hand could wait for ever.

        Raises OverloadedError.
        """
        if size > self.free:
            raise OverloadedError
        self.free -= size

    def give_back(self, size: int) -> None:
        """What was taken is free again."""
        self.free += size
        self._serve()

    def _leave(self, place: tuple[int, asyncio.Future[None]]) -> None:
        if place in self._waiting:
            self._waiting.remove(place)
            self._serve()
        else:  # served in the moment it gave up
            self.give_back(place[0])

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.free:
            size, turn = self._waiting.popleft()
            self.free -= size
            if not turn.done():
                turn.set_result(None)


class Lease:
    """What one request holds; all of it is given back at the end of the block."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held = 0

    async def take(self, size: int) -> None:
        """Wait for so many bytes. Raises OverloadedError."""
        await self._budget.reserve(size, WAIT_SECONDS)
        self.held += size

    def grow_to(self, size: int) -> None:
        """Hold at least so many bytes. Raises OverloadedError."""
        if size > self.held:
            self._budget.grow(size - self.held)
            self.held = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._budget.give_back(self.held)
        self.held = 0


_budgets: WeakKeyDictionary[asyncio.AbstractEventLoop, Budget] = WeakKeyDictionary()


def lease() -> Lease:
    """An empty lease on the running loop's budget; a web process has one loop."""
    loop = asyncio.get_running_loop()
    if loop not in _budgets:
        _budgets[loop] = Budget(TOTAL_BYTES)
    return Lease(_budgets[loop])
