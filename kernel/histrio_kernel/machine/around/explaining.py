"""Why a mutation came out as it did: who implied, removed or failed whom. A pure function beside the resolver."""

# Design note
# -----------
# The resolver says what, and is fast; it is not made to say why. Here its steps are walked once more, with a note for
# each decision, and a test holds the two outcomes together. Nothing is traced, so an explanation can be had of any
# mutation at any time, also of one that was never made.

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence, Set
from typing import Final

import attrs

from histrio_kernel.machine.core.moves import Move
from histrio_kernel.machine.core.resolve import ADD, EVOLVE, REMOVE, SET, Op, Resolver
from histrio_kernel.machine.core.schema import Schema

__all__ = ["Explanation", "Reason", "Why", "explain", "explain_move"]


class Why(enum.Enum):
    """How one state had to do with another."""

    IMPLIED = "implied by"
    REMOVED = "removed by"
    LACKS = "requires"


@attrs.frozen
class Reason:
    """One thing that resolution decided. States are numbers of the schema."""

    state: int
    why: Why
    by: int
    """Who implied or removed it, or what it requires and cannot have."""


@attrs.frozen
class Explanation:
    """What a mutation comes to by the relations alone, and what decided it, in the order in which it was decided."""

    schema: Schema
    active: tuple[int, ...]
    op: Op
    called: tuple[int, ...]
    target: tuple[int, ...]
    reasons: tuple[Reason, ...]

    @property
    def missing(self) -> tuple[int, ...]:
        """The states that were called and are not in the outcome. Any of them refuses an add or a set."""
        return () if self.op is REMOVE else tuple(state for state in self.called if state not in self.target)

    def of(self, state: int) -> Reason | None:
        """What decided about that state in the end; None if nothing did."""
        return next((reason for reason in reversed(self.reasons) if reason.state == state), None)

    def because(self, state: int) -> str:
        """Why that state is not in the outcome, back to the first cause; empty if nothing decided about it."""
        return ", and ".join(self._causes(state))

    def lines(self) -> tuple[str, ...]:
        """Each reason in words."""
        names = self.schema.names
        return tuple(f"{names[each.state]}: {each.why.value} {names[each.by]}" for each in self.reasons)

    def _causes(self, state: int) -> Iterator[str]:
        """One after the other, each once."""
        names, seen = self.schema.names, set[int]()
        reason = self.of(state)
        while reason is not None and reason.why is not Why.IMPLIED and reason.state not in seen:
            seen.add(reason.state)
            if reason.why is Why.REMOVED:
                yield f"{names[reason.by]} removes {names[reason.state]}"
                return
            yield f"{names[reason.state]} requires {names[reason.by]}"
            reason = self.of(reason.by)


_NOBODY: Final[frozenset[int]] = frozenset()


def explain(
    schema: Schema,
    active: Sequence[int],
    op: Op,
    called: Sequence[int],
    barred: Set[int] = _NOBODY,
    resolver: Resolver | None = None,
) -> Explanation:
    """What that mutation comes to when these states are active, and why.

    Args:
        schema: the states and relations.
        active: the numbers of the active states, in their order.
        op: the operation.
        called: the numbers of the states that are named.
        barred: states that may not enter, whoever names them.
        resolver: of that schema, if there is one already.

    Examples:
        >>> schema = Schema.from_data({"wet": {"require": ["water"]}, "water": {}, "dry": {"remove": ["water"]}})
        >>> why = explain(schema, [schema.index("dry")], ADD, [schema.index("wet")])
        >>> why.lines()
        ('wet: requires water',)
        >>> explain(schema, [2], ADD, [0, 1]).because(0)
        'wet requires water, and dry removes water'
    """
    rules = Resolver(schema) if resolver is None else resolver
    if op is EVOLVE:
        op, called = SET, active
    reasons: list[Reason] = []
    if op is REMOVE:
        leaving = set(called)
        names = [name for name in active if name not in leaving]
    else:
        base = [*called, *active] if op is ADD else called
        start = list(dict.fromkeys(name for name in base if name not in barred))
        names = _closure(schema, start, active, called, barred, reasons)
    names = _settle(schema, rules, names, reasons)
    return Explanation(schema, tuple(active), op, tuple(called), rules.order.sort(names), tuple(reasons))


def explain_move(move: Move, resolver: Resolver | None = None) -> Explanation:
    """The same for a transition's move. Of an auto transition, the reasons of each round in which states were let go."""
    rules = Resolver(move.schema) if resolver is None else resolver
    active, called = move.before.active, move.called
    found = explain(move.schema, active, move.op, called, resolver=rules)
    if not move.is_auto:
        return found
    reasons = dict.fromkeys(found.reasons)
    kept = called
    while found.missing and len(found.missing) < len(kept):
        kept = tuple(state for state in kept if state in found.target)
        found = explain(move.schema, active, move.op, kept, resolver=rules)
        reasons.update(dict.fromkeys(found.reasons))
    return attrs.evolve(found, called=called, reasons=tuple(reasons))


def _closure(
    schema: Schema,
    names: list[int],
    active: Sequence[int],
    called: Sequence[int],
    barred: Set[int],
    reasons: list[Reason],
) -> list[int]:
    """These names and all that they bring: those that were not active, or are Multi and called."""
    walked, known = list(names), set(names)
    silent = set(active).difference(schema.multi.intersection(called))
    for name in walked:  # it grows while it is walked
        for implied in () if name in silent else schema.add[name]:
            if implied not in known and implied not in barred:
                known.add(implied)
                walked.append(implied)
                reasons.append(Reason(implied, Why.IMPLIED, name))
    return walked


def _settle(schema: Schema, rules: Resolver, names: list[int], reasons: list[Reason]) -> list[int]:
    """What is left when nothing lacks a requirement and nothing is removed by another, round by round."""
    while True:
        kept = list(rules.with_requirements(names))
        reasons += _lacking(schema, names, set(kept))
        left = _without_removed(schema, kept, reasons)
        if len(left) == len(names):
            return left
        names = left


def _lacking(schema: Schema, names: Sequence[int], kept: Set[int]) -> Iterator[Reason]:
    """Of each name that is not kept: the first requirement that is not there."""
    for name in names:
        if name not in kept:
            yield Reason(name, Why.LACKS, next(needed for needed in schema.require[name] if needed not in kept))


def _without_removed(schema: Schema, names: list[int], reasons: list[Reason]) -> list[int]:
    """The names that no other one removes that is still there, from the last to the first."""
    left = set(names)
    for name in reversed(names):
        removers = schema.removed_by[name] & left
        if removers:
            left.discard(name)
            reasons.append(Reason(name, Why.REMOVED, next(by for by in names if by in removers)))
    return [name for name in names if name in left]
