"""A connection to the file of a journal comes about here, after it is known that the file is one."""

# Design note
# -----------
# WAL with `synchronous=FULL`: a commit is one sync of the log. (With NORMAL it would be none, and a power cut would take
# the last commits back. In the default, rollback mode, it would be several.)
#
# Opening moves the whole log into the database. After a failed sync the operating system may hold pages in memory that
# the disk does not have, and no further sync would tell (fsyncgate); this writes them anew, before anything is put behind
# them.
#
# SQLite's locks are POSIX ones: whoever closes a file loses the locks that his whole process has on it. So the look at
# the first bytes of a file, which SQLite knows nothing of, is not taken at one that this process has open.

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Final, final

from histrio_kernel.bounds import bound
from histrio_kernel.errors import HistrioError
from histrio_kernel.journal.errors import ForeignFile, JournalDamaged, JournalFailed, JournalInUse
from histrio_kernel.journal.schema import check_file, make_tables

__all__ = ["JOURNAL_BUSY_S", "Opened", "cannot_open", "code_of", "open_file"]

# seconds that a call waits for a lock that another connection has.
JOURNAL_BUSY_S: Final = bound("journal_busy_s")

_opening: Final = threading.Lock()
_files_open: Final[dict[tuple[int, int], int]] = {}
"""How often this process has a file open, by device and inode."""


@final
class Opened:
    """A connection, and the file that it is to."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.connection: Final = connection
        self._identity: Final = _identity(path)
        _files_open[self._identity] = _files_open.get(self._identity, 0) + 1

    def close(self) -> None:
        """Close it; called once."""
        with _opening:
            self.connection.close()
            _files_open[self._identity] -= 1
            if not _files_open[self._identity]:
                del _files_open[self._identity]


def open_file(path: Path, *, readonly: bool) -> Opened:
    """Connect to a journal; make one if there is no file.

    Raises:
        ForeignFile: it is something else. `JournalTooNew`: a newer Histrio has written it.
        JournalDamaged: it is not whole. `JournalInUse`: somebody has it locked. `JournalFailed`: it cannot be opened.
        OSError: it is not there, or cannot be read.
    """
    with _opening:
        _check(path, readonly)
        connection: sqlite3.Connection | None = None
        try:
            connection = _connect_to_read(path) if readonly else _connect_to_write(path)
            return Opened(path, connection)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise cannot_open(path, error) from error
            raise


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _check(path: Path, readonly: bool) -> None:
    if not path.exists():
        if readonly:
            raise FileNotFoundError(2, "there is no such journal", str(path))
        if not path.parent.is_dir():
            raise FileNotFoundError(2, "there is no such folder for a journal", str(path.parent))
    elif _identity(path) not in _files_open:
        check_file(path)


def _connect(path: Path, parameters: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?{parameters}", timeout=JOURNAL_BUSY_S, isolation_level=None, uri=True)


def _connect_to_write(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "mode=rwc")
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # on macOS a sync is none without it
        connection.execute("PRAGMA checkpoint_fullfsync = ON")
        make_tables(path, connection)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise JournalFailed(
                f"{path}: SQLite cannot keep a log there (WAL). Put the journal on a disk of this machine"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "mode=ro")
    try:
        connection.execute("SELECT 1 FROM owner").fetchone()
    except sqlite3.OperationalError:
        # A reader, too, needs the files beside it, and cannot make them where it may not write. Nobody else can then.
        connection.close()
        log = Path(f"{path}-wal")
        if log.exists() and log.stat().st_size:
            raise
        connection = _connect(path, "mode=ro&immutable=1")
        try:
            connection.execute("SELECT 1 FROM owner").fetchone()
        except BaseException:
            connection.close()
            raise
    except BaseException:
        connection.close()
        raise
    return connection


def code_of(error: sqlite3.Error) -> int | None:
    """Which of SQLite's errors it is, without its finer distinctions; None if it does not come from there."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def cannot_open(path: Path, error: sqlite3.Error) -> HistrioError:
    """What SQLite says while a journal is opened, as an error of ours."""
    match code_of(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return JournalInUse(f"{path} is locked by another connection ({error}); end the program that has it")
        case sqlite3.SQLITE_NOTADB:
            return ForeignFile(f"{path} is no journal of Histrio: {error}. Nothing of it was changed")
        case sqlite3.SQLITE_CORRUPT:
            return JournalDamaged(f"{path} is not whole: {error}. Take a copy that is")
        case _:
            return JournalFailed(f"{path} cannot be opened: {error}. See whether it and its folder can be written to")
