"""A schedule told by who comes last: that one victim lets everybody go first is one fact, and fifty departures."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, final

from histrio_kernel.simulation.choices import CLOCK, Departure, Replay

__all__ = ["Late"]


@final
class Late:
    """First in, first out among those who are not late; those who are go on only when nobody else can, before the clock.

    Departures are counted in the order that comes out.

    Args:
        late: identities of those who come last, the latest first.
        departs: where it is otherwise.
    """

    __slots__ = ("_late", "_replay")

    def __init__(self, late: Collection[int], departs: Iterable[Departure]) -> None:
        self._late: Final = frozenset(late)
        self._replay: Final = Replay(departs)

    def pick(self, options: Sequence[int]) -> int:
        """The first that is not late; the tape's departures count in that order."""
        order = sorted(range(len(options)), key=lambda index: (options[index] == CLOCK, options[index] in self._late))
        return order[self._replay.pick(options)]

    def decide(self, ways: int) -> int:
        """As the tape says."""
        return self._replay.decide(ways)
