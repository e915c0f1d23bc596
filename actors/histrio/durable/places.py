"""What a life needs of its actor's object, and of the host that it takes place in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

from histrio.durable.draft import Draft
from histrio.durable.items import Item, Told
from histrio.durable.recorded import Recorded
from histrio.durable.work import EffectOf
from histrio_kernel.errors import HistrioError
from histrio_kernel.gate import Handler
from histrio_kernel.journal.record import Record

__all__ = ["Behaviour", "Host", "Inputs"]

L_contra = TypeVar("L_contra", contravariant=True)


class Inputs(Protocol):
    """A life, as far as those know it who carry something out for it.

    Attributes:
        restarts: how often the actor has been made again.
    """

    restarts: int

    def put(self, item: Item) -> None:
        """Something has come; it is the input of a step of its own."""
        ...


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
    """

    envelopes: dict[int, Told]

    @property
    def path(self) -> str:
        """Of the actor."""
        ...

    def now(self) -> float:
        """The time of day, in seconds since 1970; in a simulation, since its beginning."""
        ...

    async def commit(self, draft: Draft, incarnation: int) -> None:
        """Store a step, then let its messages go."""
        ...

    async def transact(self, record: Record, call: Callable[[sqlite3.Connection], object]) -> Record:
        """Store a record whose payload is what `call` returns, in one transaction with what it does."""
        ...

    def dereference(self, path: str) -> object:
        """The ref of a path that was stored."""
        ...

    def report(self, error: HistrioError) -> None:
        """Tell whoever runs the system."""
        ...

    # What an actor begins and the host carries out, when its record is in the journal.

    def begin_effect(self, life: Inputs, work: EffectOf, future: Recorded[object], /) -> None:
        """Call it, and put its outcome."""
        ...

    def begin_transaction(
        self, life: Inputs, call: Callable[[sqlite3.Connection], object], future: Recorded[object], /
    ) -> None:
        """Make it, at a step of its own."""
        ...

    def begin_timer(self, life: Inputs, at: float, future: Recorded[object], /) -> None:
        """Put the end of the wait when it is time."""
        ...

    def begin_join(self, life: Inputs, path: str, future: Recorded[object], /) -> None:
        """Put the end of that actor when it has ended."""
        ...

    def begin_child(self, path: str, /) -> None:
        """A child is in the journal: it is to live."""
        ...
