"""Looks for an order of operations, one at a time, that explains what the clients were told (D5)."""

# Design note
# -----------
# Wing and Gong's search with Lowe's memory: take away, again and again, an operation that no other one had ended before,
# if the model returns for it what the client was told; a place that was seen once is not searched again.
#
# One that never returned may be taken at any time since its call, with whatever result, or never: a history is fine as
# soon as all that returned have been taken. Each of them doubles the places, so three rules keep them few. None of
# them loses an order:
#
# - One that never returned is taken only where it changes the state, and of equal ones the first that was called.
# - A place is left out if there was one with the same state, the same taken of those that returned, and of those that
#   never returned a part only: what can be done here could be done there. So of places that explain as much, the one
#   that took the fewest of those that never returned is searched first.
#
# Places that explain the most are searched first: most histories can be explained, and then this goes straight on.
# (The fewest that never returned first, everywhere, took 30 times as long for 600 calls of which 60 never returned.)
#
# Not a rule, tempting as it is: to take at once what is right and changes nothing. A write of what is there already may
# be needed later, to undo what another one wrote.

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Final, Generic, TypeVar, final

import attrs

from histrio.testing.history import Operation
from histrio.testing.models import Model

__all__ = ["Place", "Search", "TooLong"]

O = TypeVar("O")  # noqa: E741 - an operation


class TooLong(Exception):
    """A search has used up its steps."""


@final
@attrs.define(eq=False)  # not frozen, since a search makes many; nobody changes one
class Place:
    """Where a search has come to.

    Attributes:
        state: of the model.
        returned: which of those that returned were taken, a bit for each.
        lost: which of those that never returned were taken, a bit for each.
        before: the place before this one.
        by: the operation that led here.
    """

    state: Hashable
    returned: int = 0
    lost: int = 0
    before: Place | None = None
    by: Operation[object] | None = None

    def order(self) -> list[Operation[object]]:
        """The operations that lead here."""
        found: list[Operation[object]] = []
        place: Place | None = self
        while place is not None and place.by is not None:
            found.append(place.by)
            place = place.before
        return found[::-1]


@final
class Search(Generic[O]):
    """Looks for an order of operations on one object.

    Args:
        operations: in the order of their calls.
        model: what the object does.
        first: the state in the beginning.
        steps_max: so often the model is asked, at most.
    """

    def __init__(
        self, operations: Sequence[Operation[O]], model: Model[O], first: Hashable, steps_max: float = math.inf
    ) -> None:
        self._returned: Final = [each for each in operations if each.ended is not None]
        self._lost: Final = [each for each in operations if each.ended is None]
        self._twins: Final = _twins(self._lost)
        self._model: Final = model
        self._seen: Final[dict[tuple[int, Hashable], list[int]]] = {}
        self.steps = 0
        """So often the model was asked."""
        self._steps_max: Final = steps_max
        self.farthest = Place(first)
        """The place at which the most of those that returned were taken, and the fewest others."""
        self.stuck_at = 0
        """The return that is the first that no place came to; the history until then can be explained."""

    def run(self) -> bool:
        """Whether there is an order.

        Raises:
            TooLong: the steps did not suffice to know.
        """
        return next(self.ends(), None) is not None

    def ends(self) -> Iterator[Place]:
        """The places at which all that returned have been taken. None is left out that has a state of its own."""
        everything = (1 << len(self._returned)) - 1
        tickets = 0
        waiting: list[tuple[int, int, int, Place]] = [(0, 0, 0, self.farthest)]
        farthest = (0, 0)
        while waiting:
            negative, lost, _, place = heapq.heappop(waiting)
            if not self._is_new(place):
                continue
            if (negative, lost) < farthest:
                farthest, self.farthest = (negative, lost), place
            if place.returned == everything:
                yield place
                continue
            for after in self._next(place):
                more = after.lost != place.lost
                tickets += 1
                heapq.heappush(waiting, (negative - (not more), lost + more, -tickets, after))

    def open(self, place: Place) -> list[Operation[O]]:
        """Those that returned of which one has to be the next of them that is taken."""
        return [self._returned[index] for index in self._untaken(place)]

    def _is_new(self, place: Place) -> bool:
        """Whether no place was seen from which as much can be done."""
        try:
            seen = self._seen.setdefault((place.returned, place.state), [])
        except TypeError:
            message = f"the state {place.state!r} of {self._model!r} is not hashable: make it a tuple or a frozen class"
            raise TypeError(message) from None
        if any(lost & place.lost == lost for lost in seen):
            return False
        seen.append(place.lost)
        return True

    def _next(self, place: Place) -> list[Place]:
        """The places after this one, the first to try at the end."""
        ways: list[Place] = []
        first_end = math.inf
        for index in self._untaken(place):
            operation = self._returned[index]
            first_end = min(first_end, _end(operation))
            after, result = self._step(place, operation)
            if result == operation.result:
                ways.append(Place(after, place.returned | 1 << index, place.lost, place, operation))
        self.stuck_at = max(self.stuck_at, int(first_end))
        return [*self._next_lost(place, first_end), *reversed(ways)]

    def _next_lost(self, place: Place, first_end: float) -> list[Place]:
        """The places after this one by operations that never returned."""
        ways: list[Place] = []
        for index, operation in enumerate(self._lost):
            if operation.began > first_end:
                break
            twin = self._twins[index]
            if place.lost >> index & 1 or not (twin is None or place.lost >> twin & 1):
                continue
            after, _ = self._step(place, operation)
            if after != place.state:
                ways.append(Place(after, place.returned, place.lost | 1 << index, place, operation))
        return ways

    def _untaken(self, place: Place) -> Iterator[int]:
        """Those that returned, are not taken yet, and that no other one of them had ended before."""
        first_end = math.inf
        taken = place.returned
        for index in range(((taken + 1) & ~taken).bit_length() - 1, len(self._returned)):
            operation = self._returned[index]
            if operation.began > first_end:
                return
            if not taken >> index & 1:
                yield index
                first_end = min(first_end, _end(operation))

    def _step(self, place: Place, operation: Operation[O]) -> tuple[Hashable, object]:
        if self.steps >= self._steps_max:
            raise TooLong(f"{self.steps} steps")
        self.steps += 1
        return self._model.step(place.state, operation.what)


def _end(operation: Operation[object]) -> int:
    assert operation.ended is not None, "only of those that returned"
    return operation.ended


def _twins(operations: Sequence[Operation[object]]) -> list[int | None]:
    """For each operation the last one before it that asks the same."""
    last: dict[object, int] = {}
    found: list[int | None] = []
    for index, operation in enumerate(operations):
        try:
            twin = last.get(operation.what)
            last[operation.what] = index
        except TypeError:  # it is not hashable, so it stands for itself
            twin = None
        found.append(twin)
    return found
