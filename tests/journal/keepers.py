"""The journals that the conformance suite runs on: how each is opened, counted and damaged."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import cast

import msgspec

from histrio.testing.journal_conformance import Keeper
from histrio_kernel.driver import Disk
from histrio_kernel.journal.logged import LoggedJournal, open_logged
from histrio_kernel.journal.memory import MemoryJournal
from histrio_kernel.journal.sqlite import SqliteJournal, open_sqlite
from histrio_kernel.journal.store import Journal
from histrio_kernel.journal.stored import Stored

__all__ = ["changed", "in_a_log", "in_memory", "in_sqlite"]


def in_memory() -> Keeper:
    """A journal in memory."""
    stored = Stored()

    def damage(path: str, seq: int) -> None:
        records = stored.records[path]
        (at,) = (at for at, record in enumerate(records) if record.seq == seq)
        records[at] = msgspec.structs.replace(records[at], payload=records[at].payload + b"!")

    def lose(path: str, seq: int) -> None:
        stored.records[path] = [record for record in stored.records[path] if record.seq != seq]

    return Keeper(open=lambda: MemoryJournal(stored), damage=damage, lose=lose)


def in_a_log(disk: Disk, path: str) -> Keeper:
    """A journal in a log; damage to that is what the tests of the log are about."""

    def groups(journal: Journal) -> int:
        return cast(LoggedJournal, journal).groups

    return Keeper(open=lambda: open_logged(disk, path), groups=groups, has_connection=False)


def in_sqlite(path: Path) -> Keeper:
    """A journal in an SQLite file."""

    def groups(journal: Journal) -> int:
        return cast(SqliteJournal, journal).statistics().groups

    def damage(actor: str, seq: int) -> None:
        changed(path, "UPDATE records SET payload = payload || x'21' WHERE path = ? AND seq = ?", actor, seq)

    def lose(actor: str, seq: int) -> None:
        changed(path, "DELETE FROM records WHERE path = ? AND seq = ?", actor, seq)

    return Keeper(open=lambda: open_sqlite(path), groups=groups, damage=damage, lose=lose)


def changed(path: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Do that to a journal, behind its back; what it returns."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()
