"""What the handlers of a durable actor do, each of it recorded: the half of a life that looks to them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast

import attrs
from outcome import Outcome, Value
from trio.lowlevel import current_task

from histrio.durable.activation import Activation
from histrio.durable.beginnings import Beginning
from histrio.durable.book import Book
from histrio.durable.errors import NotRecorded
from histrio.durable.items import Answer, Message
from histrio.durable.places import Host
from histrio.durable.recorded import Recorded
from histrio.durable.stored import encode, encode_outcome
from histrio.messages import Envelope
from histrio_kernel.errors import ActorStopped, End, HistrioError, Reason
from histrio_kernel.futures import HOLDERS, Future, Pace, Telling
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import Mail
from histrio_kernel.signals import Kind

__all__ = ["Deeds"]


class Deeds:
    """The world of one actor's futures, and what its handlers may do.

    Attributes:
        book: where it is written.
        children: the paths of the children that it has spawned, in that order.
        futures: those that have no outcome yet, by id.
        restarts: how often the process of the actor has died.
        owed: who waits for the answer of which handler, as it stands in the journal.
        envelopes: those of them who are not durable; they wait while the actor is made again.
        born: how many children of each class there have been.
        result_wanted: what the actor is to end with, when this step is over.
        is_over: whether this life has ended.
    """

    __slots__ = (
        "book", "born", "children", "envelopes", "futures", "host", "is_over", "owed", "pace", "path", "restarts",
        "result_wanted", "telling",
    )  # fmt: skip

    def __init__(self, host: Host, records: Sequence[Record]) -> None:
        self.host: Final = host
        self.path: Final = host.path
        self.book: Final = Book(host.path, records, host.now, host.identity)
        self.pace: Final = Pace()
        self.telling: Final[Telling] = deque()
        self.children: Final[dict[str, None]] = {}
        self.futures: Final[dict[str, Recorded[object]]] = {}
        self.restarts = 0
        self.owed: Final[dict[int, str]] = {}
        self.envelopes: Final[dict[int, Envelope[object]]] = host.envelopes
        self.born: Final[dict[str, int]] = {}
        self.result_wanted: Outcome[object] | None = None
        self.is_over = False

    def send(self, to: str, message: object) -> None:
        """Record a message."""
        activation = self._mine()
        payload = encode(message)
        record = self.book.emit(Kind.SEND, to, payload, activation.scope)
        self._post(to, record.seq, Message(message))

    def ask(self, to: str, message: object) -> Future[object]:
        """Record a question; what comes back settles the future."""
        activation = self._mine()
        payload = encode(message)
        future = self._future(activation, f"answer of {to}", lambda: None)
        record = self.book.emit(Kind.SEND, f"{to}?{future.id}", payload, activation.scope)
        self._post(to, record.seq, Message(message, future.id))
        return future

    def join(self, to: str) -> Future[object]:
        """Record the wait for the end of another durable actor."""
        return self.begins(Kind.JOIN, f"end of {to}", to, lambda future: self.host.begin_join(to, future))

    def begins(
        self, kind: Kind, about: str, payload: object, begin: Callable[[Recorded[object]], None]
    ) -> Future[object]:
        """Record that something begins whose outcome comes later: an effect, a timer, the wait for an end."""
        activation = self._mine()
        encoded = encode(payload)
        future: Recorded[object] = self._future(activation, about, lambda: begin(future))
        self.book.emit(kind, future.id, encoded, activation.scope)
        if self.book.cursor is None:
            self.book.draft.after.append(future.begin_unless_done)
        return future

    def patched(self, name: str) -> bool:
        """Whether this handler does it the new way; one answer for each handler, whatever it waits for in between."""
        patches = self._mine().patches
        if name not in patches:
            key = f"patch {name}"
            patches[name] = not self.is_past or self._is_next(Kind.MUTATION, key)
            if patches[name]:
                self.did(Kind.MUTATION, key, True)
        return patches[name]

    def did(self, kind: Kind, key: str, payload: object) -> Record:
        """Record something that has happened at once."""
        return self.book.emit(kind, key, encode(payload), self._mine().scope)

    def ended(self) -> ActorStopped | None:
        """What those get who still wait, once this life is over."""
        return ActorStopped(self.path, Reason(End.STOPPED, "this life of it is over")) if self.is_over else None

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Nothing of a durable actor takes time that is not recorded."""
        raise AssertionError("recorded futures end at once when they are cancelled")

    def report(self, error: HistrioError) -> None:
        """Tell whoever runs the system."""
        self.host.report(error)

    def now(self) -> float:
        """The time of the input that this step began with."""
        return self.book.now

    def name_child(self, stem: str) -> str:
        """The next name for a child of a class."""
        number = self.born[stem] = self.born.get(stem, 0) + 1
        return f"{stem}#{number}"

    @property
    def is_past(self) -> bool:
        """Whether the past is being done again."""
        return self.book.cursor is not None

    def _is_next(self, kind: Kind, key: str) -> bool:
        record = None if self.book.cursor is None else self.book.cursor.next
        return record is not None and (record.kind, record.key) == (kind, key)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call it when this step is in the journal; nothing if that is the past."""
        if self.book.cursor is None:
            self.book.draft.after.append(call)

    def child(self, record: Record, beginning: Beginning) -> None:
        """Store the first record of a child with this step."""
        self.children[record.path] = None
        if self.book.cursor is None:
            self.book.draft.records.append(record)
            self.book.draft.begins.append((record.path, beginning))

    def anew(self, beginning: Beginning) -> Beginning:
        """The same actor, with what it has by now: children that live, and names that it has given away for good."""
        kept = tuple(each for each in self.children if "#" not in each.rpartition("/")[2] or self.host.is_live(each))
        return attrs.evolve(beginning, count=self.book.count, children=kept, born=tuple(self.born.items()))

    def finish(self, result: object) -> None:
        """End after this step."""
        self._mine()
        self.result_wanted = Value(result)

    # -- records -----------------------------------------------------------------------------------------------------

    def _mine(self) -> Activation:
        """The handler that calls.

        Raises:
            NotRecorded: it is none of this life.
        """
        holder = HOLDERS.get(current_task())
        if not isinstance(holder, Activation) or cast("object", holder.life) is not self:
            raise NotRecorded(
                f"{self.path}: this is for the durable handlers of the actor, and the task that calls is none: what tasks of "
                "your own do, in a nursery or an effect, is not recorded. Return the value, and go on in the handler"
            )
        if self.is_over or holder.is_killed:
            raise ActorStopped(self.path, Reason(End.FAILED, "this handler has been ended"), "nothing was recorded")
        holder.check()
        return holder

    def _future(self, activation: Activation, about: str, begin: Callable[[], None]) -> Recorded[object]:
        activation.made += 1
        identity = f"{activation.scope}.{activation.made}"
        future: Recorded[object] = Recorded(self, identity, about, begin, self._forget, self.restarts)
        self.futures[future.id] = future
        activation.made_one(future)
        return future

    def _forget(self, identity: str) -> None:
        self.futures.pop(identity, None)

    def _post(self, to: str, number: int, what: Message | Answer) -> None:
        if self.book.cursor is None:
            self.book.draft.sends.append(Mail(to, self.path, number, encode(what), self.book.now))

    def answer(self, scope: int, outcome: Outcome[object]) -> bool:
        """What the handler returned or refused goes to whoever asked; False if nobody did."""
        owed = self.owed.pop(scope, None)
        if owed is None:
            return False
        sender, _, future = owed.partition("?")
        record = self.book.emit(Kind.SEND, f"{owed}!", encode_outcome(outcome), scope)
        if sender:
            self._post(sender, record.seq, Answer(future, outcome))
        elif self.book.cursor is None:
            self.book.draft.answers.append((scope, outcome))
        return True
