"""The changes of a whole group of batches, gathered, so that a few statements store them all."""

# Design note
# -----------
# SQLite's module lets other threads run during each step of a statement, and gets its turn back only when they let it, up to
# 5 ms later. So what a group costs while the program is busy is its number of steps, not its bytes: one INSERT of 64 rows is
# one step, and 64 of one row are 64.
#
# This is the quick way, for batches that only add. What it cannot tell for one batch (a message that is there already), or what
# a batch refuses, makes it all go back, and the batches are stored one by one: then each has its own answer.

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NoReturn, final

from histrio_kernel.journal.applying import apply
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import ActorRow, Batch, DeadLetterRow, Mail
from histrio_kernel.journal.tables import Tables

__all__ = ["Gathered", "only_adds"]


def only_adds(batch: Batch) -> bool:
    """Whether nothing has to be read, or removed, between the changes of a batch."""
    return not (batch.keep_from or batch.forget or batch.transact)


@final
class Gathered:
    """The `Shelf` of a group: what is stored, and what the group adds to it."""

    def __init__(self, tables: Tables) -> None:
        self._tables: Final = tables
        self._rows: Final[dict[str, ActorRow]] = {}
        self._records: Final[list[Record]] = []
        self._mail: Final[list[Mail]] = []
        self._taken: Final[list[tuple[str, str, int]]] = []
        self._dead: Final[list[DeadLetterRow]] = []

    def store(self, batches: Iterable[Batch]) -> list[Sequence[Record]]:
        """All of these, or an exception, after which the transaction is to go back to where it was."""
        stored = [self._add(batch) or apply(self, batch) for batch in batches]
        tables = self._tables
        tables.append(self._records)
        tables.put_all(self._rows.values())
        tables.send(self._mail)  # before what takes them: one of the group may take what another one sends
        tables.take(self._taken)
        tables.bury(self._dead)
        return stored

    def _add(self, batch: Batch) -> Sequence[Record] | None:
        """What `apply` does, in one go, of records that go on where those of one actor end; None if these are no such ones."""
        records = batch.records
        if not records or batch.actors or batch.sends or batch.took or batch.dead:
            return None
        path = records[0].path
        row = self.row(path)
        if row is None:
            return None
        seq, size, incarnation = row.last_seq, row.bytes, row.incarnation
        for record in records:
            seq += 1
            if record.seq != seq or record.path != path:
                return None
            size += len(record.payload)
            if record.incarnation > incarnation:
                incarnation = record.incarnation
        self._records.extend(records)
        self._rows[path] = ActorRow(
            path,
            row.behaviour,
            row.version,
            row.state,
            row.first_seq,
            seq,
            incarnation,
            row.records + len(records),
            size,
            row.code,
        )
        return records

    # -- Shelf -------------------------------------------------------------------------------------------------------

    def row(self, path: str) -> ActorRow | None:
        """What is known of one actor."""
        return self._rows.get(path) or self._tables.row(path)

    def has_mail(self, to: str, sender: str, number: int) -> bool:
        """Nobody asks: the table refuses what it has already."""
        return False

    def transact(self, call: Callable[[sqlite3.Connection], bytes]) -> NoReturn:
        """Not in a group."""
        raise AssertionError(f"{call!r} is stored by itself")

    def forget(self, path: str) -> NoReturn:
        """Not in a group."""
        raise AssertionError(f"{path} is forgotten by itself")

    def cut(self, path: str, below: int) -> NoReturn:
        """Not in a group."""
        raise AssertionError(f"{path} is cut at {below} by itself")

    def take(self, keys: Sequence[tuple[str, str, int]]) -> None:
        """Remove messages, if they are there."""
        self._taken.extend(keys)

    def append(self, records: Sequence[Record]) -> None:
        """Add records."""
        self._records.extend(records)

    def put(self, row: ActorRow) -> None:
        """Add or replace what is known of one actor."""
        self._rows[row.path] = row

    def send(self, mail: Sequence[Mail]) -> None:
        """Add messages."""
        self._mail.extend(mail)

    def bury(self, dead: Sequence[DeadLetterRow]) -> None:
        """Add dead letters."""
        self._dead.extend(dead)
