"""A journal in memory: the same answers, and nothing that survives its process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

import trio

from histrio_kernel.combine import Combiner, Rest
from histrio_kernel.journal.applying import apply, prepared
from histrio_kernel.journal.commits import Commit
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import ActorRow, Batch, DeadLetterRow, Mail
from histrio_kernel.journal.stored import Stored

__all__ = ["MemoryJournal"]


@final
class MemoryJournal:
    """A `Journal` in memory, for tests of what is above it. Those who commit at the same time share a trip, as everywhere.

    Args:
        stored: what it holds; give it that of another one to open that one again.

    Examples:
        >>> from histrio_kernel.journal.store import Journal
        >>> journal: Journal = MemoryJournal()
    """

    def __init__(self, stored: Stored | None = None) -> None:
        self.stored: Final = Stored() if stored is None else stored
        self._is_closed = False
        self._line: Final[Combiner[Commit]] = Combiner(lambda waiting: sum(1 for _ in waiting), self._travel)

    async def __aenter__(self) -> MemoryJournal:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def identity(self) -> str:
        """What no other journal has."""
        return self.stored.identity

    async def commit(self, batch: Batch, rest: Rest | None = None) -> Sequence[Record]:
        """Store a batch; see `Journal.commit`."""
        job = Commit(prepared(batch), rest)
        self._check_open()
        await self._line.do(job)
        return job.stored

    async def records(self, path: str, after: int = 0) -> Sequence[Record]:
        """What is kept of one actor; see `Journal.records`."""
        await self._checkpoint()
        return self.stored.read(path, after)

    async def actors(self) -> Sequence[ActorRow]:
        """All actors, in the order of their paths."""
        await self._checkpoint()
        return self.stored.all_actors()

    async def mail(self, path: str) -> Sequence[Mail]:
        """What one actor has not taken yet."""
        await self._checkpoint()
        return self.stored.mail_of(path)

    async def dead_letters(self) -> Sequence[DeadLetterRow]:
        """What nobody took."""
        await self._checkpoint()
        return list(self.stored.dead)

    async def aclose(self) -> None:
        """It is closed: what it holds can be given to another one."""
        self._is_closed = True

    async def _travel(self, trip: Sequence[Commit]) -> None:
        for job in trip:
            try:
                job.stored = apply(self.stored, job.batch)
            except BaseException as error:  # of a transactional effect: it concerns nobody else
                job.fail(error)
            else:
                job.settle()

    def _check_open(self) -> None:
        if self._is_closed:
            raise trio.ClosedResourceError("this journal is closed; open it again")

    async def _checkpoint(self) -> None:
        self._check_open()
        await trio.lowlevel.checkpoint()
