"""What a machine did is kept, within a bound, and can be asked: when was a state begun, active, ended, and by what."""

# Design note
# -----------
# The history is a ring: the oldest record goes when a new one finds it full. What was true before the oldest that is
# left is known all the same (`base`), and from when on anything is known, too. A question whose answer depends on what
# was forgotten raises instead of answering "no".

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from histrio_kernel.machine.around.records import (
    UNSEEN,
    Activation,
    Record,
    Snapshot,
    activations_of,
    pauses_between,
)
from histrio_kernel.machine.around.watcher import Watcher, label_of, name_of
from histrio_kernel.machine.core.body import BUSY
from histrio_kernel.machine.core.clock import Fields
from histrio_kernel.machine.core.errors import nearest
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import EXECUTED, Canceled
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.source import Source
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.variables import K

__all__ = ["RECORDS_MAX", "Forgotten", "History", "NotTracked"]

RECORDS_MAX: Final = 1000


class Forgotten(LookupError):
    """A history was asked about a time that it does not know: before it began, or dropped to make room."""


class NotTracked(LookupError):
    """A history was asked about a state whose changes it does not record."""


class History(Watcher[K]):
    """Records the transitions of a machine that change its states or schema, in memory, the last `records_max` of them.

    Args:
        machine: whose. It is recorded from the next transition on.
        clock: what the times of records are read from, as `trio.current_time`; a time never goes back.
        states: whose changes are recorded; all if none are given.
        called: record also transitions that name one of them and change none.
        rejected: record also those that name one of them and were canceled.
        records_max: how many are kept.

    Examples:
        >>> from histrio_kernel.machine.core.schema import Schema
        >>> machine = Machine(Schema.from_data({"wet": {"remove": ["dry"]}, "dry": {"remove": ["wet"]}}))
        >>> time = iter(range(100))
        >>> history = History(machine, lambda: next(time))
        >>> _ = machine.add("wet"), machine.add("dry"), machine.add("wet")
        >>> [(record.at, record.op, record.called) for record in history.records]
        [(1, 'add', ('wet',)), (2, 'add', ('dry',)), (3, 'add', ('wet',))]
        >>> history.activated_between("dry", 0, 1), history.active_between("dry", 3, 9)
        (False, True)
        >>> history.last_active("wet")
        Activation(tick=3, began=3, ended=None, renewed=False)
    """

    def __init__(
        self,
        machine: Machine[K],
        clock: Callable[[], float],
        *,
        states: Iterable[K] | None = None,
        called: bool = False,
        rejected: bool = False,
        records_max: int = RECORDS_MAX,
    ) -> None:
        if records_max < 1:
            raise ValueError(f"records_max is {records_max}: a history keeps at least one record")
        self._tracked: Final = None if states is None else frozenset(name_of(machine, state) for state in states)
        self._records: Final[deque[Record]] = deque()
        self._records_max: Final = records_max
        self._clock: Final = clock
        self._called: Final = called
        self._rejected: Final = rejected
        self._last = Snapshot(machine.schema, machine.clock)
        self._base = self._last
        self._evolving: Snapshot | None = None
        self._fields = self._fields_of(machine.schema)
        self._names: Final = dict.fromkeys(machine.schema.names)
        self._time = clock()
        self._began = self._time
        self._dropped_at: float | None = None
        super().__init__(machine)

    def __repr__(self) -> str:
        return f"<History of {label_of(self.machine)}: {len(self._records)} of {self._records_max} records>"

    def __len__(self) -> int:
        return len(self.records)

    # -- recording -------------------------------------------------------------------------------------------------------

    def end(self, transition: Transition) -> None:
        """Keep it, if it is of interest."""
        if transition.dry:
            return
        self._notice(transition.before)
        before, self._evolving = self._evolving or self._last, None
        after = Snapshot(transition.schema, transition.after) if transition.moved else self._last
        self._last = after
        if self._is_of_interest(transition, before, after):
            self._keep(_record(transition, before, after, self._now()))

    def schema_changed(self, old: Schema, new: Schema) -> None:
        """The record of the transition that follows begins with what was true under the old schema."""
        self._evolving = self._last
        self._last = Snapshot(new, self.machine.clock)
        self._fields = self._fields_of(new)
        self._names.update(dict.fromkeys(new.names))

    def _is_of_interest(self, transition: Transition, before: Snapshot, after: Snapshot) -> bool:
        """Whether it is to be recorded."""
        if before.schema is not after.schema or self._fields.differ(before.clock, after.clock):
            return True
        if not (self._called if transition.result is EXECUTED else self._rejected):
            return False
        return any(self._tracks(transition.schema.names[state]) for state in transition.called)

    def _notice(self, clock: int) -> None:
        """If the clocks have moved without a transition, record that."""
        before = self._last
        if clock == before.clock:
            return
        self._last = after = Snapshot(before.schema, clock)
        if self._fields.differ(before.clock, clock):
            number = 0 if self.machine.more is None else self.machine.more.transitions
            self._keep(Record(number, UNSEEN, (), before, after, self._now(), None, True, False, ""))

    def _keep(self, record: Record) -> None:
        """The oldest goes if there is no room."""
        if len(self._records) == self._records_max:
            dropped = self._records.popleft()
            self._base, self._dropped_at = dropped.after, dropped.at
        self._records.append(record)

    def _now(self) -> float:
        """The time, which never goes back."""
        self._time = max(self._time, self._clock())
        return self._time

    def _fields_of(self, schema: Schema) -> Fields:
        """The tracked states, in the clocks of that schema."""
        return Fields(number for number, name in enumerate(schema.names) if self._tracks(name))

    def _tracks(self, name: str) -> bool:
        """Whether changes of that state are recorded."""
        return self._tracked is None or name in self._tracked

    # -- questions -------------------------------------------------------------------------------------------------------

    @property
    def records(self) -> tuple[Record, ...]:
        """What is kept, the oldest first."""
        if not self._is_closed and not self.machine.flags & BUSY and self._last.schema is self.machine.schema:
            self._notice(self.machine.clock)
        return tuple(self._records)

    @property
    def known_since(self) -> float:
        """Nothing is known of times before. At this very time, only what came of it."""
        return self._began if self._dropped_at is None else self._dropped_at

    def latest(self, limit: int = 1, predicate: Callable[[Record], bool] | None = None) -> list[Record]:
        """The last records for which the predicate holds, the newest first, at most `limit`."""
        if limit < 0:
            raise ValueError(f"limit is {limit}: it must be 0 or more")
        found: list[Record] = []
        for record in reversed(self.records):
            if len(found) == limit:
                break
            if predicate is None or predicate(record):
                found.append(record)
        return found

    def match(self, predicate: Callable[[Record], bool]) -> list[Record]:
        """All records for which the predicate holds, the oldest first."""
        return [record for record in self.records if predicate(record)]

    def activations(self, state: K) -> list[Activation]:
        """All known periods of that state, the oldest first.

        Raises:
            NotTracked: its changes are not recorded.
            UnknownState: there is no such state.
        """
        name = self._name(state)
        records = self.records
        return activations_of(name, self._base, records)

    def activated_between(self, state: K, start: float, end: float) -> bool:
        """Whether that state was begun at a time from `start` to `end`, both included.

        Raises:
            Forgotten: none is known, and the interval begins before anything is known.
            NotTracked: its changes are not recorded.
            ValueError: the interval ends before it begins.
        """
        began = (each.began for each in self.activations(state))
        return self._within(start, end, any(at is not None and start <= at <= end for at in began))

    def deactivated_between(self, state: K, start: float, end: float) -> bool:
        """Whether a period of that state ended in that interval; see `activated_between`."""
        ended = (each.ended for each in self.activations(state))
        return self._within(start, end, any(at is not None and start <= at <= end for at in ended))

    def active_between(self, state: K, start: float, end: float) -> bool:
        """Whether that state was active at some moment of that interval; see `activated_between`."""
        return self._within(start, end, any(each.touches(start, end) for each in self._known(start, state)))

    def inactive_between(self, state: K, start: float, end: float) -> bool:
        """Whether that state was not active at some moment of that interval; see `activated_between`.

        The opposite of "active all the time", and not of `active_between`.
        """
        pauses = self._known(start, state, pauses=True)
        return self._within(start, end, any(each.touches(start, end) for each in pauses))

    def last_active(self, state: K) -> Activation | None:
        """The latest period of that state, which may go on still; None if none is known.

        Raises:
            NotTracked: its changes are not recorded.
        """
        known = self.activations(state)
        return known[-1] if known else None

    def ticks_at(self, time: float) -> dict[str, int]:
        """The ticks of all tracked states when the clock read `time`, after what happened at that time.

        Raises:
            Forgotten: nothing is known of that time.
        """
        if time < self.known_since:
            raise self._forgotten(time)
        records = self.records
        then = next((record.after for record in reversed(records) if record.at <= time), self._base)
        return {name: then.tick(name) for name in then.schema.names if self._tracks(name)}

    def _known(self, start: float, state: K, *, pauses: bool = False) -> list[Activation]:
        """Its periods, or its pauses. Of one that began before anything is known, only what is known."""
        found = self.activations(state)
        if pauses:
            found = pauses_between(found)
        if start >= self.known_since:
            return found
        return [Activation(e.tick, self.known_since if e.began is None else e.began, e.ended) for e in found]

    def _within(self, start: float, end: float, seen: bool) -> bool:
        """The answer, if it is certain."""
        if not start <= end:
            raise ValueError(f"the interval from {start} to {end} ends before it begins")
        is_known = start >= self._began if self._dropped_at is None else start > self._dropped_at
        if not seen and not is_known:
            raise self._forgotten(start)
        return seen

    def _forgotten(self, time: float) -> Forgotten:
        """The error for a time too early."""
        why = "it began then" if self._dropped_at is None else f"it keeps {self._records_max} records (records_max)"
        return Forgotten(
            f"{self!r} knows nothing of the time {time}: its knowledge begins at {self.known_since}, {why}"
        )

    def _name(self, state: K) -> str:
        """The name of a tracked state, of this schema or of an earlier one."""
        name = state if isinstance(state, str) and state in self._names else name_of(self.machine, state)
        if not self._tracks(name):
            tracked = self._tracked or ()
            raise NotTracked(
                f"{self!r} does not record {name!r}, which is not one of its `states`: {nearest(name, sorted(tracked))}"
            )
        return name


def _record(transition: Transition, before: Snapshot, after: Snapshot, at: float) -> Record:
    """What is kept of a transition: nothing that would keep arguments or errors alive."""
    source: Source | None = transition.source
    result = transition.result
    return Record(
        number=transition.number,
        op=transition.op.name,
        called=tuple(transition.schema.names[state] for state in transition.called),
        before=before,
        after=after,
        at=at,
        source=source,
        accepted=result is EXECUTED,
        is_auto=transition.is_auto,
        reason=result.reason if isinstance(result, Canceled) else "",
    )
