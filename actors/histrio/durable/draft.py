"""What a step wants to be stored together, and what it does when that is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from histrio.durable.beginnings import Beginning
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
        replies: called when it is in the journal, by anybody.
        after: called then in a task of the actor.
    """

    __slots__ = ("after", "begins", "dead", "keep_from", "records", "replies", "sends", "state", "took")

    def __init__(self) -> None:  # by hand, since there is one for each step: attrs takes three times as long
        self.records: list[Record] = []
        self.sends: list[Mail] = []
        self.took: list[Mail] = []
        self.dead: list[DeadLetterRow] = []
        self.keep_from = 0
        self.begins: list[tuple[str, Beginning]] = []
        self.state = "live"
        self.replies: list[Callable[[], None]] = []
        self.after: list[Callable[[], None]] = []

    @property
    def leaves_nothing_to_do(self) -> bool:
        """Whether a task of the actor has nothing to do when it is in the journal."""
        return not (self.begins or self.after)

    def adds_records_only(self) -> bool:
        """Whether all of it is a few records of an actor that lives on."""
        return not (self.sends or self.took or self.dead or self.keep_from or self.begins or self.state == "ended")
