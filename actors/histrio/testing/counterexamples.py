"""A small part of a history that no order explains, as a text that a person understands (D5)."""

# Design note
# -----------
# What may be left out of a history so that what is left still proves that the whole cannot be explained?
#
# - The end: a beginning that cannot be explained has no rest that could help. So the shortest such beginning is taken.
#   What had not returned by then might have happened or not.
# - A beginning after which the state is certain, at a moment at which nothing that returned was under way.
# - An operation from the middle may not be left out just like that: a write may be what made a later result right. But
#   suppose that we do not know whether, when, and with which result it happened (it *never returned*). That allows all
#   that the history allows, and more. If no order explains even this, the operation does not matter, and may be left
#   out. Many are tried at once, then fewer and fewer.
# - Of what never returned, whatever does not help to explain more of the others. (No order needs it then, for none can
#   be found with it. What helps is drawn, or else what it explains would look like the mistake.)
# - What helps is drawn with its result, if it had one, and that may say already what another one was needed for.
#
# All this is search, and searches may be long. So each has a number of steps; what is not known after them is kept.

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Final, Generic, TypeVar, final

import attrs

from histrio.testing.history import Operation
from histrio.testing.models import Model
from histrio.testing.orders import Search, TooLong

__all__ = ["Counterexample", "counterexample"]

O = TypeVar("O")  # noqa: E741 - an operation
T = TypeVar("T")

_LANE: Final = 64
"""Characters of a lane of the drawing, about."""

_LANES_MAX: Final = 40
"""Lanes of a drawing, at most; the last ones are what matters."""

_NAMED_MAX: Final = 6
"""Operations named in one line, at most."""

_TAIL: Final = 10
"""So many operations that returned are kept, at least, when the beginning is left out."""

_STEPS_MAX: Final = 20_000
"""Steps of one search of an attempt."""

_ALL_STEPS_MAX: Final = 200_000
"""Steps of all attempts at one counterexample: a second or two."""


@final
@attrs.frozen
class Counterexample(Generic[O]):
    """Operations that no order explains.

    Attributes:
        operations: these, in the order of their calls.
        first: the state before them.
        earlier: so many operations came before that, and can be explained.
        left_out: operations that do not matter.
    """

    operations: tuple[Operation[O], ...]
    first: Hashable
    earlier: int
    left_out: tuple[Operation[O], ...]

    def told(self, key: Hashable, model: Model[O]) -> str:
        """A drawing of them, how far one gets, and what would have been right."""
        search = Search(self.operations, model, self.first)
        assert not search.run(), self
        of = "" if key is None else f" of {key!r}"
        count = f"these {len(self.operations)} operations" if len(self.operations) > 1 else "this operation"
        place = search.farthest
        lines = [f"no order of {count}{of} explains what the clients were told:", *drawing(self.operations)]
        if self.earlier:
            lines.append(f"before: {self.earlier:,} operations that can be explained; then the state is {self.first!r}")
        lines.append(f"the longest order that is right: {_last(place.order()) or 'nothing'}")
        lines.append(f"then the state is {place.state!r}, and next would have to be one of:")
        for operation in search.open(place):
            _, result = model.step(place.state, operation.what)
            lines.append(f"  {operation}, which would have returned {result!r}")
        if self.left_out:
            lines.append(f"left out, for it does not matter whether and when they happened: {_first(self.left_out)}")
        return "\n".join(lines)


def counterexample(operations: Sequence[Operation[O]], model: Model[O]) -> Counterexample[O] | None:
    """A small one from the operations on one object, in the order of their calls; None if some order explains them."""
    search = Search(operations, model, model.initial)
    return None if search.run() else _Smaller(model).of(operations, search.stuck_at)


@final
class _Smaller(Generic[O]):
    """Leaves out what may be left out."""

    def __init__(self, model: Model[O]) -> None:
        self._model: Final = model
        self._steps_left = _ALL_STEPS_MAX

    def of(self, operations: Sequence[Operation[O]], stuck_at: int) -> Counterexample[O]:
        """See the design note: the end, the beginning, the middle, and what never returned."""
        beginning = self._shortest(operations, stuck_at)
        first, late = self._from_a_certain_state(beginning)
        needed = _fewest(
            [each for each in late if each.ended is not None], lambda some: self._is_wrong(_known(late, some), first)
        )
        lost = [each for each in _known(late, needed) if each.ended is None]
        told = self._explained([*needed, *lost], first)
        helpful = _fewest(lost, lambda some: told is not None and self._explained([*needed, *some], first) == told)
        shown = self._without_the_superfluous(late, {each.began for each in (*needed, *helpful)}, first)
        return Counterexample(
            tuple(each for each in late if each.began in shown),
            first,
            len(beginning) - len(late),
            tuple(each for each in late if each.began not in shown),
        )

    def _without_the_superfluous(self, operations: list[Operation[O]], shown: set[int], first: Hashable) -> set[int]:
        """Of those that began then, whoever is needed for the proof, or explains another one."""
        while True:
            some = [each for each in operations if each.began in shown]
            told = self._explained(some, first)
            for each in some:
                others = [one for one in some if one is not each]
                left = self._explained(others, first)
                if told is None or left is None or left < told - (each.ended is not None):
                    continue
                if self._is_wrong(_known(operations, others), first):
                    shown = shown - {each.began}
                    break
            else:
                return shown

    def _shortest(self, operations: Sequence[Operation[O]], stuck_at: int) -> list[Operation[O]]:
        """The shortest beginning that no order explains; most often it ends where the first search was stuck."""
        ends = sorted(each.ended for each in operations if each.ended is not None)
        low, high = ends.index(stuck_at), len(ends) - 1
        reach = 1
        while low < high:
            middle = min(low + reach - 1, (low + high) // 2)
            if Search(_until(operations, ends[middle]), self._model, self._model.initial).run():
                low, reach = middle + 1, 2 * reach
            else:
                high = middle
        return _until(operations, ends[high])

    def _from_a_certain_state(self, operations: list[Operation[O]]) -> tuple[Hashable, list[Operation[O]]]:
        """A late moment with one state that is possible, and the operations since then: they are not explained either."""
        nothing = (self._model.initial, operations)
        for event in _quiet(operations)[-4:][::-1]:
            early = [each for each in operations if each.began < event]
            state = self._only_state(early)
            late = [each for each in operations if each.ended is None or each.began > event]
            if state is not None and self._is_wrong(late, state[0]):
                return state[0], late
        return nothing

    def _only_state(self, operations: Sequence[Operation[O]]) -> tuple[Hashable] | None:
        """The state after these, if there is but one."""
        search = Search(operations, self._model, self._model.initial, self._some_steps())
        states: set[Hashable] = set()
        try:
            for end in search.ends():
                states.add(end.state)
                if len(states) > 1:
                    return None
        except TooLong:
            return None
        finally:
            self._steps_left -= search.steps
        return (states.pop(),) if states else None

    def _is_wrong(self, operations: Sequence[Operation[O]], first: Hashable) -> bool:
        """Whether it is certain that no order explains these."""
        search = Search(operations, self._model, first, self._some_steps())
        try:
            return not search.run()
        except TooLong:
            return False
        finally:
            self._steps_left -= search.steps

    def _explained(self, operations: Sequence[Operation[O]], first: Hashable) -> int | None:
        """How many that returned can be explained; None if that is not known."""
        in_order = sorted(operations, key=lambda each: each.began)
        search = Search(in_order, self._model, first, self._some_steps())
        try:
            search.run()
        except TooLong:
            return None
        finally:
            self._steps_left -= search.steps
        return search.farthest.returned.bit_count()

    def _some_steps(self) -> int:
        return max(0, min(_STEPS_MAX, self._steps_left))


def _until(operations: Sequence[Operation[O]], event: int) -> list[Operation[O]]:
    """The history as it was at that event."""
    return [
        each if each.ended is not None and each.ended <= event else _forgotten(each)
        for each in operations
        if each.began < event
    ]


def _known(operations: Sequence[Operation[O]], some: Sequence[Operation[O]]) -> list[Operation[O]]:
    """The operations, of which only *some* are known to have returned."""
    returned = {each.began for each in some}
    return [each if each.began in returned else _forgotten(each) for each in operations]


def _forgotten(operation: Operation[O]) -> Operation[O]:
    return attrs.evolve(operation, ended=None, result=None)


def _quiet(operations: Sequence[Operation[object]]) -> list[int]:
    """The calls at which nothing that returned was under way, and after which enough of it came."""
    returned = [each for each in operations if each.ended is not None]
    found: list[int] = []
    last_end = 0
    for each in returned[: max(0, len(returned) - _TAIL + 1)]:
        assert each.ended is not None, "only those that returned are looked at"
        if 0 < last_end < each.began:
            found.append(each.began)
        last_end = max(last_end, each.ended)
    return found


def _fewest(things: Sequence[T], holds: Callable[[list[T]], bool]) -> list[T]:
    """Few of *things* for which it holds: all but one half, all but a quarter, and so on to all but one."""
    few = list(things)
    size = len(few)
    while size:
        at = 0
        while at < len(few):
            fewer = few[:at] + few[at + size :]
            if holds(fewer):
                few = fewer
            else:
                at += size
        size //= 2
    return few


def drawing(operations: Sequence[Operation[object]]) -> list[str]:
    """A lane for each operation, from its call to its return."""
    hidden = len(operations) - _LANES_MAX
    shown = operations[-_LANES_MAX:]
    events = sorted({each.began for each in shown} | {each.ended for each in shown if each.ended is not None})
    scale = max(1, min(4, _LANE // max(1, len(events))))
    place = {event: at * scale for at, event in enumerate(events)}
    width = len(events) * scale
    lines = [f"  ... {hidden:,} operations called before"] if hidden > 0 else []
    for each in shown:
        begins = place[each.began]
        ends = width if each.ended is None else place[each.ended]
        bar = " " * begins + "├" + "─" * max(0, ends - begins - 1) + ("┈" if each.ended is None else "┤")
        lines.append(f"  {bar.ljust(width + 1)}  {each}")
    return lines


def _first(operations: Sequence[Operation[object]]) -> str:
    more = len(operations) - _NAMED_MAX
    return ", ".join(map(str, operations[:_NAMED_MAX])) + (f", and {more:,} more" if more > 0 else "")


def _last(operations: Sequence[Operation[object]]) -> str:
    more = len(operations) - _NAMED_MAX
    return (f"{more:,} others, " if more > 0 else "") + ", ".join(map(str, operations[-_NAMED_MAX:]))
