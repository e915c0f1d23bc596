"""What comes to a durable actor, as the record that a step begins with: the half of a life that looks outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from outcome import Error, Outcome

from histrio.durable.book import BEAT
from histrio.durable.course import Course
from histrio.durable.deeds import Deeds
from histrio.durable.items import Answer, Beat, Begin, Done, Go, Item, Letter, Message, Restarted, Told, Transact
from histrio.durable.orders import ADVANCE, Order, asker_of
from histrio.durable.places import Host
from histrio.durable.stored import encode, encode_outcome
from histrio.messages import Envelope
from histrio_kernel.errors import ActorFailed, HistrioError
from histrio_kernel.journal.codec import decode
from histrio_kernel.journal.cursor import BEGINNINGS, TRANSACTION
from histrio_kernel.journal.errors import JournalFailed, SeqConflict, Unencodable
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import DeadLetterRow, Mail
from histrio_kernel.signals import Kind

__all__ = ["Inputs"]


class Inputs(Deeds):
    """Makes records of what comes.

    Attributes:
        course: of a process: what it does; None of other actors, and before it begins.
    """

    __slots__ = ("course",)

    def __init__(self, host: Host, records: Sequence[Record]) -> None:
        super().__init__(host, records)
        self.course: Course | None = None

    def recorded(self, item: Item) -> Record | None:
        """The record of an input; None if it says nothing any more."""
        draft = self.book.draft
        match item:  # the most common first
            case Told(envelope):
                try:
                    payload = encode(envelope.message)
                except Unencodable as error:
                    self._refuse(envelope, error)
                    return None
                record = self._received(envelope.message, "?" if envelope.is_ask else "", payload, "")
            case Letter(mail):
                draft.took.append(mail)
                record = self._of_letter(mail)
            case Done(future, outcome):
                if future not in self.futures:
                    return None
                record = self.book.new(Kind.RESOLVED, future, encode_outcome(outcome))
            case Beat(future, progress):
                record = self.book.new(Kind.CONTROL, f"{BEAT}{future}", progress)
            case Go():
                record = self.book.new(Kind.CONTROL, ADVANCE, b"")
            case Begin(payload):
                record = self.book.new(Kind.START, "", payload)
            case Restarted(of_process):
                self.book.incarnation += 1
                record = self.book.new(Kind.RESTART, "process" if of_process else "handler", b"")
            case _:
                raise AssertionError("the record of a transaction is stored by it")
        draft.records.append(record)
        return record

    def _refuse(self, envelope: Envelope[object], error: Unencodable) -> None:
        """It cannot be stored, so it is not taken."""
        envelope.fail(error)
        if not envelope.is_ask:
            self.report(error)

    async def transacted(self, item: Transact) -> Record | None:
        """The outcome of a transaction, which has stored it: that is all of the batch, for nobody knew it before."""
        if item.future not in self.futures:
            return None
        record = self.book.new(Kind.RESOLVED, item.future, b"", cause=TRANSACTION)
        try:
            return await self.host.transact(record, item.call)
        except (JournalFailed, SeqConflict):
            raise
        except Exception as error:  # that of the function: nothing of it is stored
            self.book.seq, self.book.count = self.book.seq - 1, self.book.count - 1
            return self.recorded(Done(item.future, Error(error)))

    def _of_letter(self, mail: Mail) -> Record:
        what = decode(mail.payload, self.host.dereference)
        cause = f"{mail.sender}:{mail.number}"
        if isinstance(what, Answer):
            return self.book.new(Kind.RESOLVED, what.future, encode_outcome(what.outcome), cause=cause)
        assert isinstance(what, Message)
        key = f"{mail.sender}?{what.answer_to}" if what.answer_to else mail.sender
        return self._received(what.what, key, encode(what.what), cause)

    def _received(self, message: object, sender: str, payload: bytes, cause: str) -> Record:
        """A message; one that is an order says so in its key, before its sender."""
        if self.course is None or not isinstance(message, Order):
            return self.book.new(Kind.RECEIVE, sender, payload, cause=cause)
        return self.book.new(Kind.CONTROL, f"{message.word} {sender}".rstrip(), payload, cause=cause)

    def owes(self, asker: str | None, scope: int, envelope: Envelope[object] | None = None) -> None:
        """Remember who waits for an answer of what this step began with."""
        if asker is not None and "?" in asker:
            self.owed[scope] = asker
        if envelope is not None and envelope.is_ask:
            self.envelopes[scope] = envelope

    def tell_of_crash(self, record: Record, scope: int, failed: int, payload: bytes, first_scope: int) -> None:
        """Whoever asked the handler that failed is told, and whoever sent what the step began with."""
        self.owes(asker_of(record), scope)  # it may have been answered in the step that never happened
        error = decode(payload, self.host.dereference)  # so it is the same each time
        failure = ActorFailed(self.path, error if isinstance(error, Exception) else HistrioError(error))
        if self.course is not None:
            order = decode(record.payload, self.host.dereference) if asker_of(record) is not None else None
            self.result_wanted = self.course.failed(scope, order, failure)
            return
        for each in dict.fromkeys((failed, scope)):
            self.answer(each, Error(failure))
        if failed == first_scope or record.kind in BEGINNINGS:
            self.result_wanted = Error(failure)

    def outcome_of(self, record: Record) -> Outcome[object]:
        """What a RESOLVED record says."""
        return cast("Outcome[object]", decode(record.payload, self.host.dereference))

    def refused(self, record: Record, why: str) -> None:
        """Bury a message that a handler has refused, and that nobody waits for an answer of."""
        row = DeadLetterRow(self.path, record.key, record.payload, f"it was refused: {why}", record.at)
        self.book.draft.dead.append(row)
