"""The tables of an SQLite journal: what is written to them and read from them, one statement each.

All of it runs in the transaction that its caller has opened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, final

from msgspec.structs import astuple

from histrio_kernel.journal.applying import whole
from histrio_kernel.journal.errors import JournalDamaged
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import ActorRow, DeadLetterRow, Mail
from histrio_kernel.journal.transacting import call_effect
from histrio_kernel.signals import Kind

__all__ = ["Tables"]

_ROW: Final = "path, behaviour, version, state, first_seq, last_seq, incarnation, records, bytes, code"
_RECORD: Final = "path, seq, incarnation, kind, key, payload, at, scope, cause, digest"
_MAIL: Final = "receiver, sender, number, payload, at"
_KINDS: Final = frozenset(kind.value for kind in Kind)
_DEAD: Final = "receiver, sender, payload, why, at"

_ROWS_MAX: Final = 64
"""Rows of one INSERT; a power of 2. Their values are far below the 999 that old SQLites take."""

_KNOWN_MAX: Final = 100_000
"""Rows of actors that are held in memory."""


@final
class Tables:
    """The `Shelf` of an SQLite journal.

    Args:
        connection: to it.
        known: rows of actors as they are stored; of the one who owns the journal, who has written them.
    """

    def __init__(self, connection: sqlite3.Connection, known: dict[str, ActorRow] | None = None) -> None:
        self._connection: Final = connection
        self._known: Final = known
        self.refused_by: BaseException | None = None
        """What the last transactional effect raised."""

    # -- reading -----------------------------------------------------------------------------------------------------

    def row(self, path: str) -> ActorRow | None:
        """What is known of one actor."""
        if self._known is not None and path in self._known:
            return self._known[path]
        row = self._connection.execute(f"SELECT {_ROW} FROM actors WHERE path = ?", (path,)).fetchone()
        return None if row is None else ActorRow(*row)

    def has_mail(self, to: str, sender: str, number: int) -> bool:
        """Whether that message is there."""
        key = (to, sender, number)
        select = "SELECT 1 FROM mail WHERE receiver = ? AND sender = ? AND number = ?"
        return self._connection.execute(select, key).fetchone() is not None

    def read(self, path: str, after: int) -> Sequence[Record]:
        """The records of one actor after that `seq`.

        Raises:
            JournalDamaged: they are not what was written.
        """
        select = f"SELECT {_RECORD} FROM records WHERE path = ? AND seq > ? ORDER BY seq"
        rows = self._connection.execute(select, (path, after))
        return whole(self.row(path), path, [_record(*row) for row in rows], after)

    def identity(self) -> str:
        """What no other journal has."""
        (identity,) = self._connection.execute("SELECT identity FROM journal").fetchone()
        return str(identity)

    def actors(self) -> Sequence[ActorRow]:
        """All actors, in the order of their paths."""
        return [ActorRow(*row) for row in self._connection.execute(f"SELECT {_ROW} FROM actors ORDER BY path")]

    def mail(self, path: str) -> Sequence[Mail]:
        """What one actor has not taken yet, in the order in which it was sent."""
        select = f"SELECT {_MAIL} FROM mail WHERE receiver = ? ORDER BY id"
        return [Mail(*row) for row in self._connection.execute(select, (path,))]

    def dead_letters(self) -> Sequence[DeadLetterRow]:
        """What nobody took, the oldest first."""
        return [
            DeadLetterRow(*row) for row in self._connection.execute(f"SELECT {_DEAD} FROM dead_letters ORDER BY id")
        ]

    # -- writing -----------------------------------------------------------------------------------------------------

    def transact(self, call: Callable[[sqlite3.Connection], bytes]) -> bytes:
        """What `call` returns for the connection; if it raises, the caller goes back to its savepoint."""
        try:
            return call_effect(self._connection, call)
        except BaseException as error:
            self.refused_by = error
            raise

    def forget(self, path: str) -> None:
        """Remove an actor, those below it, and the messages to them."""
        if self._known is not None:
            self._known.clear()
        top = path.rstrip("/")
        # "0" is the character after "/", so this range is all that begins with the path and "/".
        for table, column in (("records", "path"), ("actors", "path"), ("mail", "receiver")):
            delete = f"DELETE FROM {table} WHERE {column} = ? OR ({column} >= ? AND {column} < ?)"
            self._connection.execute(delete, (path, f"{top}/", f"{top}0"))

    def forget_dead_letters(self, before: float) -> int:
        """Remove those of messages from before that time of day; how many that were."""
        return self._connection.execute("DELETE FROM dead_letters WHERE at < ?", (before,)).rowcount

    def take(self, keys: Sequence[tuple[str, str, int]]) -> None:
        """Remove messages, if they are there."""
        if keys:
            self._connection.executemany(
                "DELETE FROM mail WHERE receiver = ? AND sender = ? AND number = ?", [tuple(key) for key in keys]
            )

    def append(self, records: Sequence[Record]) -> None:
        """Add records. If one is there already, its caller goes back to where the transaction or the savepoint began.

        Not OR ABORT, the default, for which SQLite copies each page before a statement of several rows changes it.
        """
        self._insert("INSERT OR FAIL INTO records", _RECORD, [_columns(record) for record in records])

    def cut(self, path: str, below: int) -> tuple[int, int]:
        """Remove the records of an actor below that `seq`; how many, and the bytes of their payloads."""
        select = "SELECT count(*), coalesce(sum(length(payload)), 0) FROM records WHERE path = ? AND seq < ?"
        count, size = self._connection.execute(select, (path, below)).fetchone()
        self._connection.execute("DELETE FROM records WHERE path = ? AND seq < ?", (path, below))
        return count, size

    def put(self, row: ActorRow) -> None:
        """Add or replace what is known of one actor."""
        self.put_all((row,))

    def put_all(self, rows: Collection[ActorRow]) -> None:
        """Add or replace what is known of actors, each of them once."""
        self._insert("INSERT OR REPLACE INTO actors", _ROW, [astuple(row) for row in rows])
        if self._known is not None:
            if len(self._known) > _KNOWN_MAX:
                self._known.clear()
            self._known.update((row.path, row) for row in rows)

    def send(self, mail: Sequence[Mail]) -> None:
        """Add messages."""
        rows = [(each.to, each.sender, each.number, each.payload, each.at) for each in mail]
        self._insert("INSERT INTO mail", _MAIL, rows)

    def bury(self, dead: Sequence[DeadLetterRow]) -> None:
        """Add dead letters."""
        rows = [(each.to, each.sender, each.payload, each.why, each.at) for each in dead]
        self._insert("INSERT INTO dead_letters", _DEAD, rows)

    def _insert(self, insert: str, columns: str, rows: Sequence[Sequence[object]]) -> None:
        """Add rows, many by one step."""
        for part in _parts(rows):
            self._connection.execute(_statement(insert, columns, len(part)), tuple(chain.from_iterable(part)))


def _parts(rows: Sequence[Sequence[object]]) -> Iterator[Sequence[Sequence[object]]]:
    """Parts whose lengths are powers of 2: a few statements, which SQLite keeps prepared."""
    begin, left = 0, len(rows)
    while left:
        length = min(_ROWS_MAX, 1 << (left.bit_length() - 1))
        yield rows[begin : begin + length]
        begin, left = begin + length, left - length


@lru_cache
def _statement(insert: str, columns: str, rows: int) -> str:
    one = f"({', '.join('?' * (columns.count(',') + 1))})"
    return f"{insert} ({columns}) VALUES {', '.join([one] * rows)}"


def _columns(record: Record) -> tuple[object, ...]:
    # `_value_` and not `value`, which Python 3.11 computes by a descriptor of its own for each record.
    return (
        record.path, record.seq, record.incarnation, record.kind._value_, record.key, record.payload, record.at,
        record.scope, record.cause, record.digest,
    )  # fmt: skip


def _record(
    path: str, seq: int, incarnation: int, kind: str, key: str, payload: object, at: float, scope: int, cause: str,
    digest: object,
) -> Record:  # fmt: skip
    # SQLite keeps a value of any type in any column, so another program, or damage, may have made it another one.
    if not (isinstance(payload, bytes) and isinstance(digest, bytes) and kind in _KINDS):
        raise JournalDamaged(
            f"{path}: record {seq} is damaged, it is no record of any kind. Nothing was changed. Take a copy of the journal"
            " that is whole, or give this actor up"
        )
    return Record(path, seq, incarnation, Kind(kind), key, payload, at, scope, cause, digest)
