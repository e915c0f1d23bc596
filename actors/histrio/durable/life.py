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

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, cast, final

import attrs
import trio
from outcome import Error, Outcome, Value
from trio.lowlevel import ParkingLot

from histrio.durable.activation import Activation
from histrio.durable.beginnings import Beginning
from histrio.durable.behaviours import ContinueAs, behaviour_named, name_of, version_of
from histrio.durable.deeds import Deeds, stored, stored_error, too_long
from histrio.durable.draft import Draft
from histrio.durable.errors import PastTooLong, StillPending
from histrio.durable.items import Answer, Beat, Begin, Done, Item, Letter, Message, Restarted, Told, Transact
from histrio.durable.places import Behaviour, Host
from histrio_kernel.bounds import bound
from histrio_kernel.errors import ActorFailed, ActorStopped, End, HistrioError, Reason, Refusal, told
from histrio_kernel.journal.codec import decode, encode
from histrio_kernel.journal.cursor import TRANSACTION, Cursor, is_early
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import Mail
from histrio_kernel.signals import Kind
from histrio_kernel.simulation.escapes import line_of_error

__all__ = ["Life", "StepFailed"]


class StepFailed(HistrioError):
    """A handler has raised what is no refusal; the journal says so, and the actor is to be made again."""


@final
class Life(Deeds):
    """What one actor does from its first record to its end, or to its next crash.

    Attributes:
        result: what the actor has ended with; None as long as it has not.
        behaviour: its object.
        beginning: who it is, by its oldest record.
    """

    def __init__(self, host: Host, records: Sequence[Record]) -> None:
        super().__init__(host, records)
        self.result: Outcome[object] | None = None
        self.behaviour: Behaviour | None = None
        self.beginning: Beginning | None = None
        self._length = 0
        self._has_warned = False
        self._first: Final[deque[Done | Beat | Begin | Restarted | Transact]] = deque()
        self._mail: Final[deque[Told | Letter]] = deque()
        self._letters: Final[set[tuple[str, int]]] = set()
        self._more: Final = ParkingLot()
        self._at_rest: Final = ParkingLot()
        self._runs = False
        self._ready: Final[deque[Activation]] = deque()
        self._activations: Final[dict[int, Activation]] = {}
        self._failed: tuple[Activation, Exception] | None = None
        self._next_self: tuple[Activation, ContinueAs[*tuple[object, ...]]] | None = None
        self._nursery: trio.Nursery | None = None

    # -- the whole of it ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Do the past again, then live until the actor ends.

        Raises:
            NonDeterminism: the past came out differently.
            StepFailed: a handler has failed; the journal has it.
            JournalFailed: nothing can be stored any more.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await self._again()
                while self.result is None:
                    await self._step(await self._next_item())
                self._end()
        except* HistrioError as group:
            error = _only(group)
            raise error from error.__cause__
        finally:
            self.is_over = True

    def _end(self) -> None:
        assert self._nursery is not None
        self.is_over = True
        self._nursery.cancel_scope.cancel()

    def put(self, item: Item) -> None:
        """Something has come; it is the input of a step of its own."""
        if isinstance(item, Letter):
            name = (item.mail.sender, item.mail.number)
            if name not in self._letters:  # it may have been read from the journal, too
                self._letters.add(name)
                self._mail.append(item)
        elif isinstance(item, Told):
            self._mail.append(item)
        else:
            self._first.append(item)
        self._more.unpark_all()

    async def _next_item(self) -> Item:
        """What ended is taken before what is new (A2); and nothing new while too many handlers wait."""
        while True:
            if self._first:
                return self._first.popleft()
            if self._mail and len(self._activations) < IN_FLIGHT_MAX:
                return self._mail.popleft()
            await self._more.park()

    # -- steps -------------------------------------------------------------------------------------------------------

    async def _again(self) -> None:
        """The past: the same steps, compared. Then what it had begun, and what has no outcome yet, begins again."""
        book, cursor = self.book, self.book.cursor
        assert cursor is not None
        lived = not cursor.is_over
        while not cursor.is_over:
            if cursor.is_last_and_early:  # its step is not stored: it is made now
                record = book.take_input()
                book.cursor, lived = None, record.kind is not Kind.START
                await self._from(record, None)
                break
            await self._step_again(cursor)
        book.cursor = None
        if lived and self.result is None:
            await self._step(Restarted())
            for path in self.children:
                self.host.begin_child(path)
            for future in tuple(self.futures.values()):
                future.begin()

    async def _step_again(self, cursor: Cursor) -> None:
        record = self.book.take_input()
        crash = cursor.take_crash()
        if crash is None:
            self._apply(record)
        else:
            await self._without(int(crash.key), record, crash)
        await self._run_ready()
        if self._failed is not None:
            raise cursor.failed(self._failed[1], line_of_error(self._failed[1]))
        if self._next_self is not None:
            raise cursor.did_something_else(repr(self._next_self[1]))
        self._finish_if_wanted()
        cursor.step_is_over()
        self._length += 1

    async def _step(self, item: Item) -> None:
        """One input, and all that follows from it, in one batch."""
        self.book.draft = Draft()
        record = await self._transacted(item) if isinstance(item, Transact) else self._recorded(item)
        if record is not None:
            await self._from(record, item if isinstance(item, Told) else None)
            await self._look_at_the_length()

    async def _from(self, record: Record, told_by: Told | None) -> None:
        """All that follows from an input, which is in the draft, or in the journal already."""
        self._apply(record, told_by)
        scope, took = self.book.scope, self.book.draft.took
        await self._run_ready()
        while self._next_self is not None and self._failed is None:
            await self._go_on_as_another()
        if self._failed is not None:
            await self._crash(record, scope, took, told_by)
        self._finish_if_wanted()
        await self._commit()

    async def _commit(self) -> None:
        if self.book.broken is not None:
            raise self.book.broken
        draft, self.book.draft = self.book.draft, Draft()
        await self.host.commit(draft, self.book.incarnation)
        self._length += len(draft.records)
        for call in draft.after:
            call()

    async def _crash(self, record: Record, scope: int, took: list[Mail], told_by: Told | None) -> None:
        """Store that this step has failed, instead of what it did.

        Raises:
            StepFailed: always.
        """
        assert self._failed is not None
        activation, error = self._failed
        failed = StepFailed(f"{self.path}: {told(error)}")
        failed.__cause__ = error
        if record.kind is Kind.START:
            raise failed  # it has not begun
        self.book.draft = draft = Draft(took=took)
        self.book.back_to(record, scope)
        if not is_early(record):
            draft.records.append(record)
        payload = stored_error(error)
        self.book.emit(Kind.CRASH, str(activation.scope), payload, activation.scope)
        if record.kind is Kind.RECEIVE and "?" in record.key:
            self.owed[scope] = record.key  # it may have been answered in the step that never happened
        if told_by is not None:
            draft.after.append(told_by.taken)
        self.answer(activation.scope, Error(self._failure(payload)))
        await self._commit()
        raise failed

    async def _without(self, scope: int, record: Record, crash: Record) -> None:
        """That step has failed then: its input is used up, the handler that failed ends, and all others go on."""
        self.book.begin_step(record)
        if record.kind is Kind.RECEIVE and "?" in record.key:
            self.owed[self.book.scope] = record.key
        activation = self._activations.pop(scope, None)
        if activation is not None:
            self._runs = True
            activation.kill()
            while self._runs:
                await self._at_rest.park()
        self.answer(scope, Error(self._failure(crash.payload)))
        if record.kind is not Kind.RESOLVED:
            return
        self._apply(record)
        cursor = self.book.cursor
        assert cursor is not None
        if self._ready and cursor.is_over:  # they have not gone on yet, so what they do now is new
            self.book.cursor, self.book.draft = None, Draft()
            await self._run_ready()
            await self._commit()
            self.book.cursor = cursor

    def _failure(self, payload: bytes) -> ActorFailed:
        """What an asker is told of a crash; the same each time."""
        error = decode(payload, self.host.dereference)
        return ActorFailed(self.path, error if isinstance(error, Exception) else HistrioError(error))

    async def _run_ready(self) -> None:
        """Let the handlers go on whose waits are over, one after another, until all wait."""
        while True:
            while self._runs:
                await self._at_rest.park()
            if self.book.broken is not None:
                raise self.book.broken
            if self._failed is not None or not self._ready:
                return
            self._runs = True
            self._ready.popleft().go()

    # -- what an input does ------------------------------------------------------------------------------------------

    def _recorded(self, item: Item) -> Record | None:
        """The record of an input; None if it says nothing any more."""
        draft = self.book.draft
        match item:
            case Told(envelope):
                record = self.book.new(Kind.RECEIVE, "?" if envelope.is_ask else "", encode(envelope.message))
                draft.after.append(item.taken)
            case Letter(mail):
                draft.took.append(mail)
                record = self._of_letter(mail)
            case Done(future, outcome):
                if future not in self.futures:
                    return None
                record = self.book.new(Kind.RESOLVED, future, stored(outcome))
            case Beat(future, progress):
                record = self.book.new(Kind.CONTROL, f"beat {future}", encode(progress))
            case Begin(payload):
                record = self.book.new(Kind.START, "", payload)
            case Restarted():
                self.book.incarnation += 1
                record = self.book.new(Kind.RESTART, "", b"")
            case _:
                raise AssertionError("the record of a transaction is stored by it")
        draft.records.append(record)
        return record

    async def _transacted(self, item: Transact) -> Record | None:
        """The outcome of a transaction, which has stored it: that is all of the batch, for nobody knew it before."""
        if item.future not in self.futures:
            return None
        record = self.book.new(Kind.RESOLVED, item.future, b"", cause=TRANSACTION)
        try:
            stored = await self.host.transact(record, item.call)
        except Exception as error:
            if isinstance(error, HistrioError):
                raise
            self.book.seq, self.book.count = self.book.seq - 1, self.book.count - 1  # it is not stored
            return self._recorded(Done(item.future, Error(error)))
        return stored

    async def _look_at_the_length(self) -> None:
        """Roll the past up if it is time; tell of one that grows, and stop one that does not end (J7).

        Raises:
            PastTooLong: there are `records_max` records.
        """
        behaviour, length = self.behaviour, self._length
        assert behaviour is not None
        is_quiet = not self._activations and not self.futures and self.result is None
        if behaviour.snapshot_every and length >= behaviour.snapshot_every and is_quiet:
            assert self.beginning is not None
            self.book.draft = Draft()
            self._begins_anew(
                attrs.evolve(self._anew(self.beginning), has_snapshot=True, snapshot=behaviour.snapshot())
            )
            await self._run_ready()
            if self._failed is not None:
                raise StepFailed(f"{self.path}: restore() raised {told(self._failed[1])}") from self._failed[1]
            await self._commit()
        elif length >= behaviour.records_max:
            raise PastTooLong(
                too_long(self.path, length, f"at {length} it stops, for its recovery would take too long")
            )
        elif length >= behaviour.records_warn and not self._has_warned:
            self._has_warned = True
            self.host.report(PastTooLong(too_long(self.path, length, f"at {behaviour.records_max} it will be stopped")))

    def _anew(self, beginning: Beginning) -> Beginning:
        """The same actor, with what it has by now."""
        return attrs.evolve(
            beginning, count=self.book.count, children=tuple(self.children), born=tuple(self.born.items())
        )

    def _of_letter(self, mail: Mail) -> Record:
        what = decode(mail.payload, self.host.dereference)
        cause = f"{mail.sender}:{mail.number}"
        if isinstance(what, Answer):
            return self.book.new(Kind.RESOLVED, what.future, stored(what.outcome), cause=cause)
        assert isinstance(what, Message)
        key = f"{mail.sender}?{what.answer_to}" if what.answer_to else mail.sender
        return self.book.new(Kind.RECEIVE, key, encode(what.what), cause=cause)

    def _apply(self, record: Record, told_by: Told | None = None) -> None:
        """What the input of a step does."""
        self.book.begin_step(record)
        scope = self.book.scope
        match record.kind:
            case Kind.START | Kind.TRANSITION:
                self._begin(record)
            case Kind.RECEIVE:
                message = decode(record.payload, self.host.dereference)
                if "?" in record.key:
                    self.owed[scope] = record.key
                if told_by is not None and told_by.envelope.is_ask:
                    self.envelopes[scope] = told_by
                assert self.behaviour is not None, record
                handle, behaviour = self.behaviour.__histrio_handlers__[message.__class__], self.behaviour
                self._activate(scope, lambda: handle(behaviour, message))
            case Kind.RESOLVED:
                future = self.futures.pop(record.key, None)
                if future is not None:
                    future.resolve(cast("Outcome[object]", decode(record.payload, self.host.dereference)))
            case Kind.RESTART:
                self.restarts += 1
            case Kind.CONTROL:
                future = self.futures.get(record.key.removeprefix("beat "))
                if future is not None:
                    future.progress = decode(record.payload, self.host.dereference)
            case _:
                pass

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
        self._length = 0
        self.book.count = beginning.count + 1
        if beginning.has_snapshot:
            self._activate(self.book.count, lambda: behaviour.restore(beginning.snapshot))
        else:
            self._activate(self.book.count, behaviour.started)

    def _activate(self, scope: int, body: Callable[[], Awaitable[object]]) -> None:
        """A handler begins: it is the next that runs."""
        activation = self._activations[scope] = Activation(self, scope, body)
        self._ready.append(activation)

    def starts(self, activation: Activation) -> None:
        """It gets its task."""
        assert self._nursery is not None
        self._nursery.start_soon(activation.run, name=f"{self.path}: handler {activation.scope}")

    # -- what activations say ----------------------------------------------------------------------------------------

    def rests(self) -> None:
        """The one that ran waits, or has ended."""
        self._runs = False
        self._at_rest.unpark_all()

    def can_go_on(self, activation: Activation) -> None:
        """Its wait is over: it goes on after those whose waits were over before (A2)."""
        self._ready.append(activation)

    def handler_ended(self, activation: Activation) -> None:
        """A handler has returned or raised; its answer is part of this step."""
        scope, outcome = activation.scope, activation.outcome
        if self._activations.pop(scope, None) is None or outcome is None:
            return  # it was ended
        try:
            if isinstance(outcome, Error) and not isinstance(outcome.error, Refusal):
                assert isinstance(outcome.error, Exception)
                self._failed = self._failed or (activation, outcome.error)
            elif isinstance(outcome, Value) and isinstance(outcome.value, ContinueAs):
                self.answer(scope, Value(None))
                self._next_self = (activation, cast("ContinueAs[*tuple[object, ...]]", outcome.value))
            else:
                self.answer(scope, outcome)
        except HistrioError as error:
            self.book.breaks(error)

    # -- the end, or another beginning -------------------------------------------------------------------------------

    async def _go_on_as_another(self) -> None:
        """Roll up the past (J5)."""
        assert self._next_self is not None
        (activation, wanted), self._next_self = self._next_self, None
        if pending := self._what_is_pending(wanted):
            self._failed = (activation, pending)
            return
        self._begins_anew(self._anew(Beginning(name_of(wanted.behaviour), version_of(wanted.behaviour), wanted.args)))
        await self._run_ready()

    def _begins_anew(self, beginning: Beginning) -> None:
        draft = self.book.draft
        payload = encode(beginning)
        if draft.keep_from and draft.is_only_a_beginning:
            draft.records.clear()
            self.book.seq -= 1
        record = self.book.new(Kind.TRANSITION, "", payload)
        draft.records.append(record)
        draft.keep_from = record.seq
        self._apply(record)

    def _what_is_pending(self, wanted: object) -> StillPending | None:
        waiting = [f"handler {scope}" for scope in self._activations] + [
            str(future) for future in self.futures.values()
        ]
        if not waiting:
            return None
        return StillPending(
            f"{self.path} wants to go on as {wanted!r}, and has begun what has no outcome yet: {', '.join(waiting)}. Wait "
            "for it, or cancel it, before you return ContinueAs"
        )

    def _finish_if_wanted(self) -> None:
        wanted = self.result_wanted
        if wanted is None:
            return
        self.book.emit(Kind.STOP, "", stored(wanted), 0)
        self.book.draft.state = "ended"
        self.result = wanted
        reason = ActorStopped(self.path, Reason(End.STOPPED, "it has finished"))
        for scope in tuple(self.owed):
            self.answer(scope, Error(reason))


IN_FLIGHT_MAX: Final = bound("in_flight_max")


def _only(group: BaseExceptionGroup[HistrioError]) -> BaseException:
    """The error that ended a life; the others are of what it ended."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
