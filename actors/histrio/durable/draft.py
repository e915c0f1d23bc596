"""What a step wants to be stored together, and what it does when that is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import attrs

from histrio.durable.beginnings import Beginning
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import DeadLetterRow, Mail

__all__ = ["Draft"]


@final
@attrs.define(eq=False)
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
        after: called when it is in the journal.
    """

    records: list[Record] = attrs.field(factory=list[Record])
    sends: list[Mail] = attrs.field(factory=list[Mail])
    took: list[Mail] = attrs.field(factory=list[Mail])
    dead: list[DeadLetterRow] = attrs.field(factory=list[DeadLetterRow])
    keep_from: int = 0
    begins: list[tuple[str, Beginning]] = attrs.field(factory=list[tuple[str, Beginning]])
    state: str = "live"
    after: list[Callable[[], None]] = attrs.field(factory=list[Callable[[], None]])
