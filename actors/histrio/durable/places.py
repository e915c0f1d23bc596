"""What a life needs of its actor's object, and of the host that it takes place in."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from histrio.durable.boards import Standing
from histrio.durable.draft import Draft
from histrio.durable.items import Done, Item
from histrio.durable.recorded import Recorded
from histrio.durable.work import EffectOf
from histrio.messages import Envelope
from histrio_kernel.errors import HistrioError, Refusal, shown
from histrio_kernel.gate import Handler
from histrio_kernel.journal.record import Record

__all__ = ["Behaviour", "Host", "handle"]


class Behaviour(Protocol):
    """A durable actor's object."""

    __histrio_handlers__: dict[type, Handler]
    snapshot_every: int
    records_warn: int
    records_max: int

    def _histrio_born(self, life: object) -> None: ...

    async def started(self) -> object:
        """Runs first."""
        ...

    async def restore(self, snapshot: object) -> object:
        """Runs first, instead, if there is a snapshot."""
        ...

    def snapshot(self) -> object:
        """The state, as a value that can be stored."""
        ...


class Host(Protocol):
    """Where a life takes place.

    Attributes:
        envelopes: the questions of those who are not durable, by the handler that answers them.
        takes_snapshots: whether the past may be rolled up by itself.
        is_strict: whether its handlers are looked at, for what could not be done again.
    """

    envelopes: dict[int, Envelope[object]]
    takes_snapshots: bool
    is_strict: bool

    @property
    def path(self) -> str:
        """Of the actor."""
        ...

    @property
    def identity(self) -> str:
        """Of the journal."""
        ...

    def now(self) -> float:
        """The time of day, in seconds since 1970; in a simulation, since its beginning."""
        ...

    @property
    def is_to_stop(self) -> bool:
        """Whether nothing more is to begin in this process."""
        ...

    def is_live(self, path: str) -> bool:
        """Whether that actor has not ended."""
        ...

    async def next(self, *, mail: bool, go: bool) -> Item:
        """The next input; without *mail*, nothing that is new. With *go*, that is it if nothing else has come."""
        ...

    def put(self, item: Done) -> None:
        """Something has come to the actor."""
        ...

    def whose_outcome_came(self) -> Collection[str]:
        """The futures whose outcome has come, or is about to be made."""
        ...

    def goes_on_here(self) -> None:
        """The life goes on in the task that calls."""
        ...

    async def commit(self, draft: Draft, incarnation: int, *, may_rest: bool) -> None:
        """Store a step, then let its messages and its answers go. Not cancelled. If it *may rest*, this comes back when there
        is something to do, for the life would only wait for that.
        """
        ...

    async def transact(self, record: Record, call: Callable[[sqlite3.Connection], object]) -> Record:
        """Store a record whose payload is what `call` returns, in one transaction with what it does."""
        ...

    def announce(self, standing: Standing) -> None:
        """Tell those who watch a process; it is stored."""
        ...

    def dereference(self, path: str) -> object:
        """The ref of a path that was stored."""
        ...

    def report(self, error: HistrioError) -> None:
        """Tell whoever runs the system."""
        ...

    # What an actor begins and the host carries out, when its record is in the journal. What runs already goes on: it
    # outlives the object that has begun it.

    def begin_effect(self, work: EffectOf, attempt: int, future: Recorded[object], /) -> None:
        """Call it, and put its outcome; *attempt* is 1, and one more for each time that the process has died since."""
        ...

    def begin_transaction(self, call: Callable[[sqlite3.Connection], object], future: Recorded[object], /) -> None:
        """Make it, at a step of its own."""
        ...

    def begin_timer(self, at: float, future: Recorded[object], /) -> None:
        """Put the end of the wait when it is time."""
        ...

    def begin_join(self, path: str, future: Recorded[object], /) -> None:
        """Put the end of that actor when it has ended."""
        ...

    def keep(self, pending: Collection[str], /) -> None:
        """End what runs for futures that nobody has any more; these are left."""
        ...

    async def begin_child(self, path: str, /) -> None:
        """Have a child live that is in the journal, so that messages for it are taken; it may have begun nothing yet."""
        ...


def handle(behaviour: Behaviour, message: object) -> Awaitable[object]:
    """Have a message handled, when this is awaited.

    Raises:
        Refusal: the class takes no such messages; whoever sent it may have known another one.
    """
    try:
        function = behaviour.__histrio_handlers__[message.__class__]
    except TypeError as error:
        raise Refusal(f"{type(behaviour).__qualname__} refuses {shown(message)}: {error}") from None
    return function(behaviour, message)
