"""The default mixture, and strategies by name."""

# Design note
# -----------
# Which strategy finds a bug depends on the bug: chance finds races of many tasks, priorities find who starves and what
# needs two things in one order, and neither can say that nothing is left. So each has its share. First in, first out
# comes first, because a program that fails even so should be told that.

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Final, final

from histrio_kernel.simulation.choices import Strategy, Taught, Walk
from histrio_kernel.simulation.strategies.delay import Delays
from histrio_kernel.simulation.strategies.exhaustive import Exhaustive
from histrio_kernel.simulation.strategies.fifo import FirstInFirstOut
from histrio_kernel.simulation.strategies.pct import PriorityWalks
from histrio_kernel.simulation.strategies.random_walk import RandomWalks

__all__ = ["STRATEGIES", "Mix", "strategy_of"]


@final
class Mix:
    """First in, first out once; then, in turns, chance and priorities. In the end every schedule, if the budget is known.

    Args:
        schedules: how many runs there will be, if one knows: the last third goes to the search of all schedules, which
            says so if it has left none.
    """

    name = "mix"

    def __init__(self, schedules: int | None = None) -> None:
        self._first: Final = FirstInFirstOut()
        self._chance: Final = RandomWalks()
        self._priorities: Final = PriorityWalks()
        self._all: Final = Exhaustive()
        self._all_from: Final = None if schedules is None or schedules < _ALL_FROM else schedules - schedules // 3
        self._last: Strategy = self._first

    @property
    def systematic(self) -> bool:
        """Whether the run that was given last is one of the search of all, which needs the same values of chance."""
        return self._last is self._all

    @property
    def complete(self) -> bool:
        """Whether every schedule has been run, or one that does the same."""
        return self._all.complete

    @property
    def assumed(self) -> tuple[str, ...]:
        """Under what it is complete."""
        return self._all.assumed

    def walk(self, number: int, seed: int) -> Walk | None:
        """The next. When the search of all has nothing left, chance goes on: it lets time pass early, too."""
        if number == 0:
            self._last = self._first
            return self._first.walk(0, seed)
        if self._all_from is not None and number >= self._all_from:
            walk = self._all.walk(number, seed)
            if walk is not None:
                self._last = self._all
                return walk
        self._last = self._chance if number % 2 else self._priorities
        return self._last.walk(number // 2, seed)

    def learn(self, taught: Taught) -> None:
        """Whoever made the run learns of it; the priorities learn of the first one, too."""
        self._last.learn(taught)
        if self._last is self._first:
            self._priorities.learn(taught)


_ALL_FROM: Final = 30
"""With fewer runs than that none is spent on the search of all."""

STRATEGIES: Final[Mapping[str, Callable[[], Strategy]]] = {
    "mix": Mix,
    "fifo": FirstInFirstOut,
    "random": RandomWalks,
    "pct": PriorityWalks,
    "delay": Delays,
    "exhaustive": Exhaustive,
}
"""The strategies that have a name; each search gets one of its own."""


def strategy_of(strategy: str | Strategy, schedules: int | None = None) -> Strategy:
    """The strategy of that name; one that is given is given back.

    Args:
        strategy: the name, or the strategy.
        schedules: how many runs there will be, if one knows; the mixture makes use of it.

    Raises:
        ValueError: no strategy is called so.
        TypeError: it is neither a name nor a strategy.

    Examples:
        >>> strategy_of("pct").name
        'pct'
        >>> strategy_of("radnom")
        Traceback (most recent call last):
        ValueError: no strategy is called 'radnom'. Did you mean 'random'? There are: mix, fifo, random, pct, delay, ...
    """
    if strategy == "mix":
        return Mix(schedules)
    if isinstance(strategy, str):
        make = STRATEGIES.get(strategy)
        if make is None:
            names = ", ".join(STRATEGIES)
            raise ValueError(f"no strategy is called {strategy!r}.{_nearest(strategy)} There are: {names}")
        return make()
    missing = [name for name in ("name", "walk", "learn") if not hasattr(strategy, name)]
    if missing or isinstance(strategy, type):
        why = "it is a class: give an instance" if isinstance(strategy, type) else f"it has no {', '.join(missing)}"
        raise TypeError(f"{strategy!r} is neither the name of a strategy nor one itself: {why}")
    return strategy


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, STRATEGIES, 1)
    return f" Did you mean {near[0]!r}?" if near else ""
