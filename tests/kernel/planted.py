"""A file system in memory that loses what a real one may lose: for planted faults and power cuts.

`Planted` is a `Syscalls`, so the real disk runs on it unchanged. It keeps for each file what the page cache holds and
what the platter holds, page by page.
"""

import errno
import os
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import PurePath
from typing import Final, NamedTuple

from histrio_kernel.real.syscalls import FileStatus, Syscalls


class Page(Enum):
    """What a power cut leaves of a page that was written and not synced."""

    OLD = "old"  # what was synced of it, and zeros behind that
    NEW = "new"
    TORN = "torn"  # its first half new, its second old


class Fault(NamedTuple):
    """What happens to the call number `nth` (from 0) of all calls, or of those called `name`."""

    nth: int
    name: str | None = None
    number: int = errno.EIO
    short: bool = False  # a write that ends halfway, with no error; other calls raise


class Inode:
    """One file: `cache` is what reads see, `platter` what is left after a power cut; `dirty` pages differ."""

    def __init__(self, number: int, content: bytes = b"") -> None:
        self.number: Final = number
        self.cache = bytearray(content)
        self.platter = bytearray(content)
        self.dirty: set[int] = set()

    def sync(self, page_bytes: int) -> None:
        """Bring the dirty pages, and the length, to the platter."""
        size = len(self.cache)
        self.platter = self.platter[:size].ljust(size, b"\0")
        for page in self.dirty:
            span = slice(page * page_bytes, (page + 1) * page_bytes)
            self.platter[span] = self.cache[span]
        self.dirty.clear()

    def after_power_cut(self, page_bytes: int, size: int, choose: Callable[[int], Page]) -> bytes:
        """The file with the length *size*, and each dirty page as *choose* says."""
        image = self.platter[:size].ljust(size, b"\0")
        for page in sorted(self.dirty):
            span = slice(page * page_bytes, min((page + 1) * page_bytes, size))
            old = image[span]
            new = self.cache[span][: len(old)].ljust(len(old), b"\0")
            half = {Page.OLD: 0, Page.TORN: len(old) // 2, Page.NEW: len(old)}[choose(page)]
            image[span] = new[:half] + old[half:]
        return bytes(image)


class Planted(Syscalls):
    """Files in memory, with faults: each call is counted, and the planned ones fail without an effect.

    A failed fsync does what Linux does: it marks the pages clean, and a second one succeeds without them. From the call
    number `dies_at` on the machine has lost its power: no call has an effect any more.
    """

    def __init__(self, *faults: Fault, dies_at: int | None = None, page_bytes: int = 64) -> None:
        self.faults: Final = set(faults)
        self.dies_at = dies_at
        self.page_bytes: Final = page_bytes
        self.names: dict[str, Inode] = {}
        self.durable_names: dict[str, Inode] = {}
        self.calls: list[tuple[str, str]] = []  # (call, path)
        self._open: dict[int, tuple[str, Inode | None]] = {}
        self._lock: Final = threading.RLock()
        self._inodes = 0
        self._fds = 100

    def count(self, name: str, path: str | None = None) -> int:
        """How often *name* was called, for *path* if given."""
        return sum(call == name and (path is None or where == path) for call, where in self.calls)

    def power_cut(self, choose_size: Callable[[int, int], int], choose_page: Callable[[int], Page]) -> "Planted":
        """The file system after a power cut now; *choose_size* gets the synced and the written length of a file."""
        after = Planted(page_bytes=self.page_bytes)
        for path, inode in self.durable_names.items():
            low, high = sorted((len(inode.platter), len(inode.cache)))
            image = inode.after_power_cut(self.page_bytes, choose_size(low, high), choose_page)
            after.names[path] = after.durable_names[path] = after.new_inode(image)
        return after

    def new_inode(self, content: bytes = b"") -> Inode:
        self._inodes += 1
        return Inode(self._inodes, content)

    def _enter(self, name: str, path: str) -> Fault | None:
        """Count a call; raise its fault if it has one that raises."""
        at, at_name = len(self.calls), self.count(name)
        self.calls.append((name, path))
        if self.dies_at is not None and at >= self.dies_at:
            raise OSError(errno.EIO, "the machine has no power")
        for fault in self.faults:
            if (fault.nth, fault.name) in ((at, None), (at_name, name)):
                if name == "fsync" and (inode := self.names.get(path)) is not None:
                    inode.dirty.clear()
                if not (fault.short and name == "pwrite"):
                    raise OSError(fault.number, os.strerror(fault.number))
                return fault
        return None

    def _new_fd(self, path: str, inode: Inode | None) -> int:
        self._fds += 1
        self._open[self._fds] = (path, inode)
        return self._fds

    def _inode(self, fd: int) -> Inode:
        inode = self._open[fd][1]
        assert inode is not None
        return inode

    def _touch(self, inode: Inode, start: int, end: int) -> None:
        if end > start:
            inode.dirty.update(range(start // self.page_bytes, (end - 1) // self.page_bytes + 1))

    def open(self, path: str, flags: int) -> int:
        with self._lock:
            self._enter("open", path)
            if path not in self.names:
                if not flags & os.O_CREAT:
                    raise FileNotFoundError(errno.ENOENT, "no such file", path)
                self.names[path] = self.new_inode()
            return self._new_fd(path, self.names[path])

    def open_directory(self, path: str) -> int:
        with self._lock:
            self._enter("open_directory", path)
            return self._new_fd(path, None)

    def close(self, fd: int) -> None:
        with self._lock:
            path, _ = self._open.pop(fd)  # like Linux: the descriptor is gone, whatever close says
            self._enter("close", path)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        with self._lock:
            fault = self._enter("pwrite", self._open[fd][0])
            inode = self._inode(fd)
            data = data if fault is None else data[: len(data) // 2]
            end = offset + len(data)
            inode.cache = inode.cache.ljust(offset, b"\0")
            inode.cache[offset:end] = data
            self._touch(inode, offset, end)
            return len(data)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        with self._lock:
            self._enter("pread", self._open[fd][0])
            return bytes(self._inode(fd).cache[offset : offset + length])

    def fsync(self, fd: int) -> None:
        with self._lock:
            path, inode = self._open[fd]
            self._enter("fsync", path)
            if inode is not None:
                inode.sync(self.page_bytes)
                return
            here = PurePath(path)
            self.durable_names = {name: i for name, i in self.durable_names.items() if PurePath(name).parent != here}
            self.durable_names |= {name: i for name, i in self.names.items() if PurePath(name).parent == here}

    def ftruncate(self, fd: int, size: int) -> None:
        with self._lock:
            self._enter("ftruncate", self._open[fd][0])
            inode = self._inode(fd)
            inode.cache = inode.cache[:size].ljust(size, b"\0")
            inode.dirty = {page for page in inode.dirty if page * self.page_bytes < size}
            self._touch(inode, max(size - 1, 0), size)  # the kernel zeroes the rest of the last page

    def fstat(self, fd: int) -> FileStatus:
        with self._lock:
            self._enter("fstat", self._open[fd][0])
            return FileStatus((1, self._inode(fd).number), len(self._inode(fd).cache))

    def lstat(self, path: str) -> FileStatus:
        with self._lock:
            self._enter("lstat", path)
            if path not in self.names:
                raise FileNotFoundError(errno.ENOENT, "no such file", path)
            return FileStatus((1, self.names[path].number), len(self.names[path].cache))

    def replace(self, src: str, dst: str) -> None:
        with self._lock:
            self._enter("replace", src)
            self.names[dst] = self.names.pop(src)

    def unlink(self, path: str) -> None:
        with self._lock:
            self._enter("unlink", path)
            if path not in self.names:
                raise FileNotFoundError(errno.ENOENT, "no such file", path)
            del self.names[path]

    def listdir(self, directory: str) -> list[str]:
        with self._lock:
            self._enter("listdir", directory)
            return [PurePath(name).name for name in self.names if PurePath(name).parent == PurePath(directory)]


class Gated(Planted):
    """Its fsyncs of files wait at a gate while it is shut, so that a test can see what gathers behind a slow disk."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(*faults)
        self._gate: Final = threading.Event()
        self._gate.set()
        self.arrived: Final = threading.Semaphore(0)

    def shut(self) -> None:
        while self.arrived.acquire(blocking=False):
            pass  # who came through an open gate does not count
        self._gate.clear()

    def lift(self) -> None:
        self._gate.set()

    def fsync(self, fd: int) -> None:
        if self._open[fd][1] is not None:
            self.arrived.release()
            assert self._gate.wait(timeout=60), "the gate was never lifted"
        super().fsync(fd)
