"""What a journal does, whoever keeps it: batches that are stored whole or not at all, and reading back."""

# Design note
# -----------
# A batch is what one actor did between two waits, and everything that has to be true together with it (J2): its records,
# the messages that it took and the ones that it sends, the first records of children that it spawned, what it leaves
# behind in a roll-up (J5). A store makes one transaction of many batches if they come at the same time (group commit);
# none is answered before it is synced.
#
# A failed write ends the journal: whoever waits and whoever comes later gets `JournalFailed`.

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs
import msgspec

from histrio_kernel.combine import Rest
from histrio_kernel.journal.record import Record

__all__ = ["ActorRow", "Batch", "DeadLetterRow", "Journal", "Mail"]


@attrs.frozen
class Mail:
    """A message between two durable actors, which is in the journal from the sender's commit to the receiver's.

    Attributes:
        to: the path of the receiver.
        sender: the path of the sender; empty for one that is not durable.
        number: the `seq` of the sender's SEND record; together with the sender it names the message for good.
        payload: encoded.
        at: when it was sent.
    """

    to: str
    sender: str
    number: int
    payload: bytes
    at: float


@attrs.frozen
class DeadLetterRow:
    """A message that nobody took: who it was for, what it was, and why."""

    to: str
    sender: str
    payload: bytes
    why: str
    at: float


class ActorRow(msgspec.Struct, frozen=True):
    """What a journal knows of one actor without reading its records.

    Attributes:
        path: of the actor.
        behaviour: the name of its behaviour, and `version` that of its code.
        state: "live", "ended", or "quarantined".
        first_seq: of the oldest record that is kept; more than 1 after a roll-up.
        last_seq: of the newest.
        incarnation: the last one.
        records: how many are kept, and `bytes`, their payloads' length.
        code: where the class of its behaviour was, as `module:name`, for tools that are to find it; empty if nobody says.
    """

    path: str
    behaviour: str
    version: int
    state: str
    first_seq: int
    last_seq: int
    incarnation: int
    records: int
    bytes: int
    code: str = ""


class Batch(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is stored together or not at all.

    Attributes:
        records: of one path or of several (an actor and the children that it spawns); of each path, `seq` goes on where
            the store ends.
        actors: rows that change or begin; `first_seq`, `last_seq`, `records` and `bytes` of them are the store's own.
        sends: messages that are in the journal from now on.
        took: the messages (receiver, sender, number) that are not any more.
        dead: messages that nobody will take.
        keep_from: for a path, the `seq` below which nothing of it is kept any more (J5), after the batch is written; at most
            the next one, which keeps none.
        forget: paths of which nothing is kept, and of what lives below them: children that a roll-up left behind. They are
            forgotten before all else: records that the batch has of such a path begin again at 1. What they have sent stays.
        transact: called with the store's own connection inside of the transaction, right before the records are written; it
            returns what is to be the payload of the record at that index (J6, transactional effects). If it raises, nothing of
            the batch is written, `commit` raises that, and the journal goes on.
        has_digests: whether the digest of each record is that of its payload, so that nobody need look: who says so has just
            made them.
    """

    records: Sequence[Record] = ()
    actors: Sequence[ActorRow] = ()
    sends: Sequence[Mail] = ()
    took: Sequence[tuple[str, str, int]] = ()
    dead: Sequence[DeadLetterRow] = ()
    keep_from: Sequence[tuple[str, int]] = ()
    forget: Sequence[str] = ()
    transact: tuple[int, Callable[[sqlite3.Connection], bytes]] | None = None
    has_digests: bool = False


class Journal(Protocol):
    """A journal that is open, and ours."""

    @property
    def identity(self) -> str:
        """What no other journal has, drawn when it was made: keys that leave it begin with that."""
        ...

    async def commit(self, batch: Batch, rest: Rest | None = None) -> Sequence[Record]:
        """Store a batch, and return its records as they are stored, when that is synced.

        Not cancelled: whether it is stored has to be known before anything else of the caller. It lets others run.

        Args:
            batch: what to store.
            rest: asked when the batch is stored, whether the caller is to go on. A store that does not ask lets it go on.

        Raises:
            SeqConflict: it does not go on where the store ends, or sends what is in the journal already; nothing was written,
                and the journal goes on.
            ValueError: it makes no sense, whatever is stored: a digest of another payload, a `keep_from` of what is to come.
                `TypeError`: a transactional effect gave no bytes, or this store has no connection. Nothing was written either.
            JournalFailed: it could not be written, now or before. `LeaseLost`: somebody else owns the journal.
        """
        ...

    async def records(self, path: str, after: int = 0) -> Sequence[Record]:
        """What is kept of one actor, in order, from the first after that `seq`. A checkpoint.

        Raises:
            JournalDamaged: a digest does not fit, or a `seq` is missing.
        """
        ...

    async def actors(self) -> Sequence[ActorRow]:
        """All actors, in the order of their paths. A checkpoint."""
        ...

    async def mail(self, path: str) -> Sequence[Mail]:
        """What one actor has not taken yet, in the order in which it was sent. A checkpoint."""
        ...

    async def dead_letters(self) -> Sequence[DeadLetterRow]:
        """What nobody took, the oldest first. A checkpoint."""
        ...

    async def aclose(self) -> None:
        """Give it back; another process may open it at once. What was committed is stored."""
        ...
