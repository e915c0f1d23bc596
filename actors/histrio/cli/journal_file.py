"""A journal in a file, read as it was at one moment, whoever owns it and whatever is damaged in it."""

# Design note
# -----------
# `SqliteJournal` refuses an actor whole if one of its records is damaged, and reads each actor at a moment of its own. Tools
# are there for damage, and compare actors with one another; so they read the tables in one transaction, and say of each
# record themselves whether it is whole.

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

import attrs

from histrio_kernel.journal.errors import JournalDamaged, JournalFailed
from histrio_kernel.journal.opening import code_of, open_file
from histrio_kernel.journal.record import digest_of
from histrio_kernel.signals import Kind

__all__ = ["Row", "as_ours", "reading", "rows"]

_KINDS: Final = frozenset(kind.value for kind in Kind)
_TYPES: Final = (
    "typeof(seq) = 'integer' AND typeof(incarnation) = 'integer' AND typeof(kind) = 'text' AND typeof(payload) = 'blob' "
    "AND typeof(at) = 'real' AND typeof(digest) = 'blob'"
)
_SELECT: Final = (
    "SELECT path, CAST(seq AS INTEGER), CAST(incarnation AS INTEGER), CAST(kind AS TEXT), CAST(key AS TEXT), "
    "CAST(payload AS BLOB), CAST(at AS REAL), CAST(scope AS INTEGER), CAST(cause AS TEXT), CAST(digest AS BLOB), "
    f"{_TYPES} FROM records"
)


@final
@attrs.frozen
class Row:
    """One record as it stands in the file; see `Record`. `is_typed`: each column has what it should have."""

    path: str
    seq: int
    incarnation: int
    kind: str
    key: str
    payload: bytes
    at: float
    scope: int
    cause: str
    digest: bytes
    is_typed: bool = attrs.field(converter=bool)

    @property
    def is_whole(self) -> bool:
        """Whether it is what was written."""
        return self.is_typed and self.kind in _KINDS and self.digest == digest_of(self.payload)


def rows(connection: sqlite3.Connection, path: str | None = None, since: int = 1) -> Iterator[Row]:
    """The records of all actors, or of one, in order, from that `seq` on."""
    if path is None:
        yield from (Row(*row) for row in connection.execute(f"{_SELECT} ORDER BY path, seq"))
    else:
        select = f"{_SELECT} WHERE path = ? AND seq >= ? ORDER BY seq"
        yield from (Row(*row) for row in connection.execute(select, (path, since)))


@contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection]:
    """Read the journal in this block, as it is now; nothing of it is changed, and others may write.

    Raises:
        ForeignFile: the file is something else. `JournalTooNew`: a newer Histrio has written it.
        JournalDamaged: the file is not whole.
        JournalFailed: it cannot be read. `OSError`: it is not there.
    """
    opened = open_file(path.absolute(), readonly=True)
    try:
        with as_ours(path):
            opened.connection.execute("BEGIN")
            yield opened.connection
    finally:
        opened.close()


@contextmanager
def as_ours(path: Path) -> Generator[None]:
    """What SQLite says in this block, as errors of ours."""
    try:
        yield
    except sqlite3.Error as error:
        if code_of(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise JournalDamaged(f"{path} is not whole: {error}. Take a copy that is") from error
        raise JournalFailed(f"{path} cannot be used: {error}") from error
