"""A log: payloads in a file, each of them safe from a power cut when its append returns, all of them back at opening.

It is written against `Disk`, so the same code runs on the real disk, on a simulated one, and on an actor's doors.
"""

# Design note
# -----------
# A record carries its own offset in its checksum, and up to where the file is synced (`log_format`). Both are known
# only when it is written, not when somebody asks for it: what was asked for before may yet be withdrawn. So the log
# has a line of its own, and hands the disk one group at a time, framed at the offset where the file ends just then.
# The disk groups across files what each log grouped within one.
#
# Invariant: at most one append of this log is with the disk, and nobody else appends to its file (the file belongs to
# who opened it last), so the file ends at `file.size`, and all below it is synced, when a group is framed.

import contextlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Self, final

import attrs
import trio

from histrio_kernel.bounds import bound
from histrio_kernel.combine import Combiner, Job
from histrio_kernel.driver import Disk, DiskFailed, File, FilePath
from histrio_kernel.log_format import HEADER, LOG_PAYLOAD_BYTES_MAX, LogCorrupt, LogError, LogFormat, encode, scan

__all__ = (
    "LOG_BATCH_BYTES_MAX",
    "LOG_BATCH_RECORDS_MAX",
    "LOG_PAYLOAD_BYTES_MAX",
    "Log",
    "LogCorrupt",
    "LogError",
    "LogFormat",
    "LogRecovery",
)

# bytes of payload that one log hands the disk at once; records behind them wait for the next group. One record
# always fits.
LOG_BATCH_BYTES_MAX: Final = bound("log_batch_bytes_max")
# records that one log hands the disk at once; those behind them wait for the next group.
LOG_BATCH_RECORDS_MAX: Final = bound("log_batch_records_max")
READ_BYTES: Final = 4 * 1024 * 1024  # of one read at opening, so that a large log does not hold up other readers

logger: Final = logging.getLogger("histrio.log")


@attrs.frozen
class LogRecovery:
    """What opening a log found.

    Attributes:
        path: the file.
        records: how many records it had.
        size: the length of the file now, in bytes.
        cut: how many bytes of a torn tail were cut off behind that; 0 is the rule.

    """

    path: Path
    records: int
    size: int
    cut: int


class _Record(Job):
    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        super().__init__()
        self.payload: Final = payload


class _Close(Job):
    __slots__ = ()


@final
class Log:
    """An open log; `await Log.open(disk, path)` makes one.

    Several tasks may append at once: they share writes and syncs, and their records stand in the order in which they
    asked. The file belongs to the log that opened it last: after a failure, or in a new incarnation of an actor, open
    it again and forget the old one.
    """

    __slots__ = ("_disk", "_file", "_line", "_recovered", "recovery")

    def __init__(self, disk: Disk, file: File, recovery: LogRecovery, recovered: list[bytes]) -> None:
        self._disk: Final = disk
        self._file: Final = file
        self._line: Final[Combiner[_Record | _Close]] = Combiner(_fit, self._perform)
        self._recovered = recovered
        self.recovery: Final = recovery

    @classmethod
    async def open(cls, disk: Disk, path: FilePath) -> Self:
        """Open the log at *path*, create it if there is none, and read what it holds.

        A torn tail (what a crash left of records that nobody was told are safe) is cut off, with a warning to the
        logger `histrio.log`; `recovery` tells of it. Everything that is recovered is synced when this returns. A
        checkpoint; cancelled, the log is not open and the file is as good as before.

        Raises:
            LogCorrupt: a record is damaged that is known to have been synced; the file was not changed.
            LogFormat: the file is no log of this version; it was not changed.
            DiskFailed: the disk failed.
            OSError: the file cannot be opened or read.

        """
        file = await disk.open(path)
        try:
            return await cls._recover(disk, file)
        except BaseException:
            # The error under way is the one to tell, so what closing may add to it is left out.
            with trio.CancelScope(shield=True), contextlib.suppress(Exception):
                await disk.close(file)
            raise

    @classmethod
    async def _recover(cls, disk: Disk, file: File) -> Self:
        found = scan(file.path, await _read_whole(disk, file))
        cut = file.size - found.end
        if cut:
            logger.warning(
                "%s: cut off a torn tail of %d bytes at offset %d; no append that was acknowledged is known in it",
                file.path,
                cut,
                found.end,
            )
            await disk.truncate(file, found.end)
        if not found.end:
            await disk.append(file, HEADER)
        recovery = LogRecovery(file.path, len(found.payloads), file.size, cut)
        return cls(disk, file, recovery, found.payloads)

    def __repr__(self) -> str:
        return f"<Log {str(self.path)!r}, {self.size} bytes>"

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def size(self) -> int:
        """The length of the log in bytes, all of them synced."""
        return self._file.size

    def take_recovered(self) -> list[bytes]:
        """The payloads that the log held when it was opened, in order; given once, empty the second time."""
        recovered, self._recovered = self._recovered, []
        return recovered

    async def append(self, payload: bytes) -> None:
        """Append *payload*; when this returns, it survives a power cut.

        A checkpoint. Cancelled before it was handed to the disk, it is withdrawn and never written; afterwards this
        waits for the disk, and ends with the true outcome.

        Raises:
            DiskFailed: the disk failed, and this is not acknowledged; neither is any append after it, until the log is
                opened again (`FileRefused`, which is a `DiskFailed`).
            trio.ClosedResourceError: the log is closed.
            TypeError: *payload* is not `bytes`.
            ValueError: *payload* is longer than `LOG_PAYLOAD_BYTES_MAX`.

        """
        if not isinstance(payload, bytes):  # pyright: ignore[reportUnnecessaryIsInstance] - who has no type checker
            raise TypeError(f"append takes bytes, not {type(payload).__name__}; encode it first")
        if len(payload) > LOG_PAYLOAD_BYTES_MAX:
            raise ValueError(
                f"{self.path}: a payload of {len(payload)} bytes is more than LOG_PAYLOAD_BYTES_MAX"
                f" ({LOG_PAYLOAD_BYTES_MAX}); nothing was written. Append it in parts"
            )
        await self._line.do(_Record(payload))

    async def close(self) -> None:
        """Close the log after the appends that were asked for before; it is closed also if this is cancelled."""
        with trio.CancelScope(shield=True):
            await self._line.do(_Close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _perform(self, trip: Sequence[_Record | _Close]) -> None:
        """Settle each job of *trip*; what the disk raises besides `DiskFailed` is raised to each as it is."""
        try:
            await self._disk_does(trip)
        except DiskFailed as error:
            for job in trip:
                job.fail(error.again())
        else:
            for job in trip:
                job.settle()

    async def _disk_does(self, trip: Sequence[_Record | _Close]) -> None:
        if isinstance(trip[0], _Close):
            await self._disk.close(self._file)
            return
        start = end = self._file.size
        records: list[bytes] = []
        for job in trip:
            assert isinstance(job, _Record)
            records.append(encode(job.payload, end, start))
            end += len(records[-1])
        now = await self._disk.append(self._file, b"".join(records))
        assert now == end == self._file.size, "somebody else appends to the file of this log"


async def _read_whole(disk: Disk, file: File) -> bytearray:
    """What *file* holds; shorter than its size if somebody cuts it meanwhile."""
    image = bytearray()
    while len(image) < file.size:
        piece = await disk.read(file.path, len(image), min(READ_BYTES, file.size - len(image)))
        if not piece:
            break
        image += piece
    return image


def _fit(line: Iterable[_Record | _Close]) -> int:
    """How many of those who wait make one group: records up to the bounds, or one close."""
    count = total = 0
    for job in line:
        if isinstance(job, _Close):
            break
        total += len(job.payload)
        if count and (total > LOG_BATCH_BYTES_MAX or count == LOG_BATCH_RECORDS_MAX):
            break
        count += 1
    return max(count, 1)
