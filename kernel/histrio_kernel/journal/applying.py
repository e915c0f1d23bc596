"""What a batch does to what is stored, the same for every store: all checks first, then all changes.

A store is a `Shelf` here. Nothing of it is changed by a batch that is refused.
"""

# Design note
# -----------
# The stores differ in where they keep things, not in what a batch means; so that is written once. Checks only read,
# and they see the shelf as it will be once the batch has forgotten what it forgets: a store in memory needs no way back,
# and a database needs one (its savepoint) for failures of its own only.

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from histrio_kernel.journal.errors import JournalDamaged, SeqConflict
from histrio_kernel.journal.record import Record, digest_of
from histrio_kernel.journal.store import ActorRow, Batch, DeadLetterRow, Mail

__all__ = ["Shelf", "apply", "is_below", "prepared", "whole"]


class Shelf(Protocol):
    """Where a store keeps what is stored; each call does one thing and checks nothing."""

    def row(self, path: str) -> ActorRow | None:
        """What is known of one actor."""
        ...

    def has_mail(self, to: str, sender: str, number: int) -> bool:
        """Whether that message is there."""
        ...

    def transact(self, call: Callable[[sqlite3.Connection], bytes]) -> bytes:
        """What `call` returns for the store's own connection; if it raises, it has changed nothing."""
        ...

    def forget(self, path: str) -> None:
        """Remove an actor, those below it, and the messages to them."""
        ...

    def take(self, keys: Sequence[tuple[str, str, int]]) -> None:
        """Remove messages, if they are there."""
        ...

    def append(self, records: Sequence[Record]) -> None:
        """Add records."""
        ...

    def cut(self, path: str, below: int) -> tuple[int, int]:
        """Remove the records of an actor below that `seq`; how many, and the bytes of their payloads."""
        ...

    def put(self, row: ActorRow) -> None:
        """Add or replace what is known of one actor."""
        ...

    def send(self, mail: Sequence[Mail]) -> None:
        """Add messages."""
        ...

    def bury(self, dead: Sequence[DeadLetterRow]) -> None:
        """Add dead letters."""
        ...


def prepared(batch: Batch) -> Batch:
    """The batch with every digest in place.

    Raises:
        ValueError: a digest is that of another payload, or `transact` names a record that is not there.
    """
    if batch.has_digests and batch.transact is None:
        return batch
    if batch.transact is not None and not 0 <= batch.transact[0] < len(batch.records):
        raise ValueError(f"transact is for record {batch.transact[0]} of a batch that has {len(batch.records)}")
    for record in batch.records:
        if record.digest != digest_of(record.payload):
            break
    else:
        return batch
    return replace(batch, records=[_with_digest(record) for record in batch.records])


def _with_digest(record: Record) -> Record:
    if not record.digest:
        return _with_payload(record, record.payload)
    if not record.is_whole:
        raise ValueError(f"record {record.seq} of {record.path} has the digest of another payload; nothing was written")
    return record


def _with_payload(record: Record, payload: bytes) -> Record:
    return replace(record, payload=payload, digest=digest_of(payload))


def is_below(path: str, top: str) -> bool:
    """Whether an actor is that one or lives below it."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def apply(shelf: Shelf, batch: Batch) -> Sequence[Record]:
    """Change what is stored by a batch that is `prepared`; its records as they are stored.

    Raises:
        SeqConflict: it does not go on where the shelf ends; nothing was changed.
        ValueError: it makes no sense; nothing was changed.
    """
    rows = _Rows(shelf, batch)
    _check_mail(shelf, batch)
    records = _transacted(shelf, batch)
    for path in batch.forget:
        shelf.forget(path)
    shelf.take(batch.took)
    shelf.append(records)
    for path, seq in batch.keep_from:
        rows.cut(path, seq, *shelf.cut(path, seq))
    for row in rows.all(records):
        shelf.put(row)
    shelf.send(batch.sends)
    shelf.bury(batch.dead)
    return records


def _transacted(shelf: Shelf, batch: Batch) -> Sequence[Record]:
    if batch.transact is None:
        return batch.records
    index, call = batch.transact

    def checked(connection: sqlite3.Connection) -> bytes:
        payload = call(connection)
        if not isinstance(payload, bytes):  # pyright: ignore[reportUnnecessaryIsInstance] - who has no type checker
            raise TypeError(
                f"a transactional effect returns the payload of its record, which is bytes, not {payload!r}"
            )
        return payload

    records = list(batch.records)
    records[index] = _with_payload(records[index], shelf.transact(checked))
    return records


def _check_mail(shelf: Shelf, batch: Batch) -> None:
    gone = set(batch.took)
    sent: set[tuple[str, str, int]] = set()
    for mail in batch.sends:
        key = (mail.to, mail.sender, mail.number)
        is_gone = key in gone or any(is_below(mail.to, top) for top in batch.forget)
        if key in sent or (not is_gone and shelf.has_mail(*key)):
            raise SeqConflict(
                f"message {mail.number} of {mail.sender or 'nobody durable'} to {mail.to} is in the journal already;"
                " nothing was written"
            )
        sent.add(key)


class _Rows:
    """The rows of the actors that a batch changes.

    Raises:
        SeqConflict: its records do not go on where the shelf ends.
        ValueError: it keeps from a `seq` on that is still to come.
    """

    def __init__(self, shelf: Shelf, batch: Batch) -> None:
        self._rows: Final[dict[str, ActorRow]] = {}
        self._forgotten: Final = batch.forget
        self._shelf: Final = shelf
        for given in batch.actors:
            self._rows[given.path] = _renewed(self._row(given.path), given)
        last: dict[str, int] = {}
        for record in batch.records:
            if record.path not in last:
                self._rows[record.path] = row = self._row(record.path)
                last[record.path] = row.last_seq
            if record.seq != (end := last[record.path]) + 1:
                raise SeqConflict(
                    f"{record.path}: the journal ends at record {end}, and this batch goes on with {record.seq}; nothing"
                    " was written. Somebody else has written to it, or a batch was left out: read it again and begin there"
                )
            last[record.path] = record.seq
        for path, seq in batch.keep_from:
            end = last[path] if path in last else self._row(path).last_seq
            if seq > end + 1:
                raise ValueError(f"{path}: its newest record is {end}, so nothing can be kept from {seq} on only")

    def _row(self, path: str) -> ActorRow:
        row = self._rows.get(path)
        if row is None and not any(is_below(path, top) for top in self._forgotten):
            row = self._shelf.row(path)
        return row or ActorRow(path, "", 0, "live", 1, 0, 1, 0, 0)

    def cut(self, path: str, seq: int, count: int, size: int) -> None:
        """So many records, and bytes of payload, below that `seq` are not there any more."""
        row = self._row(path)
        if seq > row.first_seq:
            self._rows[path] = replace(row, first_seq=seq, records=row.records - count, bytes=row.bytes - size)

    def all(self, records: Iterable[Record]) -> Iterable[ActorRow]:
        """The rows as they are with these records."""
        added: dict[str, tuple[int, int, int]] = {}
        for record in records:
            count, size, incarnation = added.get(record.path, (0, 0, 0))
            added[record.path] = (count + 1, size + len(record.payload), max(incarnation, record.incarnation))
        for path, (count, size, incarnation) in added.items():
            row = self._rows[path]
            self._rows[path] = ActorRow(
                path, row.behaviour, row.version, row.state, row.first_seq, row.last_seq + count,
                max(row.incarnation, incarnation), row.records + count, row.bytes + size, row.code,
            )  # fmt: skip
        return self._rows.values()


def _renewed(stored: ActorRow, given: ActorRow) -> ActorRow:
    """What is given of an actor; the numbers of its records are the store's."""
    return replace(
        stored,
        behaviour=given.behaviour,
        version=given.version,
        state=given.state,
        code=given.code,
        incarnation=max(stored.incarnation, given.incarnation),
    )


def whole(row: ActorRow | None, path: str, records: Sequence[Record], after: int) -> Sequence[Record]:
    """What was read of an actor, if it is what was written.

    Raises:
        JournalDamaged: a digest does not fit, or a `seq` is missing.
    """
    first, last = (1, 0) if row is None else (row.first_seq, row.last_seq)
    expected = range(max(first, after + 1), last + 1)
    for seq, record in zip(expected, records, strict=False):
        if record.seq != seq:
            raise JournalDamaged(_missing(path, seq, last))
        if not record.is_whole:
            raise JournalDamaged(
                f"{path}: record {seq} is damaged, its payload does not fit its digest. Nothing was changed. Take a copy of"
                " the journal that is whole, or give this actor up"
            )
    if len(records) != len(expected):
        seq = expected[len(records)] if len(records) < len(expected) else records[len(expected)].seq
        raise JournalDamaged(_missing(path, seq, last))
    return records


def _missing(path: str, seq: int, last: int) -> str:
    what = (
        f"record {seq} is missing, of those up to {last}" if seq <= last else f"record {seq} is behind its end, {last}"
    )
    return f"{path}: {what}. Nothing was changed. Take a copy of the journal that is whole, or give this actor up"
