"""A disk on the operating system's files: one writer, and one sync for all that wait (group commit).

An append is acknowledged only after its bytes and the length of its file are synced; after a failure the file is
refused until it is opened again, and then begins at its last synced length.
"""

# Design note
# -----------
# There is no writer task or thread of its own. The first who asks makes a trip into a worker thread with all that fit
# (`combine`), the next trip carries whoever came meanwhile. So the slower the disk, the larger the groups: the rate of
# syncs stays what the disk can do, and the rate of appends is what its callers can ask for.
#
# A trip is either appends, grouped by file (one write and one fsync each), or one other act (open, close, rename, ...).
# All that changes the disk's own state happens inside trips, and there is one trip at a time: that is the lock.
#
# Why a failed file is refused (fsyncgate, 2018): when fsync fails, Linux marks the pages clean and reports the error
# once. A second fsync succeeds, and the data is gone. Trying again is therefore never right on the same descriptor, and
# neither is a write behind the hole. Opening again cuts off what was never synced; the cut makes the last page dirty,
# so its synced part is written anew. This protects within one process. A new process after a failed fsync may read
# from the page cache what is not on the disk, and nobody can tell it.
#
# Files are known by device and inode, not by name: a second name, a link or a rename does not make a second owner. The
# descriptor of a failed file stays open until it is opened again (even if its handle is closed), so that its inode
# cannot become another file's, which the cut would then hit.
#
# Invariants: `_files` holds exactly the files whose descriptor is open; a healthy file is `size` bytes long and all
# of them are synced; `size` never counts a byte that is not.

import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from errno import ENOSPC
from pathlib import Path
from typing import Final, Protocol, TypeVar, TypeVarTuple, final

import attrs
import trio

from histrio_kernel.bounds import bound
from histrio_kernel.combine import Combiner, Job
from histrio_kernel.driver import DiskFailed, File, FilePath, FileRefused
from histrio_kernel.real.syscalls import Syscalls

__all__ = (
    "DISK_APPEND_BYTES_MAX",
    "DISK_BATCH_BYTES_MAX",
    "DISK_BATCH_RECORDS_MAX",
    "DISK_READERS_MAX",
    "RealDisk",
    "Threads",
)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# bytes of one append; a larger one is refused with a ValueError.
DISK_APPEND_BYTES_MAX: Final = bound("disk_append_bytes_max")
# bytes of one trip of the writer; the appends behind it wait for the next. One append always fits.
DISK_BATCH_BYTES_MAX: Final = bound("disk_batch_bytes_max")
# appends of one trip of the writer; those behind it wait for the next.
DISK_BATCH_RECORDS_MAX: Final = bound("disk_batch_records_max")
# threads that read or list at once; further reads wait.
DISK_READERS_MAX: Final = bound("disk_readers_max")
PIECE_BYTES: Final = 16 * 1024 * 1024  # of one pread, which allocates as much before it reads


class Threads(Protocol):
    """Where the calls into the operating system are made, while the tasks of the program go on."""

    def run(self, fn: Callable[[*Ts], T], /, *args: *Ts, limiter: trio.CapacityLimiter) -> Awaitable[T]:
        """What `fn(*args)` returns or raises, of which *limiter* lets so many run at once.

        A checkpoint. Cancelled before *fn* has begun, it is not called; afterwards it is waited for.
        """
        ...


@final
class RealThreads:
    """Trio's own threads."""

    __slots__ = ()

    def run(self, fn: Callable[[*Ts], T], /, *args: *Ts, limiter: trio.CapacityLimiter) -> Awaitable[T]:
        """What `fn(*args)` returns or raises in a worker thread; see `Threads.run`."""
        return trio.to_thread.run_sync(fn, *args, limiter=limiter)


@attrs.frozen
class DiskStatistics:
    """What a disk is doing: operations that wait in its line, files open, and those of them that are refused."""

    waiting: int
    files_open: int
    files_refused: int


@final
class RealFile:
    """An open file; only its disk changes it."""

    __slots__ = ("closed", "fd", "identity", "path", "refusal", "size")

    def __init__(self, path: Path, fd: int, identity: tuple[int, int], size: int) -> None:
        self.path = path
        self.fd = fd
        self.identity: Final = identity
        self.size = size
        self.closed = False
        self.refusal: FileRefused | None = None  # the model of the error that each later append gets

    def __repr__(self) -> str:
        state = "closed" if self.closed else "refused" if self.refusal else f"{self.size} bytes synced"
        return f"<RealFile {str(self.path)!r}, {state}>"

    def unusable(self) -> Exception | None:
        """The error for whoever wants to change this file, a new one for each; None while it is healthy."""
        if self.closed:
            return trio.ClosedResourceError(f"{self.path} is closed: this handle was given back; open the path again")
        return None if self.refusal is None else self.refusal.again()


class _Work(Job):
    """What stands in the writer's line."""

    __slots__ = ()


@final
class _Append(_Work):
    __slots__ = ("data", "end", "file")

    def __init__(self, file: RealFile, data: bytes) -> None:
        super().__init__()
        self.file: Final = file
        self.data: Final = data
        self.end = -1


@final
class _Act(_Work):
    """Anything else: it makes a trip alone."""

    __slots__ = ("act",)

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.act: Final = act


@final
class RealDisk:
    """A `Disk` on POSIX files. Several may exist; one file belongs to one of them.

    Args:
        syscalls: the calls into the operating system; tests give one with faults.
        threads: where these calls are made; a simulator makes them in the task that waits for them.

    """

    def __init__(self, syscalls: Syscalls | None = None, *, threads: Threads | None = None) -> None:
        self._sys: Final = Syscalls() if syscalls is None else syscalls
        self._threads: Final[Threads] = RealThreads() if threads is None else threads
        self._files: Final[dict[tuple[int, int], RealFile]] = {}
        self._line: Final[Combiner[_Work]] = Combiner(_fit, self._travel)
        self._writer: Final = trio.CapacityLimiter(1)
        self._readers: Final = trio.CapacityLimiter(DISK_READERS_MAX)

    def statistics(self) -> DiskStatistics:
        """What this disk is doing now."""
        refused = sum(file.refusal is not None for file in self._files.values())
        return DiskStatistics(self._line.waiting, len(self._files), refused)

    async def open(self, path: FilePath, /) -> File:
        """Open *path* to append to it, and become its owner; see `Disk.open`."""
        return await self._alone(self._open, os.fspath(path))

    async def append(self, file: File, data: bytes, /) -> int:
        """Write *data* at the end of *file* and sync it; see `Disk.append`."""
        append = _Append(_real(file), data)
        if not isinstance(data, bytes):  # pyright: ignore[reportUnnecessaryIsInstance] - who has no type checker
            raise TypeError(f"append takes bytes, not {type(data).__name__}: append(file, bytes(data))")
        if len(data) > DISK_APPEND_BYTES_MAX:
            raise ValueError(
                f"{append.file.path}: an append of {len(data)} bytes is more than DISK_APPEND_BYTES_MAX"
                f" ({DISK_APPEND_BYTES_MAX}); nothing was written. Append it in parts"
            )
        await self._line.do(append)
        assert append.end >= len(data)
        return append.end

    async def read(self, path: FilePath, offset: int = 0, length: int | None = None, /) -> bytes:
        """The bytes of *path* from *offset*; see `Disk.read`."""
        if offset < 0 or (length is not None and length < 0):
            raise ValueError(f"offset and length count bytes from 0, not {offset} and {length}")
        return await self._threads.run(self._read, os.fspath(path), offset, length, limiter=self._readers)

    async def sync(self, file: File, /) -> None:
        """Sync *file*; see `Disk.sync`."""
        await self._alone(self._sync, _real(file))

    async def truncate(self, file: File, size: int, /) -> None:
        """Cut *file* to *size* bytes; see `Disk.truncate`."""
        await self._alone(self._truncate, _real(file), size)

    async def close(self, file: File, /) -> None:
        """Give *file* back; see `Disk.close`."""
        await self._alone(self._close, _real(file))

    async def rename(self, src: FilePath, dst: FilePath, /) -> None:
        """Move *src* to *dst*; see `Disk.rename`."""
        await self._alone(self._rename, os.fspath(src), os.fspath(dst))

    async def remove(self, path: FilePath, /) -> None:
        """Remove the file *path*; see `Disk.remove`."""
        await self._alone(self._remove, os.fspath(path))

    async def list(self, directory: FilePath, /) -> tuple[str, ...]:
        """The names in *directory*, sorted."""
        names = await self._threads.run(self._sys.listdir, os.fspath(directory), limiter=self._readers)
        return tuple(sorted(names))

    async def aclose(self) -> None:
        """Close all files, after what was asked for before; done also if this is cancelled. Not a checkpoint if none is
        open.
        """
        if not self._files and not self._line.waiting:
            return
        with trio.CancelScope(shield=True):
            await self._alone(self._close_all)

    # The line of the writer: everything below runs inside a trip, in its thread, one at a time.

    async def _alone(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """Make a trip that is `fn(*args)` and nothing else."""
        results: list[T] = []
        await self._line.do(_Act(lambda: results.append(fn(*args))))
        return results[0]

    async def _travel(self, trip: Sequence[_Work]) -> None:
        await self._threads.run(self._perform, trip, limiter=self._writer)

    def _perform(self, trip: Sequence[_Work]) -> None:
        """Settle each job of *trip*."""
        groups: dict[RealFile, list[_Append]] = {}
        for work in trip:
            if isinstance(work, _Append):
                groups.setdefault(work.file, []).append(work)
            else:
                assert isinstance(work, _Act)
                assert len(trip) == 1, "an act makes its trip alone"
                _settle(work)
        for file, appends in groups.items():
            self._append_group(file, appends)

    def _append_group(self, file: RealFile, appends: Sequence[_Append]) -> None:
        """One write and one sync for all of *appends*, which end together or fail together."""
        try:
            self._write(file, b"".join([append.data for append in appends]))
        except Exception as error:
            for append in appends:
                append.fail(_again(error))
            return
        for append in appends:
            file.size += len(append.data)
            append.end = file.size
            append.settle()

    def _write(self, file: RealFile, data: bytes) -> None:
        """Write *data* behind what is synced, and sync it; `file.size` is the caller's to move."""
        _check(file)
        assert self._files[file.identity] is file
        self._must(file, "write", self._write_whole, file.fd, data, file.size)
        self._must(file, "fsync", self._sys.fsync, file.fd)

    def _write_whole(self, fd: int, data: bytes, offset: int) -> None:
        """A write that ends early is a failure: there was room for no more."""
        written = self._sys.pwrite(fd, data, offset)
        if written != len(data):
            raise OSError(ENOSPC, f"only {written} of {len(data)} bytes were written")

    def _must(self, file: RealFile, step: str, call: Callable[[*Ts], object], *args: *Ts) -> None:
        """Make a call that leaves nothing certain if it fails: then *file* is refused from here on."""
        try:
            call(*args)
        except Exception as error:
            file.refusal = FileRefused.at(
                file.path,
                f"refused, nothing was written: an earlier {step} of this file failed ({_reason(error)})."
                f" Open it again to go on, which cuts it to the {file.size} bytes that are synced",
                error,
            )
            raise DiskFailed.at(
                file.path,
                f"{step} failed ({_reason(error)}): nothing of this group is acknowledged. The file is refused until"
                f" it is opened again, which cuts it to the {file.size} bytes that are synced",
                error,
            ) from error

    def _open(self, path: str) -> RealFile:
        fd = self._sys.open(path, os.O_RDWR | os.O_CREAT)
        try:
            identity, size = self._sys.fstat(fd)
            before = self._files.get(identity)
            size = self._make_durable(path, fd, size, before)
        except BaseException:
            self._release(fd)
            raise
        if before is not None:
            self._give_up(before, "it was opened again, and a file belongs to who opened it last")
        file = self._files[identity] = RealFile(Path(path), fd, identity, size)
        return file

    def _make_durable(self, path: str, fd: int, size: int, before: RealFile | None) -> int:
        """Sync what an open file holds, and its name, after cutting off what failed to be synced; its length."""
        try:
            if before is not None and before.refusal is not None and size > before.size:
                self._sys.ftruncate(fd, before.size)
                size = before.size
            self._sys.fsync(fd)
        except OSError as error:
            text = f"cannot open it to append: what it holds cannot be synced ({_reason(error)})"
            raise DiskFailed.at(path, text, error) from error
        self._sync_directory(path)  # also of an old file: who created it may have died before this step
        return size

    def _sync(self, file: RealFile) -> None:
        _check(file)
        self._must(file, "fsync", self._sys.fsync, file.fd)

    def _truncate(self, file: RealFile, size: int) -> None:
        _check(file)
        if not 0 <= size <= file.size:
            raise ValueError(f"{file.path} has {file.size} bytes: it cannot be cut to {size}")
        file.size = size  # now: if a step below fails, no more than this is certain
        self._must(file, "truncate", self._sys.ftruncate, file.fd, size)
        self._must(file, "fsync", self._sys.fsync, file.fd)

    def _close(self, file: RealFile) -> None:
        if file.closed or file.refusal is not None:
            file.closed = True  # the descriptor of a refused file is gone, or kept until it is opened again
            return
        file.closed = True
        assert self._files[file.identity] is file
        del self._files[file.identity]
        self._release(file.fd)

    def _rename(self, src: str, dst: str) -> None:
        moved = self._files.get(self._sys.lstat(src).identity)
        replaced = self._owner(dst)
        self._sys.replace(src, dst)
        if replaced is not None and replaced is not moved:
            self._give_up(replaced, f"it was replaced: {src} was renamed to it")
        if moved is not None:
            moved.path = Path(dst)
        self._sync_directory(dst)
        if os.path.dirname(src) != os.path.dirname(dst):
            self._sync_directory(src)

    def _remove(self, path: str) -> None:
        removed = self._owner(path)
        self._sys.unlink(path)
        if removed is not None:
            self._give_up(removed, "it was removed")
        self._sync_directory(path)

    def _close_all(self) -> None:
        for file in tuple(self._files.values()):
            del self._files[file.identity]
            file.closed = True
            self._release(file.fd)

    def _owner(self, path: str) -> RealFile | None:
        """Who has the file that *path* names; None if nobody, or if there is no such file."""
        try:
            return self._files.get(self._sys.lstat(path).identity)
        except FileNotFoundError:
            return None

    def _give_up(self, file: RealFile, why: str) -> None:
        """From here on *file* is refused, and its descriptor is gone."""
        assert self._files[file.identity] is file
        del self._files[file.identity]
        file.refusal = FileRefused.at(file.path, f"this handle takes no appends any more, nothing was written: {why}")
        self._release(file.fd)

    def _release(self, fd: int) -> None:
        """Close a descriptor; what a failing close could tell of its data, the sync before it has told."""
        with contextlib.suppress(OSError):
            self._sys.close(fd)

    def _sync_directory(self, path: str) -> None:
        """Make the name *path* as durable as what it names."""
        directory = os.path.dirname(path) or os.curdir
        try:
            fd = self._sys.open_directory(directory)
            try:
                self._sys.fsync(fd)
            finally:
                self._release(fd)
        except OSError as error:
            text = f"its directory cannot be synced ({_reason(error)}), so the name may not survive a power cut"
            raise DiskFailed.at(path, text, error) from error

    def _read(self, path: str, offset: int, length: int | None) -> bytes:
        fd = self._sys.open(path, os.O_RDONLY)
        try:
            return b"".join(self._pieces(fd, offset, length))
        except OSError as error:
            error.filename = path
            raise
        finally:
            self._release(fd)

    def _pieces(self, fd: int, offset: int, length: int | None) -> Iterable[bytes]:
        """What is read from *offset*, until there is no more or *length* bytes were read."""
        left = max(self._sys.fstat(fd).size - offset, 0) if length is None else length
        while left > 0:
            piece = self._sys.pread(fd, min(left, PIECE_BYTES), offset)
            if not piece:
                return
            yield piece
            offset += len(piece)
            left -= len(piece)


def _real(file: File) -> RealFile:
    """A file of a real disk."""
    if not isinstance(file, RealFile):
        raise TypeError(f"{file!r} was not opened by this disk: file = await disk.open(path)")
    return file


def _again(error: Exception) -> Exception:
    """An error for one more waiter: an object of its own, if it is of our making."""
    if isinstance(error, DiskFailed):
        return error.again()
    return trio.ClosedResourceError(*error.args) if isinstance(error, trio.ClosedResourceError) else error


def _check(file: RealFile) -> None:
    """Raise what is wrong with *file*, if anything is."""
    error = file.unusable()
    if error is not None:
        raise error


def _fit(line: Iterable[_Work]) -> int:
    """How many of those who wait make one trip: appends up to the bounds, or one act."""
    count = total = 0
    for work in line:
        if not isinstance(work, _Append):
            break
        total += len(work.data)
        if count and (total > DISK_BATCH_BYTES_MAX or count == DISK_BATCH_RECORDS_MAX):
            break
        count += 1
    return max(count, 1)


def _settle(work: _Act) -> None:
    try:
        work.act()
    except Exception as error:
        work.fail(error)
    else:
        work.settle()


def _reason(error: Exception) -> str:
    """The system's words for *error*."""
    return (error.strerror if isinstance(error, OSError) else None) or f"{type(error).__name__}: {error}"
