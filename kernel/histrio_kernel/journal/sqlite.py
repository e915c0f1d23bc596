"""A journal in one SQLite file: nobody is answered before what he wrote is synced, and all that wait share one sync."""

# Design note
# -----------
# One thread has the only connection that writes. All batches that wait when it is free become one transaction (group
# commit). If one of them is refused they are done again, each behind a savepoint of its own, so that it does not harm the
# others. The line is a `Combiner`, as a disk's is: what it says of order and cancellation holds here.
#
# Any failure of SQLite while it writes ends the journal for good (`JournalFailed`). After a failed sync the operating
# system may hold pages in memory that the disk does not have, and no further sync would tell (fsyncgate).

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar, cast, final

import attrs
import trio

from histrio_kernel.bounds import bound
from histrio_kernel.combine import Combiner, Job, Rest
from histrio_kernel.driver import FilePath
from histrio_kernel.journal.applying import apply, prepared
from histrio_kernel.journal.commits import Commit
from histrio_kernel.journal.errors import JournalDamaged, JournalFailed
from histrio_kernel.journal.gathered import Gathered, only_adds
from histrio_kernel.journal.lease import Lease, take
from histrio_kernel.journal.opening import Opened, cannot_open, code_of, open_file
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import ActorRow, Batch, DeadLetterRow, Mail
from histrio_kernel.journal.tables import Tables
from histrio_kernel.journal.writer import WriterThread

__all__ = ["JournalStatistics", "SqliteJournal", "open_sqlite"]

T = TypeVar("T")

# batches in one transaction; those behind them wait for the next.
JOURNAL_GROUP_MAX: Final = bound("journal_group_max")
# bytes of payload in one transaction; one batch always fits.
JOURNAL_GROUP_BYTES_MAX: Final = bound("journal_group_bytes_max")

_BY_US: Final = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError, sqlite3.NotSupportedError)
"""What SQLite says of a value that it cannot store, or a call that makes no sense: the disk is all right."""

_OF_THE_DISK: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
"""What ends a journal also if it happens in somebody's transactional effect."""

_TO_DO: Final = {
    sqlite3.SQLITE_FULL: "Make room on its disk",
    sqlite3.SQLITE_BUSY: "End the program that holds it locked",
    sqlite3.SQLITE_LOCKED: "End the program that holds it locked",
    sqlite3.SQLITE_READONLY: "Make the file and its folder writable",
    sqlite3.SQLITE_CANTOPEN: "Make the file and its folder readable and writable",
    sqlite3.SQLITE_IOERR: "Look after its disk, and whether a limit on the size of files was met",
}


@attrs.frozen
class JournalStatistics:
    """What a journal has done: batches that were stored, in so many transactions; and how many wait."""

    batches: int
    groups: int
    waiting: int


@final
class _Commit(Commit):
    __slots__ = ("size",)

    def __init__(self, batch: Batch, rest: Rest | None) -> None:
        super().__init__(batch, rest)
        self.size = 0
        for record in batch.records:
            self.size += len(record.payload)


@final
class _Close(Job):
    __slots__ = ()


class _OneIsRefused(Exception):
    """Of a group that was to be stored together."""


def open_sqlite(
    path: FilePath, *, lease_s: float = 10.0, readonly: bool = False
) -> AbstractAsyncContextManager[SqliteJournal]:
    """Open the journal in that file; make one if there is no file.

    Args:
        path: of the file. SQLite has two more beside it while it is open, `-wal` and `-shm`.
        lease_s: after so many seconds without a sign of life another process may take the journal over; at once, if it
            can see that this one has ended. Longer than the longest time for which this process may be frozen.
        readonly: for tools: nothing is written, and the journal may belong to another process.

    Raises:
        JournalInUse: it belongs to another process.
        ForeignFile: the file is something else. `JournalTooNew`: a newer Histrio has written it.
        JournalDamaged: the file is not whole.
        JournalFailed: it cannot be opened.
        OSError: its folder is not there, or it cannot be read.
    """
    if not lease_s > 0:
        raise ValueError(f"a lease of {lease_s!r} s is over before it begins; lease_s is more than 0, such as 10.0")
    return _open_sqlite(Path(path).absolute(), lease_s, readonly)


@asynccontextmanager
async def _open_sqlite(path: Path, lease_s: float, readonly: bool) -> AsyncGenerator[SqliteJournal]:
    journal = SqliteJournal(path, lease_s, readonly)
    try:
        await journal._open()
        yield journal
    finally:
        await journal.aclose()


@final
class SqliteJournal:
    """A `Journal` in an SQLite file; `open_sqlite` makes one."""

    def __init__(self, path: Path, lease_s: float, readonly: bool) -> None:
        self.path: Final = path
        self._lease_s: Final = lease_s
        self._readonly: Final = readonly
        self._is_closed = False
        self._line: Final[Combiner[Job]] = Combiner(_fit, self._travel)
        self._thread: Final = WriterThread(f"journal {path.name}", lease_s / 3, self._tend)
        # What follows is the thread's.
        self._opened: Opened | None = None
        self._lease: Lease | None = None
        self._failure: JournalFailed | None = None
        self._identity = ""
        self._batches = self._groups = 0
        self._known: Final[dict[str, ActorRow]] = {}
        """Rows of actors as they are stored, so that they need not be read again."""

    def __repr__(self) -> str:
        return f"<SqliteJournal {str(self.path)!r}{', closed' if self._is_closed else ''}>"

    @property
    def epoch(self) -> int:
        """Which owner of the journal this one is, counted from the first; 0 if it only reads."""
        return 0 if self._lease is None else self._lease.epoch

    @property
    def identity(self) -> str:
        """What no other journal has."""
        return self._identity

    def statistics(self) -> JournalStatistics:
        """What it has done so far."""
        return JournalStatistics(self._batches, self._groups, self._line.waiting)

    async def commit(self, batch: Batch, rest: Rest | None = None) -> Sequence[Record]:
        """Store a batch; see `Journal.commit`."""
        job = _Commit(prepared(batch), rest)
        self._check_open()
        await self._line.do(job)
        return job.stored

    async def records(self, path: str, after: int = 0) -> Sequence[Record]:
        """What is kept of one actor; see `Journal.records`."""
        return await self._read(lambda tables: tables.read(path, after))

    async def actors(self) -> Sequence[ActorRow]:
        """All actors, in the order of their paths."""
        return await self._read(Tables.actors)

    async def mail(self, path: str) -> Sequence[Mail]:
        """What one actor has not taken yet."""
        return await self._read(lambda tables: tables.mail(path))

    async def dead_letters(self) -> Sequence[DeadLetterRow]:
        """What nobody took."""
        return await self._read(Tables.dead_letters)

    async def aclose(self) -> None:
        """Store what was asked for before, and give it back; done also if this is cancelled."""
        if self._is_closed:
            return
        self._is_closed = True
        with trio.CancelScope(shield=True):
            await self._line.do(_Close())

    def _check_open(self) -> None:
        if self._is_closed:
            raise trio.ClosedResourceError(f"{self.path} is closed; open it again")

    async def _open(self) -> None:
        await self._thread.run(self._connect)

    async def _read(self, read: Callable[[Tables], T]) -> T:
        self._check_open()
        return await self._thread.run(self._reading, read)

    async def _travel(self, trip: Sequence[Job]) -> None:
        if isinstance(trip[0], _Close):
            try:
                await self._thread.run(self._close)
            finally:
                self._thread.end()
            trip[0].settle()
        else:
            await self._thread.run(self._store, cast("Sequence[_Commit]", trip))

    # Everything below runs in the thread.

    def _connect(self) -> None:
        self._opened = opened = open_file(self.path, readonly=self._readonly)
        try:
            self._identity = Tables(opened.connection).identity()
        except sqlite3.Error as error:
            raise cannot_open(self.path, error) from error
        if self._readonly:
            return
        try:
            self._lease = take(opened.connection, self.path, self._lease_s)
            opened.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise cannot_open(self.path, error) from error

    def _reading(self, read: Callable[[Tables], T]) -> T:
        if self._opened is None:
            raise trio.ClosedResourceError(f"{self.path} is closed; open it again")
        connection = self._opened.connection
        try:
            connection.execute("BEGIN")
            try:
                return read(Tables(connection))
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.DatabaseError as error:
            if code_of(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise JournalDamaged(f"{self.path} is not whole: {error}. Take a copy that is") from error
            raise JournalFailed(f"{self.path} cannot be read: {error}") from error

    def _store(self, trip: Sequence[_Commit]) -> None:
        """Make one transaction of them, and settle each."""
        refused: dict[_Commit, BaseException] = {}
        if self._failure is None:
            try:
                if not self._store_together(trip):
                    self._transaction(lambda tables: self._write(tables, trip, refused))
            except Exception as error:
                self._poisoned(error)
        for job in trip:
            if self._failure is not None:
                job.fail(self._failure.again())
            elif job in refused:
                job.fail(refused[job])
            else:
                job.settle()
        if self._failure is None:
            self._groups += 1
            self._batches += len(trip) - len(refused)

    def _transaction(self, write: Callable[[Tables], None]) -> None:
        """Write in a transaction that is ours by the lease, and commit it."""
        if self._opened is None or self._lease is None:
            raise JournalFailed(f"{self.path} was opened to be read only; nothing was written")
        connection = self._opened.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            renewed = self._lease.hold(connection)
            write(Tables(connection, self._known))
            connection.execute("COMMIT")
            self._lease.renewed = renewed
        except BaseException:
            self._known.clear()
            with suppress(sqlite3.Error):  # of a failure that has rolled it back already
                connection.execute("ROLLBACK")
            raise

    def _write(self, tables: Tables, trip: Sequence[_Commit], refused: dict[_Commit, BaseException]) -> None:
        assert self._opened is not None
        connection = self._opened.connection
        for job in trip:
            connection.execute("SAVEPOINT batch")
            try:
                job.stored = apply(tables, job.batch)
            except BaseException as error:
                if _ends_it(error, connection, is_of_effect=error is tables.refused_by):
                    raise
                refused[job] = error
                self._known.clear()
                connection.execute("ROLLBACK TO batch")
            connection.execute("RELEASE batch")

    def _store_together(self, trip: Sequence[_Commit]) -> bool:
        """Store them all in a few steps; False if one of them is refused, or has to be by itself, and nothing is stored.

        Without a savepoint, for which SQLite would copy each page before it is changed.
        """
        if len(trip) == 1 or not all(only_adds(job.batch) for job in trip):
            return False
        try:
            self._transaction(lambda tables: self._write_together(tables, trip))
        except _OneIsRefused:
            return False
        return True

    def _write_together(self, tables: Tables, trip: Sequence[_Commit]) -> None:
        assert self._opened is not None
        try:
            for job, stored in zip(trip, Gathered(tables).store([job.batch for job in trip]), strict=True):
                job.stored = stored
        except Exception as error:
            connection = self._opened.connection
            if not isinstance(error, sqlite3.IntegrityError) and _ends_it(error, connection, is_of_effect=False):
                raise
            raise _OneIsRefused from error

    def _poisoned(self, error: Exception) -> JournalFailed:
        """From here on nothing is written any more, and everybody is told why."""
        failure = error if isinstance(error, JournalFailed) else _failure(self.path, error)
        self._failure = failure
        return failure

    def _tend(self) -> None:
        """Renew the lease if it is time."""
        if self._lease is None or self._failure is not None or self._opened is None or not self._lease.is_due:
            return
        try:
            self._transaction(lambda _: None)
        except Exception as error:
            self._poisoned(error)

    def _close(self) -> None:
        if self._opened is None:
            return
        opened, self._opened = self._opened, None
        try:
            if self._lease is not None:
                with suppress(sqlite3.Error):  # then it ends with the lease, or with this process
                    self._lease.give_back(opened.connection)
        finally:
            if self._lease is not None:
                self._lease.forget()
            opened.close()


def _fit(line: Iterable[Job]) -> int:
    """How many of those who wait make one transaction: batches up to the bounds, or one close."""
    count = total = 0
    for job in line:
        if not isinstance(job, _Commit):
            break
        total += job.size
        if count and (total > JOURNAL_GROUP_BYTES_MAX or count == JOURNAL_GROUP_MAX):
            break
        count += 1
    return max(count, 1)


def _ends_it(error: BaseException, connection: sqlite3.Connection, *, is_of_effect: bool) -> bool:
    """Whether an error of one batch is one of the disk, after which nothing is certain."""
    if not _in_transaction(connection):
        return True
    if not isinstance(error, sqlite3.Error):
        return False
    return code_of(error) in _OF_THE_DISK if is_of_effect else not isinstance(error, _BY_US)


def _in_transaction(connection: sqlite3.Connection) -> bool:
    try:
        return connection.in_transaction
    except sqlite3.ProgrammingError:  # an effect has closed it
        return False


def _failure(path: Path, error: Exception) -> JournalFailed:
    to_do = (
        _TO_DO.get(code_of(error) or 0, "Look after its disk") if isinstance(error, sqlite3.Error) else "See its cause"
    )
    failure = JournalFailed(
        f"{path} could not be written: {error}. Nothing of this is acknowledged, and nothing is written any more until"
        f" it is opened again. {to_do}, and start again"
    )
    failure.__cause__ = error
    return failure
