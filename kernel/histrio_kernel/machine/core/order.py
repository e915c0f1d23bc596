"""In which order states stand in a resolved list, and so in which order their handlers run."""

# Design note
# -----------
# Two rules, and the second has the last word. What a state requires comes before it: a depth-first post-order of the
# require graph, in which only states with requirements are started from, in the order of the schema. Then `after`. The
# original sorts the second time with a comparator that is not transitive, so it honours `after` between neighbours only;
# picking one name at a time honours it always, and still ends when the `after`s form a circle. Nobody looks through all
# names for each pick: those that wait for nobody stand in a heap, by their places.

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from heapq import heapify, heappop, heappush
from typing import Final, final

from histrio_kernel.machine.core.schema import Schema

__all__ = ["Order", "turned_round"]


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
        present = set(names)
        if all(self._after[name].isdisjoint(present) for name in names):
            return tuple(names)
        return tuple(self._pick(names, present))

    def _pick(self, names: Sequence[int], present: Set[int]) -> Iterator[int]:
        """Again and again the first that waits for none of those that still wait; if all do, the first."""
        waits_for = {name: self._after[name] & present for name in names}
        followers = turned_round(waits_for)
        left = {name: len(others) for name, others in waits_for.items()}
        place = {name: number for number, name in enumerate(names)}
        free = [place[name] for name in names if not left[name]]
        heapify(free)
        first = 0  # all before this place are picked
        while left:
            while names[first] not in left:
                first += 1
            chosen = names[heappop(free)] if free else names[first]
            del left[chosen]
            for other in followers[chosen]:
                if other in left:
                    left[other] -= 1
                    if not left[other]:
                        heappush(free, place[other])
            yield chosen


def turned_round(relation: Mapping[int, Iterable[int]]) -> Mapping[int, Sequence[int]]:
    """For each state, those that have it in their relation, in the order of the states."""
    turned: dict[int, list[int]] = {state: [] for state in relation}
    for state, others in relation.items():
        for other in others:
            turned[other].append(state)
    return turned


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
