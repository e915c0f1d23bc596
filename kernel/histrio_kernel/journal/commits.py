"""A batch in the line of a journal: what the lines of all stores have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from histrio_kernel.combine import Job, Rest
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import Batch

__all__ = ["Commit"]


class Commit(Job):
    """A batch that is to be stored; its caller stays, and goes on when that is done, whoever stood before it.

    Attributes:
        batch: `prepared`.
        stored: its records as they are stored.
    """

    __slots__ = ("batch", "stored")

    stays = in_any_order = True

    def __init__(self, batch: Batch, rest: Rest | None) -> None:
        super().__init__()
        self.rest = rest
        self.batch: Final = batch
        self.stored: Sequence[Record] = ()
