"""Which states would be active after a mutation: a pure function of the schema, the active states and the call."""

# Design note
# -----------
# This file is the reference: it remembers nothing, and the automaton must never answer otherwise. Lists are ordered and
# a name keeps its first place, because the order decides who wins when two states remove each other: the walk for
# removals goes backwards, so what stands first (what was called) is judged last, and by then its rivals are gone.

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Final, final

from histrio_kernel.machine.core.order import Order, turned_round
from histrio_kernel.machine.core.schema import Schema

__all__ = ["ADD", "EVOLVE", "REMOVE", "SET", "Op", "Resolver"]


@final
class Op:
    """One kind of mutation. There are four, and they are compared by identity."""

    __slots__ = ("index", "name", "sign")

    def __init__(self, index: int, name: str, sign: str) -> None:
        self.index: Final = index
        self.name: Final = name
        self.sign: Final = sign

    def __repr__(self) -> str:
        return self.name


ADD: Final = Op(0, "add", "+")
REMOVE: Final = Op(1, "remove", "-")
SET: Final = Op(2, "set", "=")
EVOLVE: Final = Op(3, "evolve", "~")
"""A `set` of the active states under the relations of a new schema; what does not fit any more leaves."""

_NOBODY: Final[frozenset[int]] = frozenset()


@final
class Resolver:
    """The rules of one schema."""

    __slots__ = ("_add", "_autos", "_multi", "_removed_by", "_require", "_required_by", "order")

    def __init__(self, schema: Schema) -> None:
        self.order: Final = Order(schema)
        self._add: Final = schema.add
        self._multi: Final = schema.multi
        self._require: Final = schema.require
        self._required_by: Final = turned_round(dict(enumerate(schema.require)))
        self._removed_by: Final = schema.removed_by
        self._autos: Final = schema.autos

    def resolve(
        self, active: Sequence[int], op: Op, called: Sequence[int], barred: Set[int] = _NOBODY
    ) -> tuple[int, ...]:
        """The ordered states that would be active; `barred` ones may not enter, whoever names them."""
        if op is REMOVE:
            leaving = set(called)
            names = [name for name in active if name not in leaving]
        else:
            base = [*called, *active] if op is ADD else called
            names = self._closure(base, active, called, barred)
        return self.order.sort(self.settle(names))

    def resolve_auto(self, active: Sequence[int], called: Sequence[int]) -> tuple[int, ...] | None:
        """What would be active after these auto states are called together; None if not one of them can enter.

        Those that are not in the outcome are let go and the rest resolved again, until none is let go. It may be that
        none is left in the end, because those that could enter needed what was let go: that is accepted, and changes
        nothing, unless nothing at all would be active.
        """
        target = self.resolve(active, ADD, called)
        kept = self._kept(called, target)
        if not kept:
            return None
        while len(kept) < len(called):
            called = kept
            target = self.resolve(active, ADD, called)
            kept = self._kept(called, target)
        return target or None

    @staticmethod
    def _kept(called: Sequence[int], target: Iterable[int]) -> list[int]:
        """Those called that are in the outcome."""
        present = set(target)
        return [name for name in called if name in present]

    def auto_candidates(self, active: Sequence[int]) -> tuple[int, ...]:
        """The inactive auto states that no active state removes, in the order of the schema."""
        present = set(active)
        return tuple(name for name in self._autos if name not in present and self._removed_by[name].isdisjoint(present))

    def settle(self, names: Sequence[int]) -> Sequence[int]:
        """What is left of `names` when nothing lacks a requirement and nothing is removed by another."""
        while True:
            left = self._without_removed(self.with_requirements(names))
            if len(left) == len(names):
                return left
            names = left

    def _closure(
        self, base: Iterable[int], active: Sequence[int], called: Sequence[int], barred: Set[int]
    ) -> list[int]:
        """`base` and all that its members imply: those that were not active, or are Multi and called."""
        names = [name for name in dict.fromkeys(base) if name not in barred]
        seen = set(names)
        silent = set(active).difference(self._multi.intersection(called))
        for name in names:  # it grows while it is walked
            if name in silent:
                continue
            for implied in self._add[name]:
                if implied not in seen and implied not in barred:
                    seen.add(implied)
                    names.append(implied)
        return names

    def with_requirements(self, names: Sequence[int]) -> Sequence[int]:
        """`names` without those whose requirements are not all among them, until that is true of all."""
        present = set(names)
        lacking = [name for name in names if not present.issuperset(self._require[name])]
        present.difference_update(lacking)
        for name in lacking:  # it grows while it is walked
            for other in self._required_by[name]:
                if other in present:
                    present.discard(other)
                    lacking.append(other)
        return [name for name in names if name in present] if lacking else names

    def _without_removed(self, names: Sequence[int]) -> Sequence[int]:
        """`names` without those that another one removes which is itself still there, from the last to the first."""
        left = set(names)
        for name in reversed(names):
            if not self._removed_by[name].isdisjoint(left):
                left.discard(name)
        return [name for name in names if name in left]
