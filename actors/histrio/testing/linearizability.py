"""Whether concurrent clients were told what one client at a time could have been told (D5)."""

# Design note
# -----------
# Wing and Gong's search with Lowe's memory: take away, again and again, an operation that no other one had ended before,
# if the model returns for it what the client was told; a set of operations and a state that were tried once are not
# tried again. Objects of different keys are checked by themselves (P-compositionality, Horn and Kroening 2015).
#
# One that never returned may be taken at any time since its call, with whatever result, or never: a history is fine as
# soon as all that returned have been taken.
#
# To make a counterexample smaller, operations are left out that happened after the first one that cannot be explained:
# a prefix of a history that cannot be explained is none whose rest could help. (Operations from the middle may not be
# left out: a write may be what made another result right.) What had begun and not returned by then is open.

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Final, Generic, TypeVar, final

import attrs

from histrio.testing.history import History, Operation
from histrio.testing.models import Model

__all__ = ["NotLinearizable", "check_linearizable", "is_linearizable", "lost_writes"]

O = TypeVar("O")  # noqa: E741 - an operation

_LANE: Final = 64
"""Characters of a lane of the drawing."""


class NotLinearizable(AssertionError):
    """No order of the operations explains what the clients were told. The text shows a small part that cannot be."""


def check_linearizable(history: History[O], model: Model[O]) -> None:
    """Raise if no order, one operation at a time, explains what the clients were told.

    Raises:
        NotLinearizable: with a drawing of the operations, how far one gets, and what would have been right.

    Examples:
        >>> from histrio.testing.models import Read, Register, Write
        >>> history: History[Read | Write] = History()
        >>> write = history.begin("ann", Write(1)); write.returned()
        >>> read = history.begin("ben", Read()); read.returned(None)
        >>> check_linearizable(history, Register())
        Traceback (most recent call last):
        histrio.testing.linearizability.NotLinearizable: no order of these 2 operations explains what the clients were told:
        ...
    """
    for key, operations in history.by_key().items():
        search = _Search(operations, model)
        if not search.run():
            small = _smaller(operations, model)
            raise NotLinearizable(_told(key, small, _searched(small, model)))


def is_linearizable(operations: Sequence[Operation[O]], model: Model[O]) -> bool:
    """Whether some order of these operations, all of one object, explains their results."""
    return _Search(operations, model).run()


@final
class _Search(Generic[O]):
    """Looks for an order."""

    def __init__(self, operations: Sequence[Operation[O]], model: Model[O]) -> None:
        self.operations: Final = operations
        self.model: Final = model
        self.longest: tuple[int, ...] = ()
        """The longest order found in which every result is right."""
        self.state: Hashable = model.initial
        """The state after it."""
        returned = [index for index, each in enumerate(operations) if each.ended is not None]
        self._needed: Final = sum(1 << index for index in returned)

    def run(self) -> bool:
        """Whether there is one."""
        tried: set[tuple[int, Hashable]] = set()
        order: list[int] = []
        stack: list[tuple[int, Hashable, list[tuple[int, Hashable]]]] = [
            (0, self.model.initial, self._next(0, self.model.initial))
        ]
        while stack:
            taken, state, ways = stack[-1]
            if taken & self._needed == self._needed:
                return True
            if len(order) > len(self.longest):
                self.longest, self.state = tuple(order), state
            if not ways:
                stack.pop()
                if order:
                    order.pop()
                continue
            index, after = ways.pop()
            key = (taken | 1 << index, after)
            if key not in tried:
                tried.add(key)
                order.append(index)
                stack.append((*key, self._next(*key)))
        return False

    def _next(self, taken: int, state: Hashable) -> list[tuple[int, Hashable]]:
        """The operations that may come next, with the state after each; the first to try is the last."""
        found: list[tuple[int, Hashable]] = []
        for index in self._open(taken):
            operation = self.operations[index]
            after, result = self.model.step(state, operation.what)
            if operation.ended is None or result == operation.result:
                found.append((index, after))
        found.reverse()
        return found

    def _open(self, taken: int) -> Iterator[int]:
        """Those not taken yet that no other one of them had ended before; they stand in the order of their calls."""
        first_end = math.inf
        index = ((taken + 1) & ~taken).bit_length() - 1
        while index < len(self.operations):
            operation = self.operations[index]
            if operation.began > first_end:
                break
            if not taken >> index & 1:
                yield index
                first_end = first_end if operation.ended is None else min(first_end, operation.ended)
            index += 1

    def candidates(self) -> list[Operation[O]]:
        """Those of which one would have to be next after the longest order."""
        taken = sum(1 << index for index in self.longest)
        return [self.operations[index] for index in self._open(taken) if self.operations[index].ended is not None]


def _searched(operations: Sequence[Operation[O]], model: Model[O]) -> _Search[O]:
    search = _Search(operations, model)
    search.run()
    return search


def _smaller(operations: Sequence[Operation[O]], model: Model[O]) -> tuple[Operation[O], ...]:
    """The shortest beginning of the history that cannot be explained."""
    ends = sorted(each.ended for each in operations if each.ended is not None)
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        if is_linearizable(_until(operations, ends[middle]), model):
            low = middle + 1
        else:
            high = middle
    return _until(operations, ends[high])


def _until(operations: Sequence[Operation[O]], event: int) -> tuple[Operation[O], ...]:
    """The history as it was at that event."""
    return tuple(
        each if each.ended is not None and each.ended <= event else attrs.evolve(each, ended=None, result=None)
        for each in operations
        if each.began < event
    )


def _told(key: Hashable, operations: Sequence[Operation[O]], search: _Search[O]) -> str:
    of = "" if key is None else f" of {key!r}"
    order = ", ".join(str(operations[index]) for index in search.longest) or "nothing"
    lines = [
        f"no order of these {len(operations)} operations{of} explains what the clients were told:",
        *_drawing(operations),
        f"the longest order that is right: {order}",
        f"then the state is {search.state!r}, and next would have to be one of:",
    ]
    for operation in search.candidates():
        _, result = search.model.step(search.state, operation.what)
        lines.append(f"  {operation}, which would have returned {result!r}")
    return "\n".join(lines)


def _drawing(operations: Sequence[Operation[object]]) -> list[str]:
    """A lane for each operation, from its call to its return."""
    events = sorted({each.began for each in operations} | {each.ended for each in operations if each.ended is not None})
    scale = max(1, min(4, _LANE // max(1, len(events))))
    place = {event: at * scale for at, event in enumerate(events)}
    width = len(events) * scale
    lines: list[str] = []
    for each in operations:
        begins = place[each.began]
        ends = width if each.ended is None else place[each.ended]
        bar = " " * begins + "├" + "─" * max(0, ends - begins - 1) + ("┈" if each.ended is None else "┤")
        lines.append(f"  {bar.ljust(width + 1)}  {each}")
    return lines


def lost_writes(
    acknowledged: Sequence[tuple[Hashable, object]],
    found: dict[Hashable, object],
    unacknowledged: Sequence[tuple[Hashable, object]] = (),
) -> list[str]:
    """What was acknowledged and is not found after a recovery, a sentence for each key; none if nothing is lost.

    Args:
        acknowledged: keys and values, in the order of their acknowledgements; the last of a key counts.
        found: what there is.
        unacknowledged: keys and values of writes that may have happened after the last acknowledged one.

    Examples:
        >>> lost_writes([("x", 1), ("x", 2)], {"x": 1})
        ["'x' was acknowledged as 2, and 1 was found"]
        >>> lost_writes([("x", 1)], {"x": 3}, unacknowledged=[("x", 3)])
        []
    """
    last = dict(acknowledged)
    lost: list[str] = []
    for key, value in last.items():
        allowed = [value, *(other for k, other in unacknowledged if k == key)]
        if key not in found:
            lost.append(f"{key!r} was acknowledged as {value!r}, and nothing was found")
        elif found[key] not in allowed:
            lost.append(f"{key!r} was acknowledged as {value!r}, and {found[key]!r} was found")
    return lost
