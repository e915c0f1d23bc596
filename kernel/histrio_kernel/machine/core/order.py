"""In which order states stand in a resolved list, and so in which order their handlers run."""

# Design note
# -----------
# Two rules, and the second has the last word. What a state requires comes before it: a depth-first post-order of the
# require graph, in which only states with requirements are started from, in the order of the schema. Then `after`. The
# original sorts the second time with a comparator that is not transitive, so it honours `after` between neighbours only;
# picking one name at a time honours it always, and still ends when the `after`s form a circle.

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, final

from histrio_kernel.machine.core.schema import Schema

__all__ = ["Order"]


class _Circle(Exception):
    """The require graph has one, so it gives no order."""


@final
class Order:
    """The order of the states of one schema."""

    __slots__ = ("_after", "_place")

    def __init__(self, schema: Schema) -> None:
        self._after: Final = schema.after
        self._place: Final = _places(schema)

    def sort(self, states: Iterable[int]) -> tuple[int, ...]:
        """These states in order; those between which no rule decides keep their places."""
        names = sorted(states, key=self._place.__getitem__)
        if all(self._after[name].isdisjoint(names) for name in names):
            return tuple(names)
        return tuple(self._pick(names))

    def _pick(self, waiting: list[int]) -> Iterator[int]:
        """Again and again the first that waits for none of those that still wait; if all do, the first."""
        while waiting:
            free = (name for name in waiting if self._after[name].isdisjoint(waiting))
            chosen = next(free, waiting[0])
            waiting.remove(chosen)
            yield chosen


def _places(schema: Schema) -> tuple[int, ...]:
    """The place of every state in the post-order of the require graph; -1 outside of it, and everywhere in a circle."""
    places = [-1] * len(schema)
    try:
        for place, state in enumerate(_post_order(schema.require)):
            places[state] = place
    except _Circle:
        return (-1,) * len(schema)
    return tuple(places)


def _post_order(require: tuple[tuple[int, ...], ...]) -> list[int]:
    """The states that require or are required, each behind what it requires."""
    done: dict[int, None] = {}
    for start, required in enumerate(require):
        if not required or start in done:
            continue
        path = {start: iter(required)}  # a chain may be longer than Python recurses
        while path:
            state, others = next(reversed(path.items()))
            other = next(others, None)
            if other is None:
                del path[state]
                done[state] = None
            elif other in path:
                raise _Circle
            elif other not in done:
                path[other] = iter(require[other])
    return list(done)
