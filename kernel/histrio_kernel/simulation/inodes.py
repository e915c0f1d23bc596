"""Files and directories in memory: what reads see, what a power cut leaves for certain, and the changes in between."""

# Design note
# -----------
# What is not synced is kept as a list of changes, not as dirty pages: a crash image is then a choice of changes, and
# can be told in words. A change is applied twice, when it is made (to what reads see) and when it is synced (to what
# is certain), so a sync costs what it syncs and not the length of the file.
#
# Names are objects' references to other objects; there is no table of inodes. What no name, old or new, and no
# descriptor leads to is Python's to collect.
#
# Invariant: what is certain, with all pending changes made to it, is as long as what reads see; and the same, unless a
# sync has failed.

from typing import Final, TypeAlias, final

import attrs

__all__ = ("Directory", "FileChange", "FileNode", "NameChange", "Node", "Resize", "Write")


@attrs.frozen
class Write:
    """Bytes at an offset. Zeros fill a gap before them, so no bytes behind the end of a file make it longer."""

    offset: int
    data: bytes

    @property
    def end(self) -> int:
        """Behind the last byte."""
        return self.offset + len(self.data)

    def apply(self, content: bytearray) -> None:
        """Do it to *content*."""
        content.extend(bytes(max(self.offset - len(content), 0)))
        content[self.offset : self.end] = self.data


@attrs.frozen
class Resize:
    """Another length: what is behind it goes, and what is new is zeros."""

    size: int

    def apply(self, content: bytearray) -> None:
        """Do it to *content*."""
        del content[self.size :]
        content.extend(bytes(self.size - len(content)))


FileChange: TypeAlias = Write | Resize


@final
class FileNode:
    """One file, whatever its names are.

    Attributes:
        number: tells it from the other files that there are now.
        born: the path under which it was created, for reports.
        cache: what reads see.
        durable: what a power cut leaves for certain.
        pending: the changes since, oldest first; a power cut may take or leave them.
        names: how many names it has now.
        opened: how many descriptors it has.

    """

    __slots__ = ("born", "cache", "durable", "names", "number", "opened", "pending")

    def __init__(self, number: int, born: str, content: bytes = b"") -> None:
        self.number: Final = number
        self.born: Final = born
        self.cache: Final = bytearray(content)
        self.durable: Final = bytearray(content)
        self.pending: list[FileChange] = []
        self.names = 0
        self.opened = 0

    def change(self, change: FileChange) -> None:
        """Make a change that is not certain yet."""
        change.apply(self.cache)
        self.pending.append(change)

    def sync(self) -> None:
        """Make all changes certain."""
        for change in self.pending:
            change.apply(self.durable)
        self.pending.clear()

    def lose(self) -> None:
        """What a failed sync does on Linux: the bytes are never written, and reads still see them.

        Lengths are kept elsewhere than bytes, so they stay pending: what was written may yet be there as zeros.
        """
        self.pending = [Write(each.end, b"") if isinstance(each, Write) else each for each in self.pending]


@final
class Directory:
    """One directory.

    Attributes:
        number: tells it from the other files and directories.
        path: where it is; directories do not move.
        names: what is in it, as whoever looks sees it.
        durable: the names that a power cut leaves.
        pending: the changes since, oldest first; a power cut takes any number of the last.

    """

    __slots__ = ("durable", "names", "number", "path", "pending")

    def __init__(self, number: int, path: str) -> None:
        self.number: Final = number
        self.path: Final = path
        self.names: Final[dict[str, Node]] = {}
        self.durable: Final[dict[str, Node]] = {}
        self.pending: Final[list[NameChange]] = []

    def holds(self, other: "Directory") -> bool:
        """Whether *other* is this directory, or is below it."""
        return f"{other.path}/".startswith(f"{self.path.rstrip('/')}/")

    def put(self, name: str, node: "Node") -> None:
        """Let *name* stand for *node*, at once and for certain: how a disk is set up."""
        self.sync()
        self.names[name] = self.durable[name] = node

    def change(self, change: "NameChange") -> None:
        """Make a change that is not certain yet."""
        change.apply(self.names)
        self.pending.append(change)

    def sync(self, upto: "NameChange | None" = None) -> None:
        """Make the changes certain: all of them, or those up to *upto*, if that is still pending."""
        if upto is not None and upto not in self.pending:
            return
        while self.pending:
            change = self.pending.pop(0)
            if change.after is not None:
                directory, before = change.after
                directory.sync(before)
            change.apply(self.durable)
            if change is upto:
                return


Node: TypeAlias = FileNode | Directory


@attrs.frozen(eq=False)
class NameChange:
    """One change of one directory, all of it or nothing: a name goes, a name comes, or one becomes the other.

    Attributes:
        goes: the name that is no more.
        comes: the name that now stands for `node`.
        node: the file.
        after: this change survives only with that one, of another directory: a file that moves arrives before it
            leaves, so that a power cut may leave it in both places, and never in none.

    """

    goes: str | None = None
    comes: str | None = None
    node: FileNode | None = None
    after: tuple[Directory, "NameChange"] | None = None

    def apply(self, names: dict[str, Node]) -> None:
        """Do it to *names*."""
        if self.goes is not None:
            del names[self.goes]
        if self.comes is not None:
            assert self.node is not None
            names[self.comes] = self.node
