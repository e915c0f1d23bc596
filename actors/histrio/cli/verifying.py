"""Everything that can be wrong with a journal, and be seen without the code of its actors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

from histrio.cli.journal_file import Row, rows
from histrio_kernel.journal.store import ActorRow
from histrio_kernel.journal.tables import Tables

__all__ = ["faults"]

_STATES: Final = frozenset({"live", "ended", "quarantined"})


def faults(connection: sqlite3.Connection) -> Iterator[str]:
    """A line for each."""
    actors = {row.path: row for row in Tables(connection).actors()}
    yield from _of_the_file(connection)
    counted: set[str] = set()
    for path, records in groupby(rows(connection), attrgetter("path")):
        counted.add(path)
        yield from _of_records(path, records, actors.get(path))
    for path, row in actors.items():
        if path not in counted:
            yield from _of_records(path, iter(()), row)
        yield from _of_place(row, actors)
    yield from _of_mail(connection, actors)


def _of_the_file(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield f"the file: {line}"


def _of_records(path: str, records: Iterator[Row], row: ActorRow | None) -> Iterator[str]:
    """What is wrong with the records of one actor, and with what the journal says of them."""
    if row is None:
        yield f"{path}: has {len(list(records))} records, and is not in the list of actors"
        return
    count = size = incarnation = 0
    expected = row.first_seq
    for record in records:
        if record.seq != expected:
            yield f"{path}: {_gap(expected, record.seq)}"
        expected = record.seq + 1
        if not record.is_whole:
            yield f"{path}: record {record.seq} is damaged, its payload does not fit its digest, or it is of no kind"
        if record.incarnation < incarnation:
            yield f"{path}: record {record.seq} is of incarnation {record.incarnation}, after one of {incarnation}"
        count, size, incarnation = count + 1, size + len(record.payload), max(incarnation, record.incarnation)
    if expected <= row.last_seq:
        yield f"{path}: {_gap(expected, row.last_seq + 1)}"
    if expected > row.last_seq + 1:
        yield f"{path}: is said to end at record {row.last_seq}, and ends at {expected - 1}"
    yield from _of_numbers(row, count, size, incarnation)


def _gap(expected: int, found: int) -> str:
    if found < expected:
        return f"record {found} is from before its first one, {expected}"
    return f"record {expected} is missing" if found == expected + 1 else f"records {expected}-{found - 1} are missing"


def _of_numbers(row: ActorRow, count: int, size: int, incarnation: int) -> Iterator[str]:
    told: Sequence[tuple[str, int, int]] = (("records", row.records, count), ("bytes", row.bytes, size))
    for what, said, found in told:
        if said != found:
            yield f"{row.path}: is said to have {said} {what}, and has {found}"
    if row.incarnation < incarnation:
        yield f"{row.path}: is said to be of incarnation {row.incarnation}, and has a record of {incarnation}"
    if row.state not in _STATES:
        yield f"{row.path}: is said to be {row.state!r}, which is no state"


def _of_place(row: ActorRow, actors: Mapping[str, ActorRow]) -> Iterator[str]:
    """Whether something will make it live again: its parent, if it has one."""
    parent = row.path.rpartition("/")[0]
    if not parent or row.state == "ended":
        return
    above = actors.get(parent)
    if above is None:
        yield f"{row.path}: lives below {parent}, which is not in the journal, so it will never go on"
    elif above.state == "ended":
        yield f"{row.path}: lives below {parent}, which has ended, so it will never go on"


def _of_mail(connection: sqlite3.Connection, actors: Mapping[str, ActorRow]) -> Iterator[str]:
    for receiver, sender, number in connection.execute("SELECT receiver, sender, number FROM mail ORDER BY id"):
        row = actors.get(receiver)
        if row is None or row.state == "ended":
            why = "is not in the journal" if row is None else "has ended"
            yield f"{receiver}: {why}, and message {number} of {sender or 'nobody durable'} waits for it"
