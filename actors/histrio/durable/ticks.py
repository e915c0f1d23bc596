"""A time that comes again and again, and what becomes of those times that went by while nobody ran."""

from __future__ import annotations

import enum
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, final

import attrs

__all__ = ["Late", "Tick", "Ticks"]


class Late(enum.Enum):
    """What becomes of the ticks that were missed: the next one was due as well before they could be given."""

    FIRE = "fire"
    """Each is given, one right after the other (the default): for what must be done as often as it was due."""
    COALESCE = "coalesce"
    """One is given for all of them, at once: for what has to catch up, however much there is."""
    SKIP = "skip"
    """None is given; the next one comes when it is due: for what is of use at its time only."""


@final
@attrs.frozen
class Tick:
    """One of the times.

    Attributes:
        due: when it was due, in seconds since 1970. The time that it is given is `self.now()`, and may be later.
        missed: how many before it, since the last one that was given, were not.
    """

    due: float
    missed: int = 0


@final
class Ticks(AsyncIterator[Tick]):
    """What `every` returns. It never ends by itself.

    Args:
        every_s: seconds between two, more than 0.
        since: one of the times, in seconds since 1970; the first tick is *every_s* after it.
        late: what becomes of those that were missed.
        now: tells the time.
        sleep_until: waits until it is that time.
    """

    # Each time is counted from `since`, so they do not drift. What was missed follows from recorded times alone.

    def __init__(
        self,
        every_s: float,
        since: float,
        late: Late,
        now: Callable[[], float],
        sleep_until: Callable[[float], Awaitable[None]],
    ) -> None:
        self._every_s: Final = every_s
        self._since: Final = since
        self._late: Final = late
        self._now: Final = now
        self._sleep_until: Final = sleep_until
        self._number = 0

    async def __anext__(self) -> Tick:
        """The next tick, when it is due; at once if that was before."""
        first = number = self._number + 1
        while True:
            await self._sleep_until(self._due(number))
            newest = math.floor((self._now() - self._since) / self._every_s)
            if newest <= number or self._late is Late.FIRE:
                break
            if self._late is Late.COALESCE:
                number = newest
                break
            number = newest + 1
        self._number = number
        return Tick(self._due(number), number - first)

    def _due(self, number: int) -> float:
        return self._since + number * self._every_s
