"""What the world is to Histrio: a program reaches time, chance, disk, network, threads and processes through these.

Nothing here does anything. The real driver (`histrio_kernel.real`) and a simulated one are two worlds of one shape, and
an actor's doors are a third: an operation is declared as `def op(...) -> Awaitable[T]`, so that a plain `async def` and
a door that returns a future both fit, and library code written against `Disk` gets either.
"""

# Design note
# -----------
# Protocols, not base classes: a trio.SocketStream is a `Stream` and a random.Random is a `Random` as they stand, and
# a simulator shares no code with the real world that it stands for.
#
# A disk is what a log needs and no more. `append` answers only when the bytes are synced, so there is no moment in
# which a caller holds an answer that a power cut can take back; `open` gives the file to one owner, so a second
# incarnation of an actor can never write beside the first; and a file whose write or sync has failed is refused,
# because after a failed fsync the operating system may have thrown the bytes away and marked their pages clean: a
# second fsync on that file would answer "synced" for bytes that are nowhere.

import errno
import os
from collections.abc import Awaitable, Callable, MutableSequence, Sequence
from pathlib import Path
from typing import Protocol, Self, TypeAlias, TypeVar, TypeVarTuple

from histrio_kernel.errors import HistrioError

__all__ = (
    "Clock",
    "Disk",
    "DiskFailed",
    "Driver",
    "File",
    "FilePath",
    "FileRefused",
    "Listener",
    "Net",
    "Random",
    "Stream",
)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

FilePath: TypeAlias = str | os.PathLike[str]


class DiskFailed(HistrioError, OSError):
    """A write, a sync or a cut failed, so nothing of it is acknowledged.

    It is an `OSError`: `errno` is the operating system's (`ENOSPC`: the disk is full), `filename` the path, and
    `__cause__` the error as it came. The file is refused further appends (`FileRefused`) until it is opened again,
    which first cuts it to its last synced length; bytes of a failed append may or may not be there until then.

    Do not try again on the same file: after a failed fsync the operating system may have dropped the data, and the
    next fsync would succeed without it.
    """

    @classmethod
    def at(cls, path: FilePath, text: str, cause: BaseException | None = None) -> Self:
        """One that names *path* and says *text*, with the `errno` of *cause* (`EIO` if it has none)."""
        number = cause.errno if isinstance(cause, OSError) else None
        error = cls(errno.EIO if number is None else number, text, os.fspath(path))
        error.__cause__ = cause
        return error

    def again(self) -> Self:
        """An equal error for one more waiter, so that no two tasks raise one object."""
        error = type(self)(*self.args[:2], self.filename)
        error.__cause__ = self.__cause__
        return error


class FileRefused(DiskFailed):
    """This handle takes no appends any more; nothing was written.

    An earlier write or sync of the file failed (`__cause__` is that error), or the file was opened again, replaced or
    removed since. Open the path again to go on; an actor does so best by failing and being started afresh.
    """


class Clock(Protocol):
    """Time, in seconds of a clock that never goes back and whose zero means nothing."""

    def now(self) -> float:
        """What the clock reads."""
        ...

    def sleep(self, seconds: float, /) -> Awaitable[None]:
        """Complete *seconds* from now; 0 is a checkpoint, less than 0 or NaN a `ValueError`."""
        ...

    def deadline(self, at: float, /) -> Awaitable[None]:
        """Complete when the clock reads *at*; if it has passed, this is a checkpoint. NaN is a `ValueError`."""
        ...


class Random(Protocol):
    """Chance: the part of `random.Random` that a program needs. Not for secrets."""

    def random(self) -> float:
        """A float from 0.0 up to but not including 1.0."""
        ...

    def uniform(self, a: float, b: float, /) -> float:
        """A float between *a* and *b*."""
        ...

    def randrange(self, start: int, stop: int | None = None, step: int = 1, /) -> int:
        """One of `range(start, stop, step)`; with one argument, of `range(start)`."""
        ...

    def choice(self, seq: Sequence[T], /) -> T:
        """One item of *seq*; `IndexError` if it is empty."""
        ...

    def shuffle(self, x: MutableSequence[T], /) -> None:
        """Bring *x* into another order, in place."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """An integer of *k* random bits."""
        ...

    def randbytes(self, n: int, /) -> bytes:
        """*n* random bytes."""
        ...


class File(Protocol):
    """A file that a disk has opened for appending. It is a handle: all that can be done with it is the disk's to do."""

    @property
    def path(self) -> Path:
        """Where the file is: where it was opened, or where it was renamed to since."""
        ...

    @property
    def size(self) -> int:
        """How many bytes of the file are known to be synced."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the handle was given back with `Disk.close`."""
        ...


class Disk(Protocol):
    """Files that grow at their end, durably.

    Everything here is a checkpoint. What changes the disk stands in one line and is done in the order in which it was
    asked for. Cancellation is atomic: what has not begun is withdrawn and never happens; what has begun is waited for,
    and the caller gets its true outcome. Reading (`read`, `list`) does not stand in that line.

    What does not exist, must not be read or is no directory raises the `OSError` that Python has for it
    (`FileNotFoundError`, `PermissionError`, ...); a write, a sync or a cut that fails raises `DiskFailed`.
    """

    def open(self, path: FilePath, /) -> Awaitable[File]:
        """Open *path* to append to it, and become its owner; create it if it does not exist.

        What the file holds is synced when this returns, and so is its name in its directory. If an append to it has
        failed on this disk, it is first cut to its last synced length. An older handle to the same file is refused
        from then on (`FileRefused`): a file has one owner, who opened it last.
        """
        ...

    def append(self, file: File, data: bytes, /) -> Awaitable[int]:
        """Write *data* at the end of *file* and sync it; the answer is where it ends in the file.

        Appends from any number of tasks are grouped: one write and one sync for all that wait, in the order in which
        they came. When this returns the bytes survive a power cut; when it raises, nothing is acknowledged.

        Raises:
            DiskFailed: the write or the sync failed, also if it did so on behalf of another append of the group.
            FileRefused: an earlier one failed, or this handle was superseded; nothing was written.
            trio.ClosedResourceError: *file* is closed.
            TypeError: *data* is not `bytes`.
            ValueError: *data* is larger than an append may be.

        """
        ...

    def read(self, path: FilePath, offset: int = 0, length: int | None = None, /) -> Awaitable[bytes]:
        """The bytes of *path* from *offset*: *length* of them, or as many as there are.

        It reads what the file holds now. At its end that may be bytes of an append that is not synced yet.
        """
        ...

    def sync(self, file: File, /) -> Awaitable[None]:
        """Sync *file*; a failure refuses it as a failed append does. After an append there is nothing left to sync."""
        ...

    def truncate(self, file: File, size: int, /) -> Awaitable[None]:
        """Cut *file* to its first *size* bytes, durably; `ValueError` if it has less."""
        ...

    def close(self, file: File, /) -> Awaitable[None]:
        """Give *file* back; appends that were asked for before are done first. Closing twice does nothing."""
        ...

    def rename(self, src: FilePath, dst: FilePath, /) -> Awaitable[None]:
        """Move *src* to *dst*, durably; whoever looks for *dst* finds the old file or the new, never none."""
        ...

    def remove(self, path: FilePath, /) -> Awaitable[None]:
        """Remove the file *path*, durably."""
        ...

    def list(self, directory: FilePath, /) -> Awaitable[tuple[str, ...]]:
        """The names in *directory*, sorted."""
        ...


class Stream(Protocol):
    """Bytes to and from a peer, in order: the part of `trio.abc.HalfCloseableStream` that a program needs."""

    def send_all(self, data: bytes | bytearray | memoryview, /) -> Awaitable[None]:
        """Send all of *data*. Cancelled in between, an unknown part of it has been sent."""
        ...

    def receive_some(self, max_bytes: int | None = None, /) -> Awaitable[bytes | bytearray]:
        """Some bytes, at least one; none when the peer has ended its side."""
        ...

    def send_eof(self) -> Awaitable[None]:
        """End this side; the peer's goes on."""
        ...

    def aclose(self) -> Awaitable[None]:
        """Close both sides; it is closed afterwards, also if this is cancelled."""
        ...


class Listener(Protocol):
    """Takes connections at one address."""

    @property
    def address(self) -> tuple[str, int]:
        """The host, as a number, and the port: the one that was chosen, if port 0 was asked for."""
        ...

    def accept(self) -> Awaitable[Stream]:
        """The next connection. Cancellation loses none."""
        ...

    def aclose(self) -> Awaitable[None]:
        """Stop listening; connections that were accepted go on."""
        ...


class Net(Protocol):
    """TCP."""

    def connect(self, host: str, port: int, /) -> Awaitable[Stream]:
        """A connection to *port* of *host*; `OSError` if no address of it answers."""
        ...

    def listen(self, host: str, port: int, /) -> Awaitable[tuple[Listener, ...]]:
        """One listener for each address of *host*; port 0 lets the system choose (a port of its own for each).

        Raises:
            OSError: it names *host* and *port*; its `errno` is `EADDRINUSE` if another program listens there.

        """
        ...


class Driver(Protocol):
    """One world: all that reaches outside passes through it."""

    def wall(self) -> float:
        """The time of day, in seconds since 1970, as far as this world knows it."""
        ...

    @property
    def clock(self) -> Clock:
        """Time."""
        ...

    @property
    def random(self) -> Random:
        """Chance."""
        ...

    @property
    def disk(self) -> Disk:
        """Files."""
        ...

    @property
    def net(self) -> Net:
        """Connections."""
        ...

    def thread(self, fn: Callable[[*Ts], T], /, *args: *Ts) -> Awaitable[T]:
        """Run `fn(*args)` in a thread. A thread cannot be stopped: once begun, it is waited for, also when cancelled."""
        ...

    def process(self, fn: Callable[[*Ts], T], /, *args: *Ts) -> Awaitable[T]:
        """Run `fn(*args)` in another process, which is killed if this is cancelled.

        *fn*, its arguments and its result must pickle.
        """
        ...
