"""What comes to a durable actor from outside, before it is recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import final

import attrs
from outcome import Outcome

from histrio.messages import Envelope
from histrio_kernel.journal.store import Mail

__all__ = ["Answer", "Beat", "Begin", "Done", "Go", "Item", "Letter", "Message", "Restarted", "Told", "Transact"]


@final
@attrs.frozen
class Message:
    """What is in a `Mail`: a message, and the future of the sender that its answer is for; empty if none is waited for."""

    what: object
    answer_to: str = ""


@final
@attrs.frozen
class Answer:
    """What is in a `Mail`: the answer to a question."""

    future: str
    outcome: Outcome[object]


@final
@attrs.define(eq=False)  # not frozen, which takes twice as long to make: there is one for each message
class Told:
    """Somebody who is not durable has sent something."""

    envelope: Envelope[object]


@final
@attrs.frozen(eq=False)
class Letter:
    """A message of a durable actor, or its answer."""

    mail: Mail


@final
@attrs.frozen(eq=False)
class Done:
    """A future has its outcome."""

    future: str
    outcome: Outcome[object]


@final
@attrs.frozen(eq=False)
class Beat:
    """An effect says how far it is; that is encoded."""

    future: str
    progress: bytes


@final
@attrs.frozen(eq=False)
class Begin:
    """It begins to live, for the first time."""

    payload: bytes


@final
@attrs.frozen(eq=False)
class Transact:
    """An effect that is a transaction of the journal is to be made."""

    future: str
    call: Callable[[sqlite3.Connection], object]


@final
@attrs.frozen(eq=False)
class Restarted:
    """It goes on after a crash: of its process, or of a handler only."""

    of_process: bool


@final
@attrs.frozen(eq=False)
class Go:
    """A process is to advance."""


Item = Done | Beat | Begin | Go | Restarted | Transact | Told | Letter
"""What may be the input of a step."""
