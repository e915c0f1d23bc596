"""Ended actors and dead letters leave a journal, if nobody can miss them, and its file becomes smaller."""

# Design note
# -----------
# An ended actor is more than its past. Whoever waits for its end finds the result in its last record. A message from it
# that is on its way is known by its path and a number, which an actor that takes that path later would give again. A message
# to it may be a question. So each of these keeps it, and what lives below keeps what is above.

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast, final

import attrs

from histrio.cli.journal_file import as_ours, reading
from histrio_kernel.journal.codec import decode
from histrio_kernel.journal.lease import Lease, take
from histrio_kernel.journal.opening import open_file
from histrio_kernel.journal.store import ActorRow
from histrio_kernel.journal.tables import Tables
from histrio_kernel.signals import Kind

__all__ = ["Compacted", "compact"]

LEASE_S: Final = 60.0
"""So long no other process takes the journal over, should this one freeze."""


@final
@attrs.frozen
class Compacted:
    """What was done.

    Attributes:
        removed: the paths of the actors that are gone, those below first.
        kept: those that have ended and are there still, each with the reason.
        dead_letters: so many messages are gone that nobody took.
        before: bytes of the file, and `after`.
    """

    removed: Sequence[str]
    kept: Mapping[str, str]
    dead_letters: int
    before: int
    after: int


def compact(path: Path, ended_before: float) -> Compacted:
    """Remove the actors that have ended before that time, in seconds since 1970, and dead letters from before.

    Raises:
        JournalInUse: it belongs to another process. Nothing was changed.
        ForeignFile: the file is something else. `JournalTooNew`: a newer Histrio has written it.
        JournalDamaged: the file is not whole. `JournalFailed`: it could not be written.
        OSError: it is not there.
    """
    with reading(path):
        before = path.stat().st_size  # and it is a journal: an empty file would become one
    opened = open_file(path.absolute(), readonly=False)
    try:
        with as_ours(path):
            lease = take(opened.connection, path, LEASE_S)
            try:
                opened.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                removed, kept, dead_letters = _removed(opened.connection, lease, ended_before)
                opened.connection.execute("VACUUM")
                opened.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                lease.give_back(opened.connection)
            finally:
                lease.forget()
    finally:
        opened.close()
    return Compacted(removed, kept, dead_letters, before, path.stat().st_size)


def _removed(
    connection: sqlite3.Connection, lease: Lease, ended_before: float
) -> tuple[Sequence[str], Mapping[str, str], int]:
    """Remove them, all or none; the value is which, and why not the others, and how many dead letters."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        lease.hold(connection)
        tables = Tables(connection)
        rows = tables.actors()
        needed = _needed(connection, rows, ended_before)
        removed = [row.path for row in _below_first(rows) if row.path not in needed]
        for path in removed:
            tables.forget(path)
        dead_letters = tables.forget_dead_letters(ended_before)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    kept = {row.path: needed[row.path] for row in rows if row.path in needed and row.state == "ended"}
    return removed, kept, dead_letters


def _needed(connection: sqlite3.Connection, rows: Sequence[ActorRow], ended_before: float) -> Mapping[str, str]:
    """The actors that stay, each with the reason."""
    needed = {row.path: f"it is {row.state}" for row in rows if row.state != "ended"}
    for row in rows:
        if row.state != "ended":
            needed.update((path, f"{row.path} waits for its end") for path in _waited_for(connection, row.path))
    for receiver, sender in connection.execute("SELECT receiver, sender FROM mail"):
        needed.setdefault(receiver, f"a message of {sender or 'nobody durable'} waits for it")
        needed.setdefault(sender, f"a message of it waits for {receiver}")
    for row in rows:
        if row.path not in needed and (ended := _ended_at(connection, row)) is not None and ended > ended_before:
            needed[row.path] = "it ended not so long ago"
    for path in tuple(needed):
        above = path
        while above := above.rpartition("/")[0]:
            needed.setdefault(above, f"{path} is below it")
    return needed


def _waited_for(connection: sqlite3.Connection, path: str) -> Sequence[str]:
    """The actors whose end that one waits for, and has not heard of."""
    select = "SELECT kind, key, payload FROM records WHERE path = ? AND kind IN (?, ?) ORDER BY seq"
    waits: dict[str, str] = {}
    for kind, key, payload in connection.execute(select, (path, Kind.JOIN.value, Kind.RESOLVED.value)):
        if kind == Kind.JOIN.value:
            waits[key] = cast(str, decode(payload))
        else:
            waits.pop(key, None)
    return tuple(waits.values())


def _ended_at(connection: sqlite3.Connection, row: ActorRow) -> float | None:
    found = connection.execute("SELECT at FROM records WHERE path = ? AND seq = ?", (row.path, row.last_seq)).fetchone()
    return None if found is None else cast(float, found[0])


def _below_first(rows: Sequence[ActorRow]) -> Sequence[ActorRow]:
    return sorted(rows, key=lambda row: row.path.count("/"), reverse=True)
