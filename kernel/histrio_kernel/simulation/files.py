"""A file system in memory, beneath the real disk: it can be cut off at every change, and then tells what may be left.

`SimFiles` is a `Syscalls`, so the code under test is the disk that programs use, group commit and all.
"""

# Design note
# -----------
# A call that changes something is a boundary: just before it, `boundary` is called, and the simulator may cut the power
# there. What lies between two boundaries needs no cut of its own: a power cut in the middle of a write is one of the
# images of the disk after it, and a power cut in the middle of a sync one of the images before it.
#
# It stands for a Linux of which no more is believed than POSIX promises: a new name is certain only when its directory
# is synced, whatever became of the file. Each call refuses what Linux refuses, with the same number; a test makes the
# same calls to both. What it does not have: links, symbolic links, permissions, and directories that move or go.
# The number of a file that is gone is given to the next new one, as real file systems do; descriptors are not, because
# one that is used too late should be found.
#
# Not for several threads at once.

import errno
import os
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import islice
from typing import Final, Self

import attrs

from histrio_kernel.driver import Random
from histrio_kernel.real.syscalls import FileStatus, Syscalls
from histrio_kernel.simulation.disk_faults import DiskFaults
from histrio_kernel.simulation.images import Image, images_of, random_image_of
from histrio_kernel.simulation.inodes import Directory, FileNode, NameChange, Node, Resize, Write

__all__ = ("PAGE_BYTES", "SimFiles")

PAGE_BYTES: Final = 4096
DEVICE: Final = 1
DIRECTORY_BYTES: Final = 4096  # what Linux says of most directories
NAME_BYTES_MAX: Final = 255  # Linux's own
_ACCESS: Final = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
_KNOWN_FLAGS: Final = _ACCESS | os.O_CREAT


@attrs.frozen
class _Opened:
    """What a descriptor stands for."""

    node: Node
    path: str  # as it was opened
    access: int


def _nothing(_: str) -> None:
    """No boundary is looked at."""


def _never(_: str) -> bool:
    """No fault strikes."""
    return False


class SimFiles(Syscalls):
    """A file system in memory; it has the directory `/` and nothing else. Relative paths begin there.

    Args:
        faults: which faults it may have.
        strike: asked each time one of them may strike, with what it is and where ("sync fails /d/log").
        page_bytes: where writes are cut that a disk reorders.

    Attributes:
        boundary: called before each change with the call and the path ("pwrite /d/log"); it may raise, and then
            nothing has changed; or `sever`.

    """

    def __init__(
        self,
        *,
        faults: DiskFaults | None = None,
        strike: Callable[[str], bool] = _never,
        page_bytes: int = PAGE_BYTES,
    ) -> None:
        assert page_bytes > 0
        self.boundary: Callable[[str], None] = _nothing
        self._faults: Final = DiskFaults() if faults is None else faults
        self._strike: Final = strike
        self._page_bytes: Final = page_bytes
        self._severed: BaseException | None = None
        self._numbers = 0
        self._free_numbers: Final[list[int]] = []  # a heap
        self._flips = 0
        self._root: Final = Directory(self._new_number(), "/")
        self._files: Final[dict[int, FileNode]] = {}  # those with a name or a descriptor
        self._opened: Final[dict[int, _Opened]] = {}
        self._descriptors = 2

    @classmethod
    def from_image(
        cls,
        image: Image,
        *,
        faults: DiskFaults | None = None,
        strike: Callable[[str], bool] = _never,
        page_bytes: int = PAGE_BYTES,
    ) -> Self:
        """The file system as a machine finds it that starts with *image*; all of it is certain."""
        files = cls(faults=faults, strike=strike, page_bytes=page_bytes)
        for path in image.directories[1:]:
            files.mkdir(path)
        for path, content in image.files:
            directory, name = files._place(path)
            directory.put(name, files._new_file(path, content))
        return files

    # What the simulator does with it.

    def mkdir(self, path: str) -> None:
        """Make a directory, at once and for certain; its parent must exist."""
        directory, name = self._place(path)
        if name in directory.names:
            raise _error(errno.EEXIST, path)
        directory.put(name, Directory(self._new_number(), f"{directory.path.rstrip('/')}/{name}"))

    def sever(self, error: BaseException) -> None:
        """From here on every call raises *error* at once, and changes nothing: the power is off."""
        self._severed = error

    def images(self, limit: int | None = None, *, reordered: bool = False) -> Iterator[Image]:
        """What the disk may hold after a power cut now, at most *limit* of them, always in the same order.

        Which ones, and how many at most, is told in `histrio_kernel.simulation.images`. The first has everything, the
        second nothing that is not synced.

        Args:
            limit: how many at most.
            reordered: also those of a disk that writes in any order what no sync has put in an order.

        """
        return islice(images_of(self._root, reordered=reordered, page_bytes=self._page_bytes), limit)

    def random_image(self, random: Random, *, reordered: bool = False) -> Image:
        """One thing that the disk may hold after a power cut now."""
        return random_image_of(self._root, random, reordered=reordered, page_bytes=self._page_bytes)

    def delay(self) -> float:
        """How many seconds the next trip to this disk takes; whoever makes the trip waits."""
        return self._faults.slow_s if self._strikes(self._faults.slow_s > 0, "slow disk") else 0.0

    # The calls.

    def open(self, path: str, flags: int) -> int:
        """A descriptor of the file; `O_CREAT` is the one flag besides the access."""
        self._check_power()
        if flags & ~(_KNOWN_FLAGS | os.O_CLOEXEC):
            raise OSError(errno.EINVAL, f"a simulated disk does not know all of these flags: {flags:#o}", path)
        directory, name = self._place(path)
        node = self._named(directory, name, path, creates=bool(flags & os.O_CREAT))
        if isinstance(node, Directory) and flags & _KNOWN_FLAGS != os.O_RDONLY:
            raise _error(errno.EISDIR, path)
        if node is None:
            self._effect("create", path)
            node = self._new_file(path)
            directory.change(NameChange(comes=name, node=node))
        return self._new_descriptor(node, path, flags & _ACCESS)

    def open_directory(self, path: str) -> int:
        """A descriptor of the directory, to sync it."""
        self._check_power()
        return self._new_descriptor(self._directory(path), path, os.O_RDONLY)

    def close(self, fd: int) -> None:
        """Give the descriptor back; its number is never given again."""
        self._check_power()
        node = self._of(fd).node
        del self._opened[fd]
        if isinstance(node, FileNode):
            node.opened -= 1
            self._forget(node)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        """Write at *offset*; how many bytes were written."""
        self._check_power()
        if offset < 0:
            raise _error(errno.EINVAL)
        file, path = self._file(fd, os.O_RDONLY)
        self._effect("pwrite", path)
        data = self._what_is_written(file, path, data, offset)
        if data:
            file.change(Write(offset, bytes(data)))
        return len(data)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """At most *length* bytes from *offset*; none at the end of the file."""
        self._check_power()
        if offset < 0 or length < 0:
            raise _error(errno.EINVAL)
        if isinstance(self._of(fd).node, Directory):
            raise _error(errno.EISDIR)
        file, path = self._file(fd, os.O_WRONLY)
        if self._strikes(self._faults.read_fails, f"read fails {path}"):
            raise _error(errno.EIO)
        return self._perhaps_flipped(bytes(file.cache[offset : offset + length]), path)

    def fsync(self, fd: int) -> None:
        """Make the bytes of the file certain, not its name; or all names in the directory."""
        self._check_power()
        opened = self._of(fd)
        self._effect("fsync", opened.path)
        if self._strikes(self._faults.lying_sync, f"lying sync {opened.path}"):
            return
        if self._strikes(self._faults.sync_fails, f"sync fails {opened.path}"):
            if isinstance(opened.node, FileNode):
                opened.node.lose()
            raise _error(errno.EIO)
        opened.node.sync()

    def ftruncate(self, fd: int, size: int) -> None:
        """Make the file *size* bytes long."""
        self._check_power()
        opened = self._of(fd)
        if size < 0 or opened.access == os.O_RDONLY:
            raise _error(errno.EINVAL)
        file, path = self._file(fd, os.O_RDONLY)
        self._effect("ftruncate", path)
        file.change(Resize(size))

    def fstat(self, fd: int) -> FileStatus:
        """Which file the descriptor is of."""
        self._check_power()
        return _status(self._of(fd).node)

    def lstat(self, path: str) -> FileStatus:
        """Which file the name stands for."""
        self._check_power()
        return _status(self._find(path))

    def replace(self, src: str, dst: str) -> None:
        """Let *dst* be the name of the file *src*, in one step. A directory does not move."""
        self._check_power()
        (source, old), (target, new) = self._place(src), self._place(dst)
        if not (old and new):
            raise _error(errno.EBUSY, src, dst)
        moved, replaced = self._named(source, old, src), _look_up(target, new, dst)
        if isinstance(moved, Directory):
            raise OSError(errno.EOPNOTSUPP, "a directory of a simulated disk does not move", src)
        if dst.endswith("/"):
            raise _error(errno.ENOTDIR, src, dst)
        if isinstance(replaced, Directory):
            raise _error(errno.ENOTEMPTY if replaced.holds(source) else errno.EISDIR, src, dst)
        if moved is replaced:
            return
        assert moved is not None
        self._effect("replace", f"{src} -> {dst}")
        self._move(source, old, target, new, moved)
        if replaced is not None:
            self._lose_name(replaced)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        self._check_power()
        directory, name = self._place(path)
        node = self._named(directory, name, path)
        if not isinstance(node, FileNode):
            raise _error(errno.EISDIR, path)
        self._effect("unlink", path)
        directory.change(NameChange(goes=name))
        self._lose_name(node)

    def listdir(self, directory: str) -> list[str]:
        """The names in the directory, in the order in which they came."""
        self._check_power()
        return list(self._directory(directory).names)

    # Power, faults and room.

    def _check_power(self) -> None:
        if self._severed is not None:
            raise self._severed.with_traceback(None)  # one error, many times: it does not gather where it was raised

    def _effect(self, call: str, path: str) -> None:
        """Here the power may be cut, and if not, *call* changes something."""
        self.boundary(f"{call} {path}")
        self._check_power()

    def _strikes(self, enabled: bool, label: str) -> bool:
        return enabled and self._strike(label)

    def _what_is_written(self, file: FileNode, path: str, data: bytes, offset: int) -> bytes:
        """As much of *data* as faults and room allow."""
        if self._strikes(self._faults.write_fails, f"write fails {path}"):
            raise _error(errno.EIO)
        if self._strikes(self._faults.full, f"disk full {path}"):
            raise _error(errno.ENOSPC)
        fits = self._room(file, offset, len(data))
        if data and not fits:
            raise _error(errno.ENOSPC)
        if self._strikes(self._faults.short_write, f"short write {path}"):
            return data[: min(fits, len(data) // 2)]
        return data[:fits]

    def _room(self, file: FileNode, offset: int, length: int) -> int:
        """How many of *length* bytes at *offset* there is room for; a gap before them takes room, too."""
        if self._faults.capacity is None:
            return length
        others = sum(len(each.cache) for each in self._files.values() if each is not file)
        return min(length, max(0, self._faults.capacity - others - offset, len(file.cache) - offset))

    def _perhaps_flipped(self, data: bytes, path: str) -> bytes:
        """*data*, with another bit wrong each time that fault strikes."""
        if not data or not self._strikes(self._faults.bit_flip, f"bit flip {path}"):
            return data
        self._flips += 1
        byte, bit = divmod(self._flips * 2_654_435_761 % (8 * len(data)), 8)  # all over the data, by no pattern
        flipped = bytearray(data)
        flipped[byte] ^= 1 << bit
        return bytes(flipped)

    # Descriptors and numbers.

    def _new_descriptor(self, node: Node, path: str, access: int) -> int:
        self._descriptors += 1
        self._opened[self._descriptors] = _Opened(node, path, access)
        if isinstance(node, FileNode):
            node.opened += 1
        return self._descriptors

    def _of(self, fd: int) -> _Opened:
        if fd not in self._opened:
            raise _error(errno.EBADF)
        return self._opened[fd]

    def _file(self, fd: int, not_with: int) -> tuple[FileNode, str]:
        """The file behind *fd*, and its path; not if it was opened with that access."""
        opened = self._of(fd)
        if opened.access == not_with or isinstance(opened.node, Directory):
            raise _error(errno.EBADF)
        return opened.node, opened.path

    def _new_number(self) -> int:
        if self._free_numbers:
            return heappop(self._free_numbers)
        self._numbers += 1
        return self._numbers

    def _new_file(self, path: str, content: bytes = b"") -> FileNode:
        """A file that is about to get its name *path*."""
        file = FileNode(self._new_number(), path, content)
        file.names = 1
        self._files[file.number] = file
        return file

    def _lose_name(self, file: FileNode) -> None:
        file.names -= 1
        self._forget(file)

    def _forget(self, file: FileNode) -> None:
        """Free the number of *file*, if nothing leads to it any more. An image may still find it."""
        if not file.names and not file.opened:
            del self._files[file.number]
            heappush(self._free_numbers, file.number)

    # Names.

    def _place(self, path: str) -> tuple[Directory, str]:
        """The directory in which the last name of *path* is looked for, and that name; empty for a directory itself."""
        if not path:
            raise _error(errno.ENOENT, path)
        if "\0" in path:
            raise ValueError("embedded null byte")  # Python's, for the real calls
        parts = [part for part in path.split("/") if part]
        last = parts.pop() if parts and parts[-1] not in (".", "..") else ""
        return self._walk(parts, path), last

    def _walk(self, parts: list[str], path: str) -> Directory:
        trail = [self._root]
        for part in parts:
            if part in (".", ".."):
                del trail[max(1, len(trail) + 1 - len(part)) :]
                continue
            node = _look_up(trail[-1], part, path)
            if node is None:
                raise _error(errno.ENOENT, path)
            if not isinstance(node, Directory):
                raise _error(errno.ENOTDIR, path)
            trail.append(node)
        return trail[-1]

    def _named(self, directory: Directory, name: str, path: str, *, creates: bool = False) -> Node | None:
        """What *name* stands for; None if there is nothing yet and it may be created."""
        if not name:
            return directory
        node = _look_up(directory, name, path)
        if path.endswith("/") and not isinstance(node, Directory):
            number = errno.ENOENT if node is None else errno.ENOTDIR
            raise _error(errno.EISDIR if creates else number, path)
        if node is None and not creates:
            raise _error(errno.ENOENT, path)
        return node

    def _find(self, path: str) -> Node:
        node = self._named(*self._place(path), path)
        assert node is not None
        return node

    def _directory(self, path: str) -> Directory:
        node = self._find(path)
        if not isinstance(node, Directory):
            raise _error(errno.ENOTDIR, path)
        return node

    def _move(self, source: Directory, old: str, target: Directory, new: str, file: FileNode) -> None:
        """Make the changes of a rename: one, or, between directories, an arrival and then a departure."""
        if source is target:
            source.change(NameChange(goes=old, comes=new, node=file))
            return
        arrival = NameChange(comes=new, node=file)
        target.change(arrival)
        source.change(NameChange(goes=old, after=(target, arrival)))


def _look_up(directory: Directory, name: str, path: str) -> Node | None:
    """What *name* stands for, of *path*; None if there is nothing."""
    if len(os.fsencode(name)) > NAME_BYTES_MAX:
        raise _error(errno.ENAMETOOLONG, path)
    return directory.names.get(name)


def _status(node: Node) -> FileStatus:
    return FileStatus((DEVICE, node.number), DIRECTORY_BYTES if isinstance(node, Directory) else len(node.cache))


def _error(number: int, path: str | None = None, path2: str | None = None) -> OSError:
    """What Python raises for that error of the system."""
    if path is None:
        return OSError(number, os.strerror(number))
    return OSError(number, os.strerror(number), path, None, path2)
