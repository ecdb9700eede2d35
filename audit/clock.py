"""Notices where the trail's time runs backwards: numbers order events, not clocks (A8)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

#: Events of several processes may be stored out of their times' order, and hosts' clocks differ.
TOLERANCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Rollback:
    """The number of an event whose time is well before that of an earlier one; RFC 3339."""

    seq: int
    before: str
    after: str


class Clock:
    """Follows a chain's times: `latest` so far, and where they went back by more than a minute."""

    __slots__ = ("latest", "rollbacks")

    def __init__(self, latest: str = "") -> None:
        self.latest = latest
        self.rollbacks: list[Rollback] = []

    def went_back(self, seq: int, moment: str) -> None:
        """Told of a moment before the latest; a real rollback is kept once, with its first event.

        Both are RFC 3339 in UTC with milliseconds, whose order is that of their text.
        """
        if datetime.fromisoformat(self.latest) - datetime.fromisoformat(moment) > TOLERANCE:
            self.rollbacks.append(Rollback(seq, before=self.latest, after=moment))
            self.latest = moment
