"""What a step wants to be stored together, and what it does when that is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast, final

from outcome import Error, Outcome, Value

from histrio.durable.beginnings import Beginning
from histrio.messages import Envelope
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import DeadLetterRow, Mail

__all__ = ["Draft"]


@final
class Draft:
    """One step that is not in the journal yet.

    Attributes:
        records: of the actor, and the first ones of the children that it spawns.
        sends: messages that it sends.
        took: the message that began it, if another durable actor sent it.
        dead: messages that nobody takes.
        keep_from: the `seq` below which nothing is kept any more; 0: all is.
        begins: paths that begin in it, and who begins there.
        state: "live", or "ended" if the actor has.
        answers: of handlers, by their scopes, to those who are not durable; they leave when it is in the journal, in any task.
        after: called then in a task of the actor.
    """

    __slots__ = ("after", "answers", "begins", "dead", "keep_from", "records", "sends", "state", "took")

    def __init__(self) -> None:  # by hand, since there is one for each step: attrs takes three times as long
        self.records: list[Record] = []
        self.sends: list[Mail] = []
        self.took: list[Mail] = []
        self.dead: list[DeadLetterRow] = []
        self.keep_from = 0
        self.begins: list[tuple[str, Beginning]] = []
        self.state = "live"
        self.answers: list[tuple[int, Outcome[object]]] = []
        self.after: list[Callable[[], None]] = []

    def answer(self, envelopes: dict[int, Envelope[object]]) -> None:
        """Let the answers go, each to the envelope of its scope, if that is there still."""
        for scope, outcome in self.answers:
            envelope = envelopes.pop(scope, None)
            if envelope is None:
                continue
            if type(outcome) is Value:
                envelope.reply(cast(object, outcome.value))
            else:
                assert isinstance(outcome, Error)
                assert isinstance(outcome.error, Exception), outcome
                envelope.fail(outcome.error)

    @property
    def leaves_nothing_to_do(self) -> bool:
        """Whether a task of the actor has nothing to do when it is in the journal."""
        return not (self.begins or self.after)

    def adds_records_only(self) -> bool:
        """Whether all of it is a few records of an actor that lives on."""
        return not (self.sends or self.took or self.dead or self.keep_from or self.begins or self.state == "ended")
