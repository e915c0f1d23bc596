"""Every schedule there is, depth first; and of those that differ only in the order of steps that cannot meet, one.

Invariant: a schedule is left out only if it would do the same steps as one that is run, with neighbours exchanged that
touch nothing in common.
"""

# Design note
# -----------
# The runs of a deterministic program form a tree, whose nodes are its choices. A run goes along a path to the first node
# that has something left to try; nothing is kept but that path.
#
# A choice tries one who can go on, and others only where a run has shown a race with them: see `races`. That would still
# run some orders twice. Sleep sets (Godefroid, 1996): when all runs that begin with a step of `a` have been seen, and `b` is tried instead, `a`
# sleeps: it is not tried again until some step has touched what its step touches, because until then the order of the
# two makes no difference. That needs to be told what a step touches, its *footprint*: see
# `histrio_kernel.simulation.footprints`. A step of which that is unknown has none, and meets all others. A run in which
# only sleepers can go on is one that was seen already: it is not branched any more.
#
# A step that takes decisions has several outcomes. It sleeps only when all have been seen, with all that they touched.
#
# Two things are not searched. While others can go on the clock moves at most `early` times in one run, because a system
# has some timer nearly always, and time could pass without end. And the watchdogs of a system, which only observe, go
# on at once. Both stand among what is assumed.

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias, final

import attrs

from histrio_kernel.simulation.choices import CLOCK, Strategy, Taught, Walk
from histrio_kernel.simulation.footprints import Footprint, Footprints
from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.strategies.pct import PriorityWalks
from histrio_kernel.simulation.strategies.races import Races
from histrio_kernel.simulation.strategies.random_walk import RandomWalks

__all__ = ["Exhaustive", "ExhaustiveWalk"]

_Sleepers: TypeAlias = dict[int, Footprint]
_NOTHING: Final[Footprint] = frozenset()


def _meet(one: Footprint, other: Footprint) -> bool:
    """Whether the order of two steps may matter."""
    return one is None or other is None or not one.isdisjoint(other)


def _both(one: Footprint, other: Footprint) -> Footprint:
    return None if one is None or other is None else one | other


@final
@attrs.define(eq=False)
class _Node:
    """One choice on the path: what there was, what has been seen of it, and what is tried now.

    Attributes:
        options: who could go on; None for a decision.
        ways: how many of them may be tried.
        chosen: which is tried now.
        left: those that are to be tried still, the next one last.
        sleeping: who need not be tried, because that has been seen: with what they touch.
        touched: what the step that is tried now has touched, in all its runs.
    """

    options: tuple[int, ...] | None
    ways: int
    chosen: int
    left: list[int]
    sleeping: _Sleepers
    touched: Footprint = _NOTHING

    def next(self) -> bool:
        """Try the next; False if there is none."""
        if self.options is not None:
            self.sleeping[self.options[self.chosen]] = self.touched
        self.touched = _NOTHING
        if not self.left:
            return False
        self.chosen = self.left.pop()
        return True

    def turn(self, beginnings: Collection[int], best: int) -> None:
        """Try one of these too, that one if possible, unless one of them is tried anyhow."""
        assert self.options is not None
        seen = {*self.sleeping, self.options[self.chosen], *(self.options[index] for index in self.left)}
        if not seen.isdisjoint(beginnings):
            return
        fresh = [index for index in range(self.ways) if self.options[index] not in seen]
        those = [index for index in fresh if self.options[index] in beginnings]
        if those:
            fresh = [next((index for index in those if self.options[index] == best), those[0])]
        self.left.extend(fresh)


@final
class ExhaustiveWalk:
    """One run: along the path, and by the first that does not sleep from there on.

    Attributes:
        strayed: whether the path could not be gone, so the program is not the same each time.
        redundant: whether from some place on it was known to repeat what was seen.
        told: whether `ran` will be called after each step; else every order is run.
        vanishes: who may be there to be chosen, and never be chosen after all. No run shows a race with a step that did
            not come, so they are tried wherever they can go on.
    """

    __slots__ = (
        "_at", "_could", "_footprints", "_left_early", "_node", "_observes", "_path", "_races", "_reduces", "_sleepers",
        "redundant", "strayed", "told", "vanishes",
    )  # fmt: skip

    def __init__(self, path: list[_Node], early: int, *, reduces: bool = True) -> None:
        self._path: Final = path
        self._left_early = early
        self._reduces: Final = reduces
        self._at = 0
        self._node: _Node | None = None
        self._could: Collection[int] = ()
        self._observes = False
        self._sleepers: _Sleepers = {}
        self._races: Final = Races()
        self._footprints: Footprints | None = None
        self.strayed = self.redundant = self.told = False
        self.vanishes: Callable[[int], bool] = CLOCK.__eq__

    @property
    def footprints(self) -> Footprints | None:
        """What looks at the run, if it is one of a program."""
        return self._footprints

    def begins(self, simulation: Simulation) -> None:
        """The run that this is for begins."""
        self._footprints = Footprints(simulation, self.ran, reduces=self._reduces)
        self.told = self._footprints.reduces
        self.vanishes = lambda identity: identity == CLOCK or simulation.completion(identity) is not None

    def pick(self, options: Sequence[int]) -> int:
        """Along the path; then the first that does not sleep."""
        if self._footprints is not None:
            self._footprints.close()
            observer = self._footprints.observer_among(options)
            if observer >= 0:
                self._observes = True
                return observer
        ways = len(options)
        if options[-1] == CLOCK and not self._left_early:
            ways -= 1
        if self.redundant:
            return 0
        self._could = options[:ways]
        if ways < 2:
            return 0
        index = self._pick(options, ways)
        if options[index] == CLOCK:
            self._left_early -= 1
        return index

    def decide(self, ways: int) -> int:
        """Along the path; then without a fault first."""
        if self.redundant:
            return 0
        if self._at < len(self._path):
            node = self._path[self._at]
            self.strayed |= node.options is not None or node.ways != ways
        else:
            node = _Node(None, ways, 0, list(range(ways - 1, 0, -1)), {})
            self._path.append(node)
        self._at += 1
        return min(node.chosen, ways - 1)

    def ran(self, identity: int, touched: Footprint, by_all: bool = False) -> None:
        """Somebody has made a step, which touched that: whoever sleeps and may meet it wakes.

        `by_all`: the step had to wait until nobody else could go on.
        """
        node, self._node = self._node, None
        sleepers = self._sleepers
        if node is not None:
            node.touched = _both(node.touched, touched)
            sleepers = node.sleeping
        self.redundant |= identity in sleepers
        if touched is None:
            self._sleepers = {}
        elif sleepers:
            self._sleepers = {one: its for one, its in sleepers.items() if not _meet(its, touched)}
        if not self.redundant and not self._observes:
            turn = None if node is None else node.turn
            self._races.step(identity, touched, self._could or (identity,), turn, by_all=by_all)
        self._could, self._observes = (), False

    def _pick(self, options: Sequence[int], ways: int) -> int:
        if self._at < len(self._path):
            node = self._path[self._at]
            self.strayed |= node.options != tuple(options)
        else:
            awake = [index for index in range(ways - 1, -1, -1) if options[index] not in self._sleepers]
            if not awake:
                self.redundant = True
                return 0
            first = awake.pop()
            left = [index for index in awake if self.vanishes(options[index])] if self.told else awake
            node = _Node(tuple(options), ways, first, left, dict(self._sleepers))
            self._path.append(node)
        self._at += 1
        if self.told:
            self._node = node
        return min(node.chosen, ways - 1)


@final
class Exhaustive:
    """Each schedule, except those that are known to do the same as one that was run.

    If any was left out, some more runs by chance and by priorities follow, which must not find anything either.

    Args:
        early: how often, in one run, the clock may move while others can go on.
        reduces: whether steps that cannot meet are run in one order only.
        checks: how many runs by chance follow.

    Attributes:
        runs: how many it took, besides those by chance.
        redundant: how many of them turned out to repeat what had been seen.
    """

    name = "exhaustive"
    systematic = True
    """Its runs are to be given the same values of chance."""

    def __init__(self, early: int = 0, *, reduces: bool = True, checks: int = 32) -> None:
        if early < 0 or checks < 0:
            raise ValueError(f"{early} early moves of the clock, and {checks} checks: both must be 0 or more")
        self._early: Final = early
        self._reduces = reduces
        self._checks = checks
        self._chance: Final = RandomWalks()
        self._priorities: Final = PriorityWalks()
        self._path: Final[list[_Node]] = []
        self._walk: ExhaustiveWalk | None = None
        self._assumed: Final[dict[str, None]] = {}
        self._sealed: Final[set[str]] = set()
        self._strayed = self._exhausted = self._left_out = False
        self.runs = self.redundant = 0

    @property
    def complete(self) -> bool:
        """Whether every schedule has been run, or one that does the same; and the program was the same each time."""
        return self._exhausted and not self._strayed

    @property
    def assumed(self) -> tuple[str, ...]:
        """Under what a search that has nothing left to try is complete."""
        often = f"moves at most {self._early} times" if self._early else "does not move"
        clock = f"the clock {often} while something else can happen"
        stray = ("the program did not repeat itself, so some schedules were not reached",) if self._strayed else ()
        names = ", ".join(sorted(self._sealed))
        sealed = (f"sealed, and looked at in each run: {names}",) if names else ()
        return (clock, *self._assumed, *sealed, *stray)

    def walk(self, number: int, seed: int) -> Walk | None:
        """The next; None when nothing is left."""
        walk, self._walk = self._walk, None
        if walk is not None and not self._over(walk):
            self._exhausted = not self._next()
        if not self._exhausted:
            self.runs += 1
            self._walk = ExhaustiveWalk(self._path, self._early, reduces=self._reduces)
            return self._walk
        if not self._left_out or not self._checks:
            return None
        self._checks -= 1
        by: Strategy = self._priorities if self._checks % 2 else self._chance
        return by.walk(number, seed)

    def learn(self, taught: Taught) -> None:
        """The walk itself has kept what there was to choose."""

    def _over(self, walk: ExhaustiveWalk) -> bool:
        """That run is over. True if the search begins anew, because from now on nothing may be left out."""
        self._strayed |= walk.strayed
        self.redundant += walk.redundant
        footprints = walk.footprints
        if footprints is None:
            return False
        footprints.close()
        self._assumed.update(footprints.assumed)
        self._sealed.update(footprints.sealed)
        self._left_out |= footprints.reduced
        if not footprints.paced or not self._reduces:
            return False
        self._reduces = False
        self._path.clear()
        return True

    def _next(self) -> bool:
        """Turn to the next schedule; False if there is none."""
        path = self._path
        while path and not path[-1].next():
            path.pop()
        return bool(path)
