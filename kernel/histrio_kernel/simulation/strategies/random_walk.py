"""Each choice by chance."""

# Design note
# -----------
# The clock is one option among many at nearly every step, because a system has some timer nearly always. If it were as
# likely as a task, time would run wild: every timeout would fire before any work. So it moves while others can go on
# once in a while only (`CLOCK_CHANCE`), which still finds what races with a timeout. Faults strike as rarely.

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, final

from histrio_kernel.simulation.choices import CLOCK, Taught, Walk

__all__ = ["RandomWalk", "RandomWalks", "run_seed"]

CLOCK_CHANCE: Final = 0.05
"""How often the clock moves though something else could."""
FAULT_CHANCE: Final = 0.1
"""How often a decision is not the one without a fault."""


def run_seed(seed: int, number: int) -> int:
    """A seed for one run of a search."""
    return (seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9 + 1) & 0xFFFF_FFFF_FFFF_FFFF


@final
class RandomWalk:
    """One run in which each choice is drawn."""

    __slots__ = ("_draw", "_random")

    def __init__(self, seed: int) -> None:
        self._random: Final = Random(seed)
        self._draw: Final = self._random.random

    def pick(self, options: Sequence[int]) -> int:
        """Any; the clock rarely."""
        draw, ways = self._draw, len(options)
        if options[-1] == CLOCK:
            ways -= 1
            if draw() < CLOCK_CHANCE:
                return ways
        return int(draw() * ways)

    def decide(self, ways: int) -> int:
        """Mostly none of the faults."""
        return 0 if self._draw() >= FAULT_CHANCE else 1 + int(self._draw() * (ways - 1))


@final
class RandomWalks:
    """As many runs as one likes."""

    name = "random"

    def walk(self, number: int, seed: int) -> Walk | None:
        """The next."""
        return RandomWalk(run_seed(seed, number))

    def learn(self, taught: Taught) -> None:
        """Chance learns nothing."""
