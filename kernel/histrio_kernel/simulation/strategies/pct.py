"""Whoever has priority goes on for as long as it can, and at few places the leader falls to the bottom.

A bug that needs one task to be passed over again and again is found by this within some runs, and by chance never.
"""

# Design note
# -----------
# Probabilistic concurrency testing (Burckhardt and others, 2010): priorities are drawn; a bug that needs d things to
# happen in one order is found in a run with a probability of at least 1/(n k**(d-1)), with n tasks and k choices. As in
# Coyote, only choices at which more than one can go on are counted, and k is what the runs before this had.
#
# The clock comes last of all: if it had the highest priority, every timeout would fire before any work. But what races
# with a timeout must be seen too, so one change in four, where there is a clock, lets it move once, ahead of all.
#
# Priorities are unfair, so a task that spins until another has done its work would spin for ever. Beyond several times
# the choices that a run is expected to have, chance goes on instead, which is fair.

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, final

from histrio_kernel.simulation.choices import CLOCK, Taught, Walk
from histrio_kernel.simulation.strategies.random_walk import RandomWalk, run_seed

__all__ = ["PriorityWalk", "PriorityWalks"]

_CLOCK_SHARE: Final = 0.25
"""So many of the changes let the clock move."""
_EXPECTED: Final = 64
"""Choices of a run of which nothing is known."""
_FAIR_FACTOR: Final = 8
_FAIR_MIN: Final = 2_048
_FAIR_MAX: Final = 100_000
"""After so many times the choices that are expected, at least and at most so many, chance goes on."""


class _Ranks(dict[int, float]):
    """The priorities of all who were seen, drawn at first sight."""

    def __init__(self, random: Random) -> None:
        super().__init__({CLOCK: float("-inf")})
        self._draw: Final = random.random
        self._lowest = 0.0

    def __missing__(self, identity: int) -> float:
        rank = self[identity] = self._draw()
        return rank

    def demote(self, identity: int) -> None:
        """Below all but the clock from now on."""
        self._lowest -= 1.0
        self[identity] = self._lowest


@final
class PriorityWalk:
    """One run in which the one with the highest priority goes on.

    Args:
        seed: of the priorities, and of where they change.
        changes: how often they change.
        contested: at how many choices there will be more than one besides the clock, as far as one knows.
        clocked: at how many there will be a clock.

    Attributes:
        contested: at how many there was more than one besides the clock, so far.
        clocked: at how many there was a clock.
    """

    __slots__ = ("_changes", "_fair", "_fair_from", "_rank", "_ranks", "_ticks", "clocked", "contested")

    def __init__(self, seed: int, changes: int, contested: int = _EXPECTED, clocked: int = _EXPECTED) -> None:
        random = Random(seed)
        self._ranks: Final = _Ranks(random)
        self._rank: Final = self._ranks.__getitem__
        self._fair: Final = RandomWalk(random.getrandbits(64))
        self._fair_from: Final = min(max(_FAIR_MIN, _FAIR_FACTOR * max(contested, clocked)), _FAIR_MAX)
        ticks = sum(random.random() < _CLOCK_SHARE for _ in range(changes)) if clocked else 0
        self._ticks: Final = {random.randrange(clocked) for _ in range(ticks)}
        self._changes: Final = {random.randrange(max(contested, 1)) for _ in range(changes - ticks)}
        self.contested = self.clocked = 0

    def pick(self, options: Sequence[int]) -> int:
        """The one with the highest priority; at a change the next one, or the clock."""
        ways = len(options)
        if options[-1] == CLOCK:
            ways -= 1
            self.clocked += 1
            if self.clocked - 1 in self._ticks:
                return ways
        if self.contested + self.clocked > self._fair_from:
            return self._fair.pick(options)
        if ways < 2:
            return 0
        self.contested += 1
        ranks = [*map(self._rank, options)]
        if self.contested - 1 in self._changes:
            leader = ranks.index(max(ranks))
            self._ranks.demote(options[leader])
            ranks[leader] = self._rank(options[leader])
        return ranks.index(max(ranks))

    def decide(self, ways: int) -> int:
        """As by chance: mostly none of the faults."""
        return self._fair.decide(ways)


@final
class PriorityWalks:
    """As many runs as one likes. The first looks for bugs of the least depth, the next for deeper ones, and again.

    A bug of depth d needs d things to happen in one order: one who is passed over all the time is of depth 1. A walk for
    it changes priorities d - 1 times.

    Args:
        depth_max: the greatest depth.
        depth_min: the least.
    """

    name = "pct"

    def __init__(self, depth_max: int = 3, depth_min: int = 1) -> None:
        if not 1 <= depth_min <= depth_max:
            raise ValueError(f"bugs of depth {depth_min} to {depth_max}: the depths must be 1 or more, the least first")
        self._min: Final = depth_min
        self._span: Final = depth_max - depth_min + 1
        self._contested = self._clocked = _EXPECTED
        self._walk: PriorityWalk | None = None

    def walk(self, number: int, seed: int) -> Walk | None:
        """The next."""
        changes = self._min - 1 + number % self._span
        self._walk = PriorityWalk(run_seed(seed, number), changes, self._contested, self._clocked)
        return self._walk

    def learn(self, taught: Taught) -> None:
        """How many choices a run of this program has; from a run of another strategy as far as its tape tells."""
        walk, self._walk = self._walk, None
        if walk is not None:
            self._contested, self._clocked = walk.contested, walk.clocked
        else:
            self._contested = self._clocked = sum(not step.is_decision for step in taught.tape)
