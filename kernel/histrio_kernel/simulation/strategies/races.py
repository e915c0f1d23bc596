"""Which steps of a run were in a race: they may meet, and could have come in the other order.

Invariant: for each race of a run, the choice before its first step is told to try a beginning of the other order too.
"""

# Design note
# -----------
# Dynamic partial-order reduction, with source sets (Abdulla and others, 2014). Two steps that may meet are ordered in
# each run, and whatever touches the same lies between them in that order, so the last that touched it stands for all
# before. What happens before a step is a set of steps, kept as the bits of one number.
#
# Two steps are in a race if they may meet and nothing lies between them in that order. To turn it around, what comes
# after the first one and does not depend on it goes first, and then the second one. Any of those that can begin such a
# run will do, and often one of them is tried anyhow.
#
# It is no race if the second one could go on only because the first one had.

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, final

from histrio_kernel.simulation.choices import CLOCK
from histrio_kernel.simulation.footprints import Footprint

__all__ = ["Races"]

Turn = Callable[[Collection[int], int], None]
"""Has a choice try to begin by one of these, that one if possible."""


@final
class Races:
    """The steps of one run so far."""

    __slots__ = ("_before", "_could", "_last_of", "_last_touch", "_last_unknown", "_turns", "_who")

    def __init__(self) -> None:
        self._who: Final[list[int]] = []
        self._could: Final[list[Collection[int]]] = []
        self._turns: Final[list[Turn | None]] = []
        self._before: Final[list[int]] = []
        self._last_of: Final[dict[int, int]] = {}
        self._last_touch: Final[dict[str, int]] = {}
        self._last_unknown = -1

    def step(
        self, who: int, touched: Footprint, could: Collection[int], turn: Turn | None, *, by_all: bool = False
    ) -> None:
        """One more step, which touched that, when those could go on; `turn` is that of the choice before it.

        `by_all`: it had to wait until nobody else could go on, so it could not have come earlier.
        """
        at = len(self._who)
        met = self._met(who, touched)
        self._who.append(who)
        self._could.append(could)
        self._turns.append(turn)
        before = 0
        for one in met:
            before |= self._before[one] | (1 << one)
        self._before.append(before)
        self._last_of[who] = at
        if touched is None:
            self._last_unknown = at
        for each in touched or ():
            self._last_touch[each] = at
        for one in () if by_all else met:
            if self._who[one] != who and not any(self._before[other] >> one & 1 for other in met if other != one):
                self._race(one, at)

    def _met(self, who: int, touched: Footprint) -> set[int]:
        """The last steps that it may meet, and its own last one."""
        if touched is None:
            met = set(self._last_of.values())
        else:
            met = {self._last_touch.get(each, -1) for each in touched}
            met.add(self._last_of.get(who, -1))
        met.add(self._last_unknown)
        met.discard(-1)
        return met

    def _race(self, first: int, second: int) -> None:
        """Nothing lies between these two, which may meet."""
        turn, who = self._turns[first], self._who[second]
        if turn is None or self._enabled_by(first, second):
            return
        free = [at for at in range(first + 1, second) if not self._before[at] >> first & 1]
        free.append(second)
        mask = sum(1 << at for at in free)
        turn({self._who[at] for at in free if not self._before[at] & mask}, who)

    def _enabled_by(self, first: int, second: int) -> bool:
        """Whether the second one could go on only after the first one had."""
        who = self._who[second]
        if who in self._could[first]:
            return False
        if who == CLOCK:
            return True
        at = second - 1
        while who in self._could[at]:
            at -= 1
        return at == first or bool(self._before[at] >> first & 1)
