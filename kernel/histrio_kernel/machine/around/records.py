"""What a history keeps of a transition, and what an interval of time means: defined here, once."""

# Design note
# -----------
# A state's past is a list of activations: periods from the moment in which it was begun to the moment in which it ended.
# Both moments belong to the period, and both ends belong to an interval that is asked about. So a state that is active
# when the interval begins was active in it, also if it ended in that very moment, and a period without length counts.
# All questions about intervals are questions about this list, or about the list of the pauses between.
#
# A record has the ticks before and after as a snapshot (one integer and the schema that says what its bits mean), so
# history goes on when the machine goes on under another schema.

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Final

import attrs

from histrio_kernel.machine.core.clock import tick_of, unpack
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.source import Source

__all__ = ["UNSEEN", "Activation", "Record", "Snapshot", "activations_of", "pauses_between"]

UNSEEN: Final = "unseen"
"""The operation of a record that no transition made: clocks had moved without one, by an import."""


@attrs.frozen
class Snapshot:
    """The ticks of all states of a machine at one moment."""

    schema: Schema = attrs.field(repr=False)
    clock: int

    def tick(self, state: Hashable) -> int:
        """The tick of that state; 0 of a name that the schema of that moment did not have.

        Raises:
            UnknownState: an object of another schema.
        """
        if isinstance(state, str) and state not in self.schema.definitions:
            return 0
        return tick_of(self.clock, self.schema.find(state))

    def is_active(self, state: Hashable) -> bool:
        """Whether that state was active."""
        return self.tick(state) % 2 == 1

    @property
    def active(self) -> tuple[str, ...]:
        """The names of the active states, in the order of the schema."""
        ticks = unpack(self.clock, len(self.schema))
        return tuple(name for name, tick in zip(self.schema.names, ticks, strict=True) if tick % 2)


@attrs.frozen
class Record:
    """One transition."""

    number: int
    """Of the transition in its machine. Several may be missing: not all are kept."""
    op: str
    """add, remove, set, evolve, or `UNSEEN`."""
    called: tuple[str, ...]
    before: Snapshot = attrs.field(repr=False)
    after: Snapshot = attrs.field(repr=False)
    at: float
    """What the clock of the history read when it was over. It never goes back."""
    source: Source | None
    accepted: bool
    is_auto: bool
    reason: str
    """Why it was canceled; empty if it was accepted."""

    def activated(self, state: Hashable) -> bool:
        """Whether that state was begun in it, or begun anew."""
        return any(is_begin for is_begin, _ in self.moves(state))

    def deactivated(self, state: Hashable) -> bool:
        """Whether a period of that state ended in it."""
        return any(not is_begin for is_begin, _ in self.moves(state))

    def changed(self, state: Hashable) -> bool:
        """Whether the clock of that state moved in it."""
        return any(True for _ in self.moves(state))

    def moves(self, state: Hashable) -> Iterator[tuple[bool, int]]:
        """What happened to that state, in order: (True, tick) for a begin, (False, tick) for an end.

        An entry that was rolled back is a begin and an end, a Multi that was called again an end and a begin. Of what
        was not seen, only how it came out is known.
        """
        first, last = self.before.tick(state), self._last(state)
        if self.op == UNSEEN and first != last:
            ends = (first + 1,) if first % 2 else ()
            begins = (last,) if last % 2 else ()
            yield from ((False, tick) for tick in ends)
            yield from ((True, tick) for tick in begins)
            return
        for tick in range(first + 1, last + 1):
            yield tick % 2 == 1, tick

    def _last(self, state: Hashable) -> int:
        """The tick after it. A state that the new schema does not have has left."""
        if isinstance(state, str) and state not in self.after.schema.definitions:
            first = self.before.tick(state)
            return first + first % 2
        return self.after.tick(state)


@attrs.frozen
class Activation:
    """One period of a state, both ends included."""

    tick: int
    began: float | None
    """None: before the history knows."""
    ended: float | None = None
    """None: it has not ended yet."""
    renewed: bool = False
    """It followed the one before without a pause: a Multi was called again."""

    def touches(self, start: float, end: float) -> bool:
        """Whether it has a moment in common with that interval."""
        return (self.began is None or self.began <= end) and (self.ended is None or self.ended >= start)


def activations_of(state: Hashable, base: Snapshot, records: Iterable[Record]) -> list[Activation]:
    """The periods of that state, the oldest first, when `base` was true before the records."""
    found = [Activation(base.tick(state), None)] if base.is_active(state) else []
    for record in records:
        ended_here = False
        for is_begin, tick in record.moves(state):
            if is_begin:
                found.append(Activation(tick, record.at, renewed=ended_here))
            elif found:
                found[-1] = attrs.evolve(found[-1], ended=record.at)
                ended_here = True
    return found


def pauses_between(activations: Iterable[Activation]) -> list[Activation]:
    """The periods in which the state was not active, ends included."""
    pauses: list[Activation] = []
    ended: float | None = None
    tick = 0
    for each in activations:
        if each.began is not None and not each.renewed:
            pauses.append(Activation(each.tick - 1, ended, each.began))
        if each.ended is None:
            return pauses
        ended, tick = each.ended, each.tick + 1
    return [*pauses, Activation(tick, ended)]
