"""What may come next in a simulated run, who chooses, and what was chosen.

A run asks its *walk* at every place where more than one thing may happen. The answers, in order, are the *tape*: the
same program with the same tape and seed does the same.
"""

# Design note
# -----------
# The options of a step are in their canonical order: tasks that can go on, in the order in which they became able to;
# then completions of what was asked of the simulated world, in the order of asking; then the clock. So the first option
# is what a plain first-in-first-out scheduler does, and a tape is best told by its departures from zero (the idea is
# simloom's). Identities are given in the order of first sight, so they are the same for the same tape.
#
# A decision is a choice about data rather than order: whether a fault strikes, which half of a write survives. Zero is
# what happens without a fault. Both kinds stand on one tape.

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol, TypeAlias, final

import attrs

__all__ = ["CLOCK", "Departure", "Fifo", "Replay", "Step", "Strategy", "Tape", "Taught", "Walk", "departures"]

CLOCK: Final = 0
"""The identity of the clock among the options of a step."""


class Walk(Protocol):
    """Chooses, in one run."""

    def pick(self, options: Sequence[int]) -> int:
        """Which of at least two may go on: an index. `options` are identities, in canonical order."""
        ...

    def decide(self, ways: int) -> int:
        """One of so many ways, at least two; 0 is the one without a fault."""
        ...


@final
@attrs.frozen
class Taught:
    """What one run has shown to a strategy."""

    tape: Tape
    failed: bool


class Strategy(Protocol):
    """Gives a walk for each run."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def walk(self, number: int, seed: int) -> Walk | None:
        """The walk of run `number`, from 0 on, of a search with that seed; None if nothing is left to try."""
        ...

    def learn(self, taught: Taught) -> None:
        """The run of the last walk is over."""
        ...


@final
@attrs.frozen
class Step:
    """One choice that was made: of how many, and which. A decision has no identities."""

    ways: int
    chosen: int
    is_decision: bool = False


Tape: TypeAlias = tuple[Step, ...]


@attrs.frozen
class Departure:
    """A choice that is not the first: at which place of the tape, and which; and of how many it was, if one knows."""

    at: int
    chosen: int
    ways: int = attrs.field(default=0, eq=False)


def departures(tape: Iterable[Step]) -> tuple[Departure, ...]:
    """Where a tape is not what first-in-first-out would do."""
    return tuple(Departure(at, step.chosen, step.ways) for at, step in enumerate(tape) if step.chosen)


@final
class Fifo:
    """The walk that always takes the first option: first in, first out, and no fault."""

    __slots__ = ()

    def pick(self, options: Sequence[int]) -> int:
        """The first."""
        return 0

    def decide(self, ways: int) -> int:
        """Without a fault."""
        return 0


@final
class Replay:
    """The walk along given departures, first-in-first-out elsewhere.

    One that is beyond the options takes the last of them, so that a tape that was shrunk can be tried on a program
    which then goes another way; whoever wants to know compares the tapes afterwards.
    """

    __slots__ = ("_at", "_left", "_next")

    def __init__(self, departs: Iterable[Departure]) -> None:
        self._left: Final[Iterator[Departure]] = iter(departs)
        self._next = next(self._left, None)
        self._at = 0

    def pick(self, options: Sequence[int]) -> int:
        """As the tape says."""
        return self.decide(len(options))

    def decide(self, ways: int) -> int:
        """As the tape says."""
        at, self._at = self._at, self._at + 1
        departure = self._next
        if departure is None or departure.at != at:
            return 0
        self._next = next(self._left, None)
        return min(departure.chosen, ways - 1)
