"""A journal in a log on a driver's disk: the one for simulations, where a power cut is part of the test.

What it holds is in memory; each group of batches is one record of the log, so a crash leaves it whole or not at all.
"""

# Design note
# -----------
# A group is applied in memory first, and then appended: what a batch means depends on the ones before it, which are
# perhaps of the same group. Nobody sees it in between, because whoever reads stands in the same line; and if the disk
# fails, the memory is ahead of it and is not shown any more.
#
# The log only grows: what was rolled up is left out of it when it is opened, not of the file. A simulation is over before
# that matters. There is no lease either: a disk gives a file to who opened it last.

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeVar, final

import msgspec
import trio

from histrio_kernel.combine import Combiner, Job, Rest
from histrio_kernel.driver import Disk, DiskFailed, FilePath
from histrio_kernel.journal.applying import apply, prepared
from histrio_kernel.journal.commits import Commit
from histrio_kernel.journal.errors import ForeignFile, JournalDamaged, JournalFailed, JournalTooNew
from histrio_kernel.journal.record import FORMAT, Record
from histrio_kernel.journal.store import ActorRow, Batch, DeadLetterRow, Mail
from histrio_kernel.journal.stored import Stored
from histrio_kernel.log import LOG_PAYLOAD_BYTES_MAX, Log, LogCorrupt, LogFormat

__all__ = ["LoggedJournal", "open_logged"]

T = TypeVar("T")

_GROUP_BYTES: Final = 16
"""What a group has besides its batches, at most."""


class _Begins(msgspec.Struct, frozen=True, array_like=True):
    """The first record of the log."""

    what: str
    format: int
    identity: str


_WHAT: Final = "journal of Histrio"


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """A batch, as the log has it."""

    records: list[Record]
    actors: list[ActorRow]
    sends: list[Mail]
    took: list[tuple[str, str, int]]
    dead: list[DeadLetterRow]
    keep_from: list[tuple[str, int]]
    forget: list[str]


_encoder: Final = msgspec.msgpack.Encoder()
_groups: Final = msgspec.msgpack.Decoder(list[_Entry])
_beginnings: Final = msgspec.msgpack.Decoder(_Begins)


@final
class _Commit(Commit):
    __slots__ = ("entry",)

    def __init__(self, batch: Batch, entry: bytes, rest: Rest | None) -> None:
        super().__init__(batch, rest)
        self.entry: Final = entry


@final
class _Look(Job):
    """Anything but a batch; it has its turn alone."""

    __slots__ = ("look",)

    def __init__(self, look: Callable[[], object]) -> None:
        super().__init__()
        self.look: Final = look


@final
class _Close(Job):
    __slots__ = ()


@asynccontextmanager
async def _open_logged(disk: Disk, path: FilePath, identity: str | None) -> AsyncGenerator[LoggedJournal]:
    try:
        log = await Log.open(disk, path)
    except LogFormat as error:
        raise ForeignFile(f"{path} is no journal of Histrio: {error}") from error
    except LogCorrupt as error:
        raise JournalDamaged(f"{path} is damaged: {error}") from error
    except DiskFailed as error:
        raise JournalFailed(f"{path} cannot be opened: {error}") from error
    async with log:
        payloads = log.take_recovered()
        stored = _replayed(path, payloads, identity)
        if not payloads:
            await _begin(log, stored.identity)
        journal = LoggedJournal(log, stored)
        try:
            yield journal
        finally:
            await journal.aclose()


def open_logged(disk: Disk, path: FilePath, identity: str | None = None) -> AbstractAsyncContextManager[LoggedJournal]:
    """Open the journal in that log; make one if there is no file.

    Args:
        disk: where the log is.
        path: of the log.
        identity: of one that is made; by default one is drawn, so a simulation that shows keys to others gives one.

    Raises:
        ForeignFile: the file is something else. `JournalTooNew`: a newer Histrio has written it.
        JournalDamaged: it is not whole.
        JournalFailed: the disk failed.
        OSError: the file cannot be opened or read.
    """
    return _open_logged(disk, path, identity)


async def _begin(log: Log, identity: str) -> None:
    try:
        await log.append(_encoder.encode(_Begins(_WHAT, FORMAT, identity)))
    except DiskFailed as error:
        raise JournalFailed(f"{log.path} cannot be made a journal: {error}") from error


def _replayed(path: FilePath, payloads: Sequence[bytes], identity: str | None) -> Stored:
    """What is stored after these groups."""
    if not payloads:
        return Stored(identity)
    try:
        begins = _beginnings.decode(payloads[0])
    except msgspec.DecodeError:
        begins = _Begins("", 0, "")
    if begins.what != _WHAT:
        raise ForeignFile(f"{path} is no journal of Histrio: it is a log of something else. Nothing of it was changed")
    if begins.format > FORMAT:
        raise JournalTooNew(
            f"{path} has format {begins.format}, and this Histrio knows formats up to {FORMAT}. Nothing of it was changed"
        )
    stored = Stored(begins.identity)
    for number, payload in enumerate(payloads[1:], 2):
        try:
            for entry in _groups.decode(payload):
                apply(stored, Batch(**msgspec.structs.asdict(entry)))
        except Exception as error:
            raise JournalDamaged(f"{path}: record {number} of the log makes no sense: {error}") from error
    return stored


@final
class LoggedJournal:
    """A `Journal` in a log; `open_logged` makes one."""

    def __init__(self, log: Log, stored: Stored) -> None:
        self._log: Final = log
        self._stored: Final = stored
        self._line: Final[Combiner[Job]] = Combiner(_fit, self._travel)
        self._failure: JournalFailed | None = None
        self._is_closed = False
        self.groups = 0
        """How many appends its batches have shared."""

    def __repr__(self) -> str:
        return f"<LoggedJournal {str(self._log.path)!r}{', closed' if self._is_closed else ''}>"

    @property
    def identity(self) -> str:
        """What no other journal has."""
        return self._stored.identity

    async def commit(self, batch: Batch, rest: Rest | None = None) -> Sequence[Record]:
        """Store a batch; see `Journal.commit`."""
        if batch.transact is not None:
            raise TypeError(
                f"{self._log.path} is a log and has no connection for a transactional effect. Use open_sqlite, or"
                " MemoryJournal in a test"
            )
        batch = prepared(batch)
        entry = _encoder.encode(_entry(batch))
        if len(entry) > LOG_PAYLOAD_BYTES_MAX - _GROUP_BYTES:
            raise ValueError(
                f"{self._log.path}: a batch of {len(entry)} bytes is more than a record of a log may have"
                f" ({LOG_PAYLOAD_BYTES_MAX}); nothing was written. Keep large things elsewhere, and their names here"
            )
        job = _Commit(batch, entry, rest)
        await self._do(job)
        return job.stored

    async def records(self, path: str, after: int = 0) -> Sequence[Record]:
        """What is kept of one actor; see `Journal.records`."""
        return await self._look(lambda: self._stored.read(path, after))

    async def actors(self) -> Sequence[ActorRow]:
        """All actors, in the order of their paths."""
        return await self._look(self._stored.all_actors)

    async def mail(self, path: str) -> Sequence[Mail]:
        """What one actor has not taken yet."""
        return await self._look(lambda: self._stored.mail_of(path))

    async def dead_letters(self) -> Sequence[DeadLetterRow]:
        """What nobody took."""
        return await self._look(lambda: list(self._stored.dead))

    async def aclose(self) -> None:
        """Store what was asked for before, and close the log; done also if this is cancelled."""
        if self._is_closed:
            return
        self._is_closed = True
        with trio.CancelScope(shield=True):
            await self._line.do(_Close())
            await self._log.close()

    async def _do(self, job: Job) -> None:
        if self._is_closed:
            raise trio.ClosedResourceError(f"{self._log.path} is closed; open it again")
        await self._line.do(job)

    async def _look(self, look: Callable[[], T]) -> T:
        found: list[T] = []
        await self._do(_Look(lambda: found.append(look())))
        return found[0]

    # What follows is done for the line, one trip at a time.

    async def _travel(self, trip: Sequence[Job]) -> None:
        if isinstance(trip[0], _Close):
            trip[0].settle()
            return
        if self._failure is None:
            await self._perform(trip)
        if self._failure is not None:
            for job in trip:
                if not job.settled:
                    job.fail(self._failure.again())

    async def _perform(self, trip: Sequence[Job]) -> None:
        written: list[_Commit] = []
        for job in trip:
            try:
                if isinstance(job, _Commit):
                    job.stored = apply(self._stored, job.batch)
                    written.append(job)
                else:
                    assert isinstance(job, _Look)
                    job.look()
                    job.settle()
            except Exception as error:
                job.fail(error)
        if written:
            await self._append(written)

    async def _append(self, jobs: Sequence[_Commit]) -> None:
        try:
            await self._log.append(_group(jobs))
        except Exception as error:
            self._failure = JournalFailed(
                f"{self._log.path} could not be written: {error}. Nothing of this is acknowledged, and nothing is written"
                " or read any more until it is opened again. See to the disk, and start again"
            )
            self._failure.__cause__ = error
            return
        self.groups += 1
        for job in jobs:
            job.settle()


def _entry(batch: Batch) -> _Entry:
    values = {name: list(getattr(batch, name)) for name in _Entry.__struct_fields__}
    return _Entry(**values)


def _group(jobs: Sequence[_Commit]) -> bytes:
    """A list of batches, as the decoder takes it."""
    return _encoder.encode([msgspec.Raw(job.entry) for job in jobs])


def _fit(line: Iterable[Job]) -> int:
    """How many of those who wait share an append: batches up to what a record may have, or one look."""
    count = total = 0
    for job in line:
        if not isinstance(job, _Commit):
            break
        total += len(job.entry)
        if count and total > LOG_PAYLOAD_BYTES_MAX - _GROUP_BYTES:
            break
        count += 1
    return max(count, 1)
