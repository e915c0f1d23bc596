"""The calls into the operating system that a disk makes, each a method of one object: where a test plants its faults."""

import os
from typing import Final, NamedTuple

__all__ = ("FileStatus", "Syscalls")

# Without O_CLOEXEC: Python sets it on every descriptor that it opens.
_DIRECTORY: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)


class FileStatus(NamedTuple):
    """Which file it is, whatever its name is now, and how long."""

    identity: tuple[int, int]
    size: int


class Syscalls:
    """The POSIX calls behind a `RealDisk`. They are made in worker threads, and raise `OSError`.

    A subclass may fail, shorten, delay or count any of them.
    """

    def open(self, path: str, flags: int) -> int:
        """A descriptor of the file."""
        return os.open(path, flags, 0o666)

    def open_directory(self, path: str) -> int:
        """A descriptor of the directory, to sync it."""
        return os.open(path, _DIRECTORY)

    def close(self, fd: int) -> None:
        """Give the descriptor back."""
        os.close(fd)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        """Write at *offset*; how many bytes were written."""
        return os.pwrite(fd, data, offset)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        """At most *length* bytes from *offset*; none at the end of the file."""
        return os.pread(fd, length, offset)

    def fsync(self, fd: int) -> None:
        """Return when the file, or the names in the directory, would survive a power cut."""
        os.fsync(fd)

    def ftruncate(self, fd: int, size: int) -> None:
        """Make the file *size* bytes long."""
        os.ftruncate(fd, size)

    def fstat(self, fd: int) -> FileStatus:
        """Which file the descriptor is of."""
        status = os.fstat(fd)
        return FileStatus((status.st_dev, status.st_ino), status.st_size)

    def lstat(self, path: str) -> FileStatus:
        """Which file the name stands for; a symbolic link for itself."""
        status = os.lstat(path)
        return FileStatus((status.st_dev, status.st_ino), status.st_size)

    def replace(self, src: str, dst: str) -> None:
        """Let *dst* be the name of the file *src*, in one step."""
        os.replace(src, dst)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        os.unlink(path)

    def listdir(self, directory: str) -> list[str]:
        """The names in the directory, in any order."""
        return os.listdir(directory)
