"""What an SQLite file has to be to be a journal, and how an empty one becomes one."""

# Design note
# -----------
# A file says what it is by SQLite's own means: `application_id` and `user_version`, which stand in the first 100 bytes.
# They are read from there before SQLite opens the file, because opening a database may already change it (SQLite rolls
# back what a crash left, and moves a log into its database). The identity is written in the transaction that makes the
# tables, before the file is in WAL mode, so the first 100 bytes always have it.
#
# That a database is shorter than it should be, SQLite sees itself.
#
# An unfinished creation leaves a rollback journal, which only SQLite can undo; such a file is asked afterwards.

from __future__ import annotations

import os
import secrets
import sqlite3
import struct
from pathlib import Path
from typing import Final

from histrio_kernel.journal.errors import ForeignFile, JournalDamaged, JournalTooNew
from histrio_kernel.journal.record import FORMAT

__all__ = ["APPLICATION_ID", "OUR_TABLES", "check_file", "make_tables"]

APPLICATION_ID: Final = 0x48697374
"""`Hist`. The `file` command shows it."""

HEADER_BYTES: Final = 100
MAGIC: Final = b"SQLite format 3\0"
_NUMBER: Final = struct.Struct(">I")
_VERSION_AT: Final = 60
_IDENTITY_AT: Final = 68

OUR_TABLES: Final = frozenset({"records", "actors", "mail", "dead_letters", "journal", "owner"})

# `records` grows at its end, and has an index by actor. Ordered by actor (WITHOUT ROWID), each message of another actor would
# change a page of its own, all of which goes to the disk: for a thousand actors that is most of what a group writes.
_TABLES: Final = (
    """CREATE TABLE records (
        path TEXT NOT NULL, seq INTEGER NOT NULL, incarnation INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
        payload BLOB NOT NULL, at REAL NOT NULL, scope INTEGER NOT NULL, cause TEXT NOT NULL, digest BLOB NOT NULL,
        PRIMARY KEY (path, seq))""",
    """CREATE TABLE actors (
        path TEXT NOT NULL PRIMARY KEY, behaviour TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL,
        first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, incarnation INTEGER NOT NULL, records INTEGER NOT NULL,
        bytes INTEGER NOT NULL, code TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE mail (
        id INTEGER PRIMARY KEY, receiver TEXT NOT NULL, sender TEXT NOT NULL, number INTEGER NOT NULL,
        payload BLOB NOT NULL, at REAL NOT NULL, UNIQUE (receiver, sender, number))""",
    """CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY, receiver TEXT NOT NULL, sender TEXT NOT NULL, payload BLOB NOT NULL, why TEXT NOT NULL,
        at REAL NOT NULL)""",
    """CREATE TABLE owner (
        one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, host TEXT NOT NULL, boot TEXT NOT NULL,
        pid INTEGER NOT NULL, started TEXT NOT NULL, token TEXT NOT NULL, expires REAL NOT NULL)""",
    "INSERT INTO owner VALUES (1, 0, '', '', 0, '', '', 0)",
    "CREATE TABLE journal (one INTEGER PRIMARY KEY CHECK (one = 1), identity TEXT NOT NULL)",
)


def check_file(path: Path) -> None:
    """Look at a file before SQLite does, and change nothing.

    Raises:
        ForeignFile: it is something else.
        JournalTooNew: it is a journal of a newer Histrio.
        OSError: it cannot be read.
    """
    if os.path.lexists(f"{path}-journal"):
        return
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if not header:
        return
    if not header.startswith(MAGIC):
        raise ForeignFile(f"{path} is no journal of Histrio: it is no SQLite database. Nothing of it was changed")
    if len(header) < HEADER_BYTES:
        raise JournalDamaged(f"{path} is a database that was cut off after {len(header)} bytes. Nothing was changed")
    _check_identity(path, _number(header, _IDENTITY_AT), _number(header, _VERSION_AT))


def _number(header: bytes, at: int) -> int:
    number: int = _NUMBER.unpack_from(header, at)[0]
    return number


def _check_identity(path: Path, identity: int, version: int) -> None:
    if identity != APPLICATION_ID:
        raise ForeignFile(
            f"{path} is no journal of Histrio: it is a database of another program (its application_id is {identity:#x})."
            " Nothing of it was changed. Name a file that does not exist yet"
        )
    if version > FORMAT:
        raise JournalTooNew(
            f"{path} has format {version}, and this Histrio knows formats up to {FORMAT}. Nothing of it was changed."
            " Open it with the Histrio that wrote it, or a newer one"
        )


def make_tables(path: Path, connection: sqlite3.Connection) -> None:
    """Make an empty database a journal; look again at one that is not, in the same transaction.

    Raises:
        ForeignFile: it is something else.
        JournalTooNew: it is a journal of a newer Histrio.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        identity, version, pages = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("application_id", "user_version", "page_count")
        )
        if identity or version or pages > 1 or connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            _check_identity(path, identity, version)
        else:
            for table in _TABLES:
                connection.execute(table)
            connection.execute("INSERT INTO journal VALUES (1, ?)", (secrets.token_hex(8),))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
