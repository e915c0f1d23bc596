"""The past of a durable actor done again by the code of today: nothing is stored, nothing begins, nobody else hears of it."""

# Design note
# -----------
# The same life that recovers an actor, in a host that refuses to store. A life stores for the first time when its past is
# over, and nothing of a step begins before that is stored; so the refusal stops it right there, with every handler where it
# waits. What is to be seen is taken down then, before the handlers are ended, for their clean-up may change it.
#
# A journal holds whole steps, so a past can end behind a step only. The state at a record is that after its step.

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, Never, cast, final

import attrs
import msgspec
import trio

from histrio.durable.activation import Activation
from histrio.durable.behaviours import name_of
from histrio.durable.boards import Board, Standing
from histrio.durable.draft import Draft
from histrio.durable.items import Done
from histrio.durable.life import Life
from histrio.durable.orders import ADVANCE
from histrio.durable.recorded import Recorded
from histrio.durable.refs import DurableRef
from histrio.durable.work import EffectOf
from histrio.messages import Envelope
from histrio.ref import Ref
from histrio_kernel.combinators import _Combined
from histrio_kernel.errors import ActorStopped, End, HistrioError, Reason, first_of_group
from histrio_kernel.futures import PENDING, Future
from histrio_kernel.journal.codec import shown
from histrio_kernel.journal.cursor import INPUTS, is_early
from histrio_kernel.journal.record import Record
from histrio_kernel.signals import Kind

__all__ = ["SECONDS_MAX", "Replayed", "TookTooLong", "Waiting", "replay"]

SECONDS_MAX: Final = 60.0


class TookTooLong(HistrioError):
    """A handler waits for something that its journal knows nothing of, and does not come back."""


@final
@attrs.frozen
class Waiting:
    """A handler that waits.

    Attributes:
        handler: what it handles, in words.
        since: the `seq` of the record that began it.
        on: the id of each future that it waits for, and what that is.
    """

    handler: str
    since: int
    on: tuple[str, ...]


@final
@attrs.frozen(eq=False)
class Replayed:
    """What has become of the past.

    Attributes:
        path: of the actor.
        seq: of the last record that was to be done again.
        error: why that did not succeed, mostly `NonDeterminism`; None if it did. Then the rest of this is empty.
        behaviour: the name of what it is now.
        attributes: the names of its attributes, and their values as `repr` shows them; of a process also its phase and state.
        waiting: its handlers, in the order in which they began.
        result: what it has ended with, in words; None if it has not.
    """

    path: str
    seq: int
    error: Exception | None = None
    behaviour: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    waiting: tuple[Waiting, ...] = ()
    result: str | None = None


async def replay(
    records: Sequence[Record], at: int | None = None, seconds_max: float = SECONDS_MAX, *, identity: str = ""
) -> Replayed:
    """Do it again, as far as the step that record *at* belongs to; default: all of it.

    The code of the actor runs, also that of its class and of what is made of stored values. Should that do by itself what it
    ought to leave to `self.io`, it does so here, too.

    Args:
        records: what is kept of one actor.
        at: the `seq` of one of them.
        seconds_max: after so many seconds a handler that has not come back is given up.
        identity: of the journal that they are from; chance depends on it.

    Raises:
        ValueError: there are no records, or none of that `seq`.
    """
    past = _until(records, at)
    path, seq = past[-1].path, past[-1].seq
    host = _Nowhere(past, identity)
    error: Exception | None = None
    with trio.move_on_after(seconds_max) as scope:
        try:
            await host.life.run()
            host.take_down()
        except Exception as raised:
            error = cast("Exception", first_of_group(raised))
    if scope.cancelled_caught:
        error = TookTooLong(
            f"{path}: a handler has not come back within {seconds_max:g} s. It waits for what is not recorded: a durable "
            "handler waits for self.io(...), self.sleep(...), or the ask of a durable ref"
        )
    if error is None or isinstance(error, _PastIsOver):
        assert host.seen is not None, past
        return host.seen
    return Replayed(path, seq, error)


def _until(records: Sequence[Record], at: int | None) -> Sequence[Record]:
    """The records up to the end of that step."""
    if not records:
        raise ValueError("an actor without records has no past")
    if at is None:
        return records
    first, last = records[0].seq, records[-1].seq
    if not first <= at <= last:
        raise ValueError(f"{records[0].path} has records {first} to {last}, and none of number {at}")
    end = at - first + 1
    while end < len(records) and not _begins_a_step(records[end]):
        end += 1
    past = list(records[:end])
    if end < len(records) and is_early(past[-1]):  # its step is past, and was empty; as the last record it would be new
        past[-1] = msgspec.structs.replace(past[-1], cause="")
    return past


def _begins_a_step(record: Record) -> bool:
    """A crash is an input that belongs to the step of the one before."""
    return record.kind in INPUTS and record.kind is not Kind.CRASH


class _PastIsOver(HistrioError):
    """From here on all would be new."""


@final
class _Nowhere:
    """A `Host` that stores nothing.

    Attributes:
        life: the only one that takes place in it.
        seen: what there was when the past was over.
    """

    def __init__(self, past: Sequence[Record], identity: str) -> None:
        self.envelopes: dict[int, Envelope[object]] = {}
        self.takes_snapshots = self.is_strict = self.is_to_stop = False
        self.identity: Final = identity
        self._past: Final = past
        self.life: Final = Life(self, past)
        self.seen: Replayed | None = None

    @property
    def path(self) -> str:
        """Of the actor."""
        return self._past[0].path

    def take_down(self) -> None:
        """See what there is now."""
        life, last = self.life, self._past[-1]
        assert life.behaviour is not None, self.path
        stop = next((shown(each.payload) for each in reversed(self._past) if each.kind is Kind.STOP), None)
        result = None if life.result is None else stop or repr(life.result)
        waiting = tuple(sorted(self._waiting(), key=lambda each: each.since))
        self.seen = Replayed(
            self.path,
            last.seq,
            None,
            name_of(type(life.behaviour)),
            (*self._standing(), *_attributes(life.behaviour)),
            waiting,
            result,
        )

    def _standing(self) -> Iterator[tuple[str, str]]:
        """What a process has, besides its attributes."""
        course = self.life.course
        if course is not None:
            yield "phase", str(course.standing.phase)
            yield "state", str(course.standing.state)

    def _waiting(self) -> Iterator[Waiting]:
        for activation in self.life.activations.values():
            record = activation.record
            yield Waiting(_handler(record), record.seq, tuple(_awaited(activation)))

    # -- what a life needs -------------------------------------------------------------------------------------------

    def now(self) -> float:
        """The past ends at its last record."""
        return self._past[-1].at

    async def next(self, *, mail: bool, go: bool) -> Never:
        """The past is over before."""
        raise AssertionError(f"{self.path} lives")

    def put(self, item: Done) -> None:
        """Nobody will take it."""

    def whose_outcome_came(self) -> Collection[str]:
        """Nobody's."""
        return ()

    def goes_on_here(self) -> None:
        """Nothing comes here."""

    async def commit(self, draft: Draft, incarnation: int, *, may_rest: bool) -> None:
        """What is to be stored is new.

        Raises:
            _PastIsOver: always.
        """
        self.take_down()
        raise _PastIsOver(self.path)

    def dereference(self, path: str) -> object:
        """A ref by which handlers send as ever, and everybody else finds nobody."""
        ref: DurableRef[object] = DurableRef(path, self)
        return ref

    def ref_at(self, path: str) -> Ref[object]:
        """There is nobody here.

        Raises:
            ActorStopped: always.
        """
        raise _nobody(path)

    def end_of(self, path: str) -> Future[object]:
        """There is nobody here.

        Raises:
            ActorStopped: always.
        """
        raise _nobody(path)

    def is_live(self, path: str) -> bool:
        """Nobody has ended."""
        return True

    def board_at(self, path: str) -> Board:
        """There is nobody here.

        Raises:
            ActorStopped: always.
        """
        raise _nobody(path)

    def announce(self, standing: Standing) -> None:
        """Never: nothing is stored."""
        _nothing_begins(standing)

    def report(self, error: HistrioError) -> None:
        """It was told when it happened."""

    async def transact(self, record: Record, call: Callable[[sqlite3.Connection], object]) -> Record:
        """Never: nothing has begun."""
        _nothing_begins(record, call)

    def begin_effect(self, work: EffectOf, attempt: int, future: Recorded[object]) -> None:
        """Never: what begins is stored before."""
        _nothing_begins(work, attempt, future)

    def begin_transaction(self, call: Callable[[sqlite3.Connection], object], future: Recorded[object]) -> None:
        """Never."""
        _nothing_begins(call, future)

    def begin_timer(self, at: float, future: Recorded[object]) -> None:
        """Never."""
        _nothing_begins(at, future)

    def begin_join(self, path: str, future: Recorded[object]) -> None:
        """Never."""
        _nothing_begins(path, future)

    async def begin_child(self, path: str) -> None:
        """Nobody lives here."""

    def keep(self, pending: Collection[str]) -> None:
        """Nothing runs."""


def _nobody(path: str) -> ActorStopped:
    return ActorStopped(path, Reason(End.STOPPED, "a past is done again, and nobody is there"))


def _nothing_begins(*what: object) -> Never:
    raise AssertionError(f"nothing is stored, and {what} begins")


# -- what is to be seen -----------------------------------------------------------------------------------------------


def _handler(record: Record) -> str:
    """What a handler handles."""
    if record.kind is Kind.CONTROL:
        return "its advance" if record.key == ADVANCE else "its clean-up"
    return shown(record.payload) if record.kind is Kind.RECEIVE else "its beginning"


def _awaited(activation: Activation) -> Iterator[str]:
    if activation.waits_for is not None:
        yield from _leaves(activation.waits_for)


def _leaves(future: Future[object]) -> Iterator[str]:
    """The futures that are waited for, in the order in which the code names them."""
    if isinstance(future, _Combined):
        for operand in future._operands:
            yield from _leaves(operand)
    elif isinstance(future, Recorded) and future._state == PENDING:
        yield f"{future.id} {future.about}"


def _attributes(behaviour: object) -> Iterator[tuple[str, str]]:
    """Those of the object itself, and not of its class."""
    for name in (*getattr(behaviour, "__dict__", ()), *_slots(type(behaviour))):
        if not name.startswith(("_histrio_", "__")) and hasattr(behaviour, name):
            yield name, _repr(getattr(behaviour, name))


def _slots(kind: type) -> Iterator[str]:
    for each in reversed(kind.__mro__):
        slots = vars(each).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            yield f"_{each.__name__.lstrip('_')}{name}" if private else name


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # whatever it is, the other attributes are to be seen
        return f"<{type(value).__qualname__}, whose repr raised {type(error).__name__}: {error}>"
