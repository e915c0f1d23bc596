"""One life of a durable actor: its past done again, then one step after another, each in the journal before it counts.

Invariant: between two steps no handler runs, and everything that has left the actor is in the journal (J2).
"""

# Design note
# -----------
# A step is one input and all that follows from it until every handler waits again. What handlers do meanwhile (send,
# spawn, begin an effect) is collected in a draft. The draft is committed as one batch, and only then do its messages
# leave, its effects begin, its answers go out. So a crash at any place leaves whole steps, and nobody outside knows of a
# step that is not in the journal.
#
# A step that fails never happened: its draft is thrown away, and the journal gets its input and a CRASH that says so. The
# input is used up, the handler that failed is ended, and the actor is made again from the journal. All others find the
# state as it was before that step.
#
# The same code makes a step when the past is done again; only its book differs, which compares instead of writing.

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, cast, final

import attrs
from outcome import Error, Outcome, Value

from histrio.durable.activation import Activation
from histrio.durable.beginnings import Beginning
from histrio.durable.behaviours import ContinueAs, behaviour_named, name_of, version_of
from histrio.durable.book import BEAT
from histrio.durable.course import AnyProcess, Checkpoint, Course
from histrio.durable.draft import Draft
from histrio.durable.errors import BeginningFailed, PastTooLong, SnapshotFailed, StepFailed, StillPending
from histrio.durable.inputs import Inputs
from histrio.durable.items import Done, Item, Restarted, Told, Transact
from histrio.durable.orders import ADVANCE, Order, asker_of
from histrio.durable.places import Behaviour, Host, handle
from histrio.durable.process import DurableProcess
from histrio.durable.recorded import Recorded
from histrio.durable.runner import Runner
from histrio.durable.stored import encode, encode_error, encode_outcome
from histrio.messages import Envelope
from histrio_kernel.bounds import bound
from histrio_kernel.errors import (
    ActorStopped,
    End,
    HistrioError,
    NoMoreMail,
    Reason,
    Refusal,
    first_of_group,
    split_cancelled,
    told,
)
from histrio_kernel.journal.codec import decode, is_constant
from histrio_kernel.journal.cursor import Cursor, is_early
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import Mail
from histrio_kernel.signals import Kind
from histrio_kernel.simulation.escapes import line_of_error

__all__ = ["Life"]

IN_FLIGHT_MAX: Final = bound("in_flight_max")


@final
class Life(Inputs):
    """What one actor does from its first record to its end, or to its next crash.

    Attributes:
        result: what the actor has ended with; None as long as it has not.
        behaviour: its object.
        beginning: who it is, by its oldest record.
        activations: the handlers that have begun and not ended, by their scopes.

    Args:
        host: where it takes place.
        records: what is kept of the actor.
        again: whether it is not the first one in this process.
    """

    __slots__ = (
        "_began_at", "_failed", "_first_scope", "_has_warned", "_is_again", "_known", "_look_from", "_next_self",
        "_runner", "activations", "beginning", "behaviour", "result",
    )  # fmt: skip

    def __init__(self, host: Host, records: Sequence[Record], *, again: bool = False) -> None:
        super().__init__(host, records)
        self._is_again: Final = again
        self.result: Outcome[object] | None = None
        self.behaviour: Behaviour | None = None
        self.beginning: Beginning | None = None
        self._began_at = self._first_scope = 0  # the `seq` and the scope of the beginning
        self._look_from = sys.maxsize
        """How many records since then are worth a look."""
        self._has_warned = False
        self._known: Final[dict[str, Outcome[object]]] = {}
        """Outcomes in the journal of futures that others wait for still, since who was told of them first has failed."""
        self._runner: Final = Runner(self.path, host.goes_on_here, self._is_halted)
        self.activations: Final[dict[int, Activation]] = {}
        self._failed: tuple[Activation, Exception] | None = None
        self._next_self: tuple[Activation, ContinueAs[*tuple[object, ...]]] | None = None

    # -- the whole of it ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Do the past again, then live until the actor ends.

        Raises:
            NonDeterminism: the past came out differently.
            StepFailed: a handler has failed; the journal has it.
            JournalFailed: nothing can be stored any more.
        """
        try:
            await self._runner.live(self._live())
        except BaseExceptionGroup as group:
            _, rest = split_cancelled(group)  # whoever cancels it all will do so again at the next checkpoint
            if rest is None:
                raise
            error = first_of_group(rest)  # what ended this life; the others are of what it ended
            raise error from error.__cause__
        finally:
            self.is_over = True
            self.host.goes_on_here()

    async def _live(self) -> None:
        """Its course, in whatever task that is driven."""
        try:
            item = await self._again()
            while self.result is None:
                if item is None:
                    go = self.course is not None and self.course.advance_is_due
                    item = await self.host.next(mail=len(self.activations) < IN_FLIGHT_MAX, go=go)
                envelope = item.envelope if isinstance(item, Told) else None
                record = await self.transacted(item) if isinstance(item, Transact) else self.recorded(item)
                if record is not None:
                    if (following := await self._make(record, envelope)) is not None:
                        await self._follow(following)
                    if self._length >= self._look_from and self.result is None:
                        await self._look_at_the_length()
                if isinstance(item, Restarted):
                    self._go_on()
                item = None
        finally:
            self.is_over = True

    # -- steps -------------------------------------------------------------------------------------------------------

    async def _again(self) -> Item | None:
        """The past: the same steps, compared; and what is to follow it, if it has lived."""
        book, cursor = self.book, self.book.cursor
        assert cursor is not None
        lived = not cursor.is_over
        while not cursor.is_over:
            if cursor.is_last_and_early:  # its step is not stored: it is made now
                record = book.take_input()
                book.cursor, lived = None, record.kind is not Kind.START
                await self._follow(await self._make(record, None))
                break
            await self._step_again(cursor)
        book.cursor = None
        if not lived or self.result is not None:
            return None
        for path in self.children:
            await self.host.begin_child(path)
        return Restarted(of_process=not self._is_again)

    def _go_on(self) -> None:
        """What has no outcome yet begins again, unless it runs, or its outcome has come."""
        self.host.keep(self.futures)
        come = self.host.whose_outcome_came()
        for future in tuple(self.futures.values()):
            if future.id in self._known:
                self.host.put(Done(future.id, self._known[future.id]))
            elif future.id not in come:
                future.begin()

    async def _step_again(self, cursor: Cursor) -> None:
        record = self.book.take_input()
        crash = cursor.take_crash()
        if crash is None:
            self._apply(record)
            if self.course is not None:
                await self._interrupt(record, self.course)
        else:
            await self._without(record, crash)
        await self._runner.run()
        if self._failed is not None:
            raise cursor.failed(self._failed[1], line_of_error(self._failed[1]))
        if self._next_self is not None:
            raise cursor.did_something_else(repr(self._next_self[1]))
        self._finish_if_wanted()
        cursor.step_is_over()

    async def _follow(self, following: Record | None) -> None:
        """One life after another, by the record that it begins with, which is in the journal."""
        while following is not None and self.result is None:
            if self.host.is_to_stop:
                raise NoMoreMail
            following = await self._make(following, None)

    async def _make(self, record: Record, envelope: Envelope[object] | None) -> Record | None:
        """The step of an input, which is in the draft, or in the journal already. What it returns is the beginning of another
        life, which is in the journal, and whose step is the next.
        """
        first_scope = self._first_scope
        self._apply(record, envelope)
        if self.course is not None:
            await self._interrupt(record, self.course)
        scope, took = self.book.scope, self.book.draft.took
        await self._runner.run()
        following, is_own_step = None, record.kind is Kind.TRANSITION
        while self._next_self is not None and self._failed is None and following is None:
            following = await self._go_on_as_another(is_own_step=is_own_step)
            is_own_step = True
        failed = None if self._failed is None else self._crash(record, scope, took, first_scope)
        self._finish_if_wanted()
        await self._commit(may_rest=failed is None and following is None and self._only_waits_after(record))
        if failed is not None and self.result is None:
            raise failed
        if failed is not None and self.course is not None:
            self.report(failed)
        return following

    def _only_waits_after(self, record: Record) -> bool:
        """Whether the step of that input leaves nothing to do but to wait for the next one."""
        is_ordinary = (record.kind is Kind.RECEIVE or record.kind is Kind.RESOLVED) and self.course is None
        is_over = self.result is not None or self._length >= self._look_from
        return is_ordinary and not is_over and self.book.draft.leaves_nothing_to_do

    async def _commit(self, *, may_rest: bool = False) -> None:
        draft, self.book.draft = self.book.draft, Draft()
        await self.host.commit(draft, self.book.incarnation, may_rest=may_rest)
        if self.course is not None:
            self.host.announce(self.course.standing)
        for path, _ in draft.begins:
            await self.host.begin_child(path)
        for call in draft.after:
            call()

    def _crash(self, record: Record, scope: int, took: list[Mail], first_scope: int) -> StepFailed:
        """Record that this step has failed, instead of what it did. If it was the beginning that failed, that is the end.

        Raises:
            BeginningFailed: there is no actor yet that could end.
        """
        assert self._failed is not None
        activation, error = self._failed
        if record.kind is Kind.START and not is_early(record):
            raise BeginningFailed(error)
        self.book.draft = draft = Draft()
        draft.took = took
        self.book.back_to(record, scope)
        if not is_early(record):
            draft.records.append(record)
        payload = encode_error(error)
        self.result_wanted = None
        self.book.emit(Kind.CRASH, str(activation.scope), payload, activation.scope)
        self.tell_of_crash(record, scope, activation.scope, payload, first_scope)
        failed = StepFailed(f"{self.path}: {told(error)}")
        failed.__cause__ = error
        return failed

    async def _without(self, record: Record, crash: Record) -> None:
        """That step has failed then: its input is used up, the handler that failed ends, and all others go on."""
        self.book.begin_step(record)
        failed = int(crash.key)
        if (activation := self.activations.pop(failed, None)) is not None:
            await self._runner.kill(activation)
        self.tell_of_crash(record, self.book.scope, failed, crash.payload, self._first_scope)
        if record.kind is Kind.RESOLVED and record.key in self.futures:
            self._known[record.key] = self.outcome_of(record)
        for future in [each for each in self.futures.values() if each.id.startswith(f"{failed}.")]:
            future.cancel_if_alone()

    def _is_halted(self) -> bool:
        """Whether no handler is to go on, for one has failed.

        Raises:
            NonDeterminism: nothing of this life is to go on.
        """
        if self.book.broken is not None:
            raise self.book.broken
        return self._failed is not None

    # -- what an input does ------------------------------------------------------------------------------------------

    @property
    def _length(self) -> int:
        """How many records there are since the beginning."""
        return self.book.seq - self._began_at + 1

    async def _look_at_the_length(self) -> None:
        """Roll the past up if it is time; tell of one that grows, and stop one that does not end (J7).

        Raises:
            PastTooLong: there are `records_max` records.
        """
        behaviour, length = self.behaviour, self._length
        assert behaviour is not None
        is_quiet = not self.activations and not self.futures and (self.course is None or self.course.is_quiet)
        if behaviour.snapshot_every and length >= behaviour.snapshot_every and is_quiet and self.host.takes_snapshots:
            await self._roll_up(behaviour)
        elif length >= behaviour.records_max:
            raise PastTooLong(self.path, length, f"at {length:,} it stops, for its recovery would take too long")
        elif length >= behaviour.records_warn and not self._has_warned:
            self._has_warned = True
            self.report(PastTooLong(self.path, length, f"at {behaviour.records_max:,} it will be stopped"))

    async def _roll_up(self, behaviour: Behaviour) -> None:
        """Go on as the same actor, from a snapshot.

        Raises:
            StepFailed: the object that was made of it cannot go on; the one before is to be made again.
        """
        assert self.beginning is not None
        try:
            snapshot = behaviour.snapshot() if self.course is None else self.course.snapshot()
            beginning = attrs.evolve(self.anew(self.beginning), has_snapshot=True, snapshot=snapshot)
            self._apply(self._rolled_up(beginning))
        except Exception as error:
            self.book.draft = Draft()
            self._takes_no_snapshots("snapshot()", error)
            return
        await self._runner.run()
        if self._failed is not None:
            failure = self._failed[1]
            self._takes_no_snapshots("restore()", failure)
            raise StepFailed(f"{self.path}: restore() raised {told(failure)}") from failure
        await self._commit()

    def _takes_no_snapshots(self, what: str, error: Exception) -> None:
        self.host.takes_snapshots = False
        self.report(SnapshotFailed(self.path, what, error))

    def _apply(self, record: Record, envelope: Envelope[object] | None = None) -> None:
        """What the input of a step does."""
        self.book.begin_step(record)
        scope = self.book.scope
        match record.kind:
            case Kind.RECEIVE:
                if envelope is not None and is_constant(envelope.message):
                    message = envelope.message
                else:
                    message = decode(record.payload, self.host.dereference)
                self.owes(record.key, scope, envelope)
                assert self.behaviour is not None, record
                self._activate(scope, record, partial(handle, self.behaviour, message))
            case Kind.START | Kind.TRANSITION:
                self._begin(record)
            case Kind.RESOLVED:
                future = self.futures.pop(record.key, None)
                if future is not None:
                    self._known.pop(record.key, None)
                    future.resolve(self.outcome_of(record))
            case Kind.RESTART:
                self.restarts += record.key == "process"
            case Kind.CONTROL if record.key.startswith(BEAT):
                future = self.futures.get(record.key.removeprefix(BEAT))
                if future is not None:
                    future.progress = decode(record.payload, self.host.dereference)
            case Kind.CONTROL:
                self._control(record, scope, envelope)
            case _:
                pass

    def _control(self, record: Record, scope: int, envelope: Envelope[object] | None) -> None:
        """A process is given an order, or begins to advance."""
        course = self.course
        if course is None or (record.key == ADVANCE and not course.advance_is_due):
            assert self.book.cursor is not None
            self.book.breaks(self.book.cursor.did_something_else("nothing: it is not to advance, or is no process"))
        elif record.key == ADVANCE:
            self._activate(scope, record, course.take(), course.kept)
        else:
            self.owes(asker_of(record), scope, envelope)
            course.order(scope, cast(Order, decode(record.payload, self.host.dereference)))

    async def _interrupt(self, record: Record, course: Course) -> None:
        """Cancel what a process is not to do any more, and let it go on without."""
        course.look()
        activation = course.interrupted()
        if activation is not None:
            del self.activations[activation.scope]
            await self._runner.kill(activation)
        body = course.after()
        if body is not None:
            self._activate(self.book.scope, record, body)

    def _begin(self, record: Record) -> None:
        """Make the object, and let it begin."""
        beginning = cast(Beginning, decode(record.payload, self.host.dereference))
        cls = behaviour_named(beginning.behaviour, self.path)
        self.behaviour = behaviour = cast(Behaviour, cls(*beginning.args))
        self.beginning, self._has_warned = beginning, False
        behaviour._histrio_born(self)
        self.children.clear()
        self.children.update(dict.fromkeys(beginning.children))
        self.born.clear()
        self.born.update(beginning.born)
        self.book.count = scope = beginning.count + 1
        self._began_at, self._first_scope = record.seq, scope
        self._look_from = min(behaviour.snapshot_every or sys.maxsize, behaviour.records_warn, behaviour.records_max)
        if isinstance(behaviour, DurableProcess):
            process = cast(AnyProcess, behaviour)
            checkpoint = cast(Checkpoint, beginning.snapshot) if beginning.has_snapshot else None
            self.course = Course(self, process, checkpoint)
            self._activate(scope, record, self.course.start)
        elif beginning.has_snapshot:
            self._activate(scope, record, lambda: behaviour.restore(beginning.snapshot))
        else:
            self._activate(scope, record, behaviour.started)

    def _activate(
        self,
        scope: int,
        record: Record,
        body: Callable[[], Awaitable[object]],
        kept: list[Recorded[object]] | None = None,
    ) -> None:
        """A handler begins: it is the next that runs."""
        activation = self.activations[scope] = Activation(self, scope, record, body, kept)
        if self.host.is_strict:
            activation.is_looked_at()
        if self.course is not None:
            self.course.begins(activation)
        self._runner.can_go_on(activation)

    # -- what activations say ----------------------------------------------------------------------------------------

    def waits(self) -> None:
        """The one that ran waits."""
        self._runner.waits()

    def can_go_on(self, activation: Activation) -> None:
        """Its wait is over."""
        self._runner.can_go_on(activation)

    def handler_ended(self, activation: Activation) -> None:
        """A handler has returned or raised; its answer is part of this step."""
        self._look_at_the_end(activation)
        self._runner.ends()

    def _look_at_the_end(self, activation: Activation) -> None:
        scope, outcome = activation.scope, activation.outcome
        if self.activations.pop(scope, None) is None or outcome is None:
            return  # it was ended
        try:
            if self.course is not None:
                error = self.course.ended(outcome)
                self._failed = self._failed or (None if error is None else (activation, error))
            elif isinstance(outcome, Error) and not isinstance(outcome.error, Refusal):
                assert isinstance(outcome.error, Exception)
                self._failed = self._failed or (activation, outcome.error)
            elif isinstance(outcome, Value) and isinstance(outcome.value, ContinueAs):
                self.answer(scope, Value(None))
                self._next_self = (activation, cast("ContinueAs[*tuple[object, ...]]", outcome.value))
            elif not self.answer(scope, outcome) and isinstance(outcome, Error):
                self.refused(activation.record, told(outcome.error))
        except HistrioError as error:
            self.book.breaks(error)

    # -- the end, or another beginning -------------------------------------------------------------------------------

    async def _go_on_as_another(self, *, is_own_step: bool) -> Record | None:
        """Roll up the past (J5). Lives that only go on as another have a step each: else the journal never had one of them."""
        assert self._next_self is not None
        (activation, wanted), self._next_self = self._next_self, None
        waiting = [f"handler {scope}" for scope in self.activations] + [str(future) for future in self.futures.values()]
        if waiting:
            self._failed = (activation, StillPending(self.path, wanted, waiting))
            return None
        beginning = self.anew(Beginning(name_of(wanted.behaviour), version_of(wanted.behaviour), wanted.args))
        if is_own_step:
            return self._rolled_up(beginning, self.path)
        self._apply(self._rolled_up(beginning))
        await self._runner.run()
        return None

    def _rolled_up(self, beginning: Beginning, cause: str = "") -> Record:
        """The record that all before is rolled up in."""
        record = self.book.new(Kind.TRANSITION, "", encode(beginning), cause=cause)
        self.book.draft.records.append(record)
        self.book.draft.keep_from = record.seq
        self.beginning = beginning
        return record

    def _finish_if_wanted(self) -> None:
        wanted = self.result_wanted
        if wanted is None:
            return
        self.book.emit(Kind.STOP, "", encode_outcome(wanted), 0)
        self.book.draft.state = "ended"
        self.result = wanted
        reason = ActorStopped(self.path, Reason(End.STOPPED, "it has finished"))
        for scope in tuple(self.owed):
            self.answer(scope, Error(reason) if self.course is None else self.course.farewell(scope, reason))
