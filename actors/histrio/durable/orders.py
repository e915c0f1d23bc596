"""What a durable process is told to do, as messages: they come by its ref, and its journal has them."""

# Design note
# -----------
# The control of an ordinary process is a lane past its inbox. A durable one takes no messages of its own, so its inbox is
# that lane. As messages, orders have all that messages have: they are in the journal before they are acknowledged, they
# come once, and a durable actor that gives one finds the answer there when it is made again.

from __future__ import annotations

from typing import ClassVar, Final, final

import attrs

from histrio.durable.book import BEAT
from histrio.messages import Request
from histrio_kernel.journal.record import Record
from histrio_kernel.lifecycle import Phase
from histrio_kernel.signals import Kind

__all__ = ["ADVANCE", "Kill", "Nudge", "Order", "Pause", "Resume", "Step", "asker_of"]

ADVANCE: Final = "advance"
"""The key of the record that an advance begins with."""


class Order(Request[Phase]):
    """The base of what a durable process is told; the reply is the phase when it has been carried out.

    The ref of a process is a `DurableRef[Order]`. Orders are made by its `control`, see `DurableControl`.
    """

    __slots__ = ()
    word: ClassVar[str]
    """In the key of its record."""


@final
@attrs.frozen
class Pause(Order):
    """Make no further advance; *now*: cancel the present one, and make it again later."""

    word = "pause"
    now: bool = False


@final
@attrs.frozen
class Resume(Order):
    """Go on; *value* is for the next advance if *has_value*, or if one waits for it."""

    word = "resume"
    value: object = None
    has_value: bool = False


@final
@attrs.frozen
class Step(Order):
    """Make so many advances, then be paused."""

    word = "step"
    count: int = 1


@final
@attrs.frozen
class Nudge(Order):
    """Begin, or make one advance more."""

    word = "nudge"


@final
@attrs.frozen
class Kill(Order):
    """End now."""

    word = "kill"
    why: str = ""


def asker_of(record: Record) -> str | None:
    """Who sent a message, as the record of it says; None if that is the record of something else."""
    if record.kind is Kind.RECEIVE:
        return record.key
    if record.kind is not Kind.CONTROL or record.key == ADVANCE or record.key.startswith(BEAT):
        return None
    return record.key.partition(" ")[2]
