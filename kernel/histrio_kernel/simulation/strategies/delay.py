"""All schedules with no departure from first in, first out; then all with one; then all with two, up to a bound.

Most bugs need few departures, so this finds them with the shortest schedule there is, and can say what was ruled out.
"""

# Design note
# -----------
# A schedule with n + 1 departures is one with n and another after its last, so the runs with n departures tell where
# those with one more can be: how many ways each choice behind the last departure had. That is kept, one byte a choice,
# for the runs of the last level only.
#
# A decision is a place for a departure like any other: a fault that strikes is one.

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, final

import attrs

from histrio_kernel.simulation.choices import Departure, Taught, Walk

__all__ = ["DelayWalk", "Delays"]

_WAYS_MAX: Final = 255


@final
class DelayWalk:
    """One run along given departures, first in, first out elsewhere; it keeps how many ways there were behind the last.

    Attributes:
        departs: the departures.
        ways: of each choice behind the last departure.
        strayed: whether a departure could not be made, so the program is not the same each time.
    """

    __slots__ = ("_at", "_next", "departs", "strayed", "ways")

    def __init__(self, departs: tuple[Departure, ...]) -> None:
        self.departs: Final = departs
        self.ways: Final = bytearray()
        self.strayed = False
        self._at = 0
        self._next = 0

    def pick(self, options: Sequence[int]) -> int:
        """The first, if this is no departure."""
        return self.decide(len(options))

    def decide(self, ways: int) -> int:
        """The one without a fault, if this is no departure."""
        at, self._at = self._at, self._at + 1
        if self._next == len(self.departs):
            self.ways.append(min(ways, _WAYS_MAX))
            return 0
        departure = self.departs[self._next]
        if departure.at != at:
            return 0
        self._next += 1
        self.strayed |= departure.chosen >= ways
        return min(departure.chosen, ways - 1)


@attrs.frozen
class _Parent:
    """A run, as far as those with one more departure need it."""

    departs: tuple[Departure, ...]
    ways: bytes

    def children(self) -> Iterator[tuple[Departure, ...]]:
        """Its departures, and one more, in each way."""
        begin = self.departs[-1].at + 1 if self.departs else 0
        for at, ways in enumerate(self.ways, begin):
            for chosen in range(1, ways):
                yield (*self.departs, Departure(at, chosen))


@final
class Delays:
    """Each schedule with at most so many departures, those with the fewest first.

    Args:
        departures_max: the bound.

    Attributes:
        complete: whether every schedule within the bound has been run.
    """

    name = "delay"
    systematic = True
    """Its runs are to be given the same values of chance."""

    def __init__(self, departures_max: int = 2) -> None:
        if departures_max < 0:
            raise ValueError(f"{departures_max} departures, at most: it must be 0 or more")
        self._max: Final = departures_max
        self._parents: Final[deque[_Parent]] = deque()
        self._next: Iterator[tuple[Departure, ...]] = iter([()])
        self._walk: DelayWalk | None = None
        self._strayed = False
        self._exhausted = False

    @property
    def complete(self) -> bool:
        """Whether every schedule within the bound has been run, and the program was the same each time."""
        return self._exhausted and not self._strayed

    @property
    def assumed(self) -> tuple[str, ...]:
        """Within what a search that has nothing left to try is complete."""
        some = "no departure" if not self._max else f"at most {self._max} departure{'s' * (self._max > 1)}"
        stray = ("the program did not repeat itself, so some schedules were not reached",) if self._strayed else ()
        return (f"schedules with {some} from first in, first out", *stray)

    def walk(self, number: int, seed: int) -> Walk | None:
        """The next; None when all within the bound have been run."""
        if self._exhausted:
            return None
        self._keep()
        departs = next(self._next, None)
        while departs is None and self._parents:
            self._next = self._parents.popleft().children()
            departs = next(self._next, None)
        if departs is None:
            self._exhausted = True
            return None
        self._walk = DelayWalk(departs)
        return self._walk

    def learn(self, taught: Taught) -> None:
        """Where the next departures can be."""
        self._keep()

    def _keep(self) -> None:
        """The last run, as a parent of those with one more departure."""
        walk, self._walk = self._walk, None
        if walk is not None:
            self._strayed |= walk.strayed
            if len(walk.departs) < self._max:
                self._parents.append(_Parent(walk.departs, bytes(walk.ways)))
