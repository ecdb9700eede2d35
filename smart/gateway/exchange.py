"""One permitted request and all that answering it needs: handed down as one value."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from smart.gateway.budget import Lease
from smart.gateway.cursors import Onward, Sealer
from smart.gateway.outcomes import Answer
from smart.policy.facts import Access, Permit
from smart.upstream import Upstream

#: Asks which of these patients' records the token's user may open (design D16).
AskReach = Callable[[frozenset[str]], Awaitable[frozenset[str]]]
_NOBODY: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Exchange:
    """A permit with the server behind, the public FHIR base, and the memory it may hold.

    `sealer` makes the links to further pages; `onward` is set where this request is such a
    page, `self_url` for what is answered with a Bundle. `ask_reach` is there where the permit has
    `user/` scopes.
    """

    permit: Permit
    access: Access
    server: Upstream
    base: str
    lease: Lease
    self_url: str
    sealer: Sealer | None = None
    onward: Onward | None = None
    ask_reach: AskReach | None = None

    async def reaching(self, patients: frozenset[str]) -> Access:
        """The access, with the answer to whether these patients are in the user's reach."""
        user = self.access.user
        if user is None or self.ask_reach is None or user.reach.opens(patients):
            return self.access
        opened = await self.ask_reach(patients - user.reach.patients)
        reach = replace(user.reach, patients=user.reach.patients | opened)
        return replace(self.access, user=replace(user, reach=reach))


@dataclass(frozen=True, slots=True)
class Found:
    """The answer that may leave, how many resources it holds, the patients they are about (as far
    as the `user/` level let them out), and what the upstream did wrong."""

    answer: Answer
    returned: int = 0
    fault: str = ""
    patients: frozenset[str] = _NOBODY
