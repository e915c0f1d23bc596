"""What a disk may hold after a power cut: all of it that is worth looking at, in one order, or one of them by chance."""

# Design note: what is enumerated
# -------------------------------
# Of each file with changes that are not synced, as options:
#
#  1. all of them, and none of them;
#  2. the first k of them, for each k; and then the next one torn, if it is a write of n bytes: its first 1, n // 2 or
#     n - 1 bytes; and its first 0 or n // 2 bytes, with the length as if all of them were there (zeros where nothing
#     was before: a file system may keep the length and lose the bytes);
#  3. if `reordered`: what the disk makes of changes that no sync has put in an order. Each write is cut where a page
#     of the file ends, and of the pieces any subset may be there, made in their order. With more than SUBSETS_OF_MAX
#     pieces: the first k, the last k, each alone, and all but each.
#
# Of each directory with changes that are not synced: the first k of them, for each k. A change is a name that comes, a
# name that goes, or a rename, which is one change. A sync of a file does not make its name certain, and a sync of a
# name does not make the file certain: all is combined with all. One law is kept: a file that is renamed into another
# directory has left the old one only if it has arrived in the new one.
#
# An image is one option of each. Up to COMBINATIONS_MAX combinations all of them are made. Beyond, each option of each
# file and directory is made twice: beside everything of all the others, and beside nothing of them. So what one file
# or one directory can lose is always seen; what two of them can lose together is seen only at these corners, and
# `random_image` draws from all of it.
#
# The first image has everything, the second nothing that is not synced; no image comes twice, not even if these two
# are the same.

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import chain, compress, product
from typing import Final, Generic, TypeAlias, TypeVar

import attrs

from histrio_kernel.driver import Random
from histrio_kernel.simulation.inodes import Directory, FileChange, FileNode, NameChange, Node, Resize, Write

__all__ = ("COMBINATIONS_MAX", "SUBSETS_OF_MAX", "Image", "images_of", "random_image_of")

# combinations of what the files and directories may be; with more, each is varied alone.
COMBINATIONS_MAX: Final = 1024
# pieces of unsynced writes of which every subset is made.
SUBSETS_OF_MAX: Final = 6

ValueT = TypeVar("ValueT")


@attrs.frozen
class Image:
    """What a disk holds: an immutable snapshot. Two are equal if they hold the same.

    Attributes:
        files: the path and the bytes of each file, sorted by path.
        directories: the path of each directory, each behind the one that it is in.
        survived: what of the unsynced is in it, for a reader.

    """

    files: tuple[tuple[str, bytes], ...]
    directories: tuple[str, ...] = ("/",)
    survived: str = attrs.field(default="", eq=False)

    def read(self, path: str) -> bytes | None:
        """What the file *path* holds; None if there is no such file."""
        return next((content for name, content in self.files if name == path), None)


@attrs.frozen
class _Option(Generic[ValueT]):
    """One thing that a file or a directory may be after the cut."""

    value: ValueT
    said: str


@attrs.frozen
class _Names:
    """What a directory may hold, and of how many of its changes that is made."""

    names: Mapping[str, Node]
    count: int
    needs: tuple[tuple[Directory, int], ...]  # so many changes of another directory must be there, too


_Content: TypeAlias = _Option[bytes]
_Listing: TypeAlias = _Option[_Names]


@attrs.frozen
class _Unsynced:
    """A file at one moment: what is certain of it, and what is not."""

    durable: bytes
    pending: tuple[FileChange, ...]


@attrs.frozen
class _Survey:
    """All that a power cut may leave something of, at one moment; it does not change when the disk goes on."""

    root: Directory
    files: dict[FileNode, _Unsynced]
    directories: dict[Directory, list[_Listing]]

    @classmethod
    def of(cls, root: Directory) -> "_Survey":
        survey = cls(root, {}, {})
        todo = [root]
        while todo:
            directory = todo.pop()
            survey.directories[directory] = _listings(directory)
            for node in _ever_named(directory):
                if isinstance(node, Directory):
                    todo.append(node)
                else:
                    survey.files[node] = _Unsynced(bytes(node.durable), tuple(node.pending))
        return survey

    def compose(self, contents: Mapping[FileNode, _Content], listings: Mapping[Directory, _Listing]) -> Image:
        """The image in which each file and each directory is what these say."""
        files: list[tuple[str, bytes]] = []
        directories: list[str] = []
        todo = [("/", self.root)]
        while todo:
            path, directory = todo.pop()
            directories.append(path)
            for name, node in listings[directory].value.names.items():
                below = f"{path.rstrip('/')}/{name}"
                if isinstance(node, Directory):
                    todo.append((below, node))
                else:
                    files.append((below, contents[node].value))
        said = [f"{node.born}: {each.said}" for node, each in contents.items() if each.said]
        said += [f"names in {node.path}: {each.said}" for node, each in listings.items() if each.said]
        return Image(tuple(sorted(files)), tuple(sorted(directories)), "; ".join(said))


def images_of(root: Directory, *, reordered: bool, page_bytes: int) -> Iterator[Image]:
    """The images of what is below *root* now; what the disk does while they are taken does not matter."""
    survey = _Survey.of(root)
    contents = {node: list(_contents(each, reordered, page_bytes)) for node, each in survey.files.items()}
    return _images(survey, contents)


def _images(survey: _Survey, contents: Mapping[FileNode, Sequence[_Content]]) -> Generator[Image]:
    listings = survey.directories
    seen: set[Image] = set()
    sizes = [len(options) for options in chain(contents.values(), listings.values())]
    for choice in _choices(sizes):
        chosen = iter(choice)
        some_contents = {node: options[next(chosen)] for node, options in contents.items()}
        some_listings = {node: options[next(chosen)] for node, options in listings.items()}
        if not _lawful(some_listings):
            continue
        image = survey.compose(some_contents, some_listings)
        if image not in seen:
            seen.add(image)
            yield image


def random_image_of(root: Directory, random: Random, *, reordered: bool, page_bytes: int) -> Image:
    """One image, by chance; a write may be torn at any byte."""
    survey = _Survey.of(root)
    contents = {node: _draw_content(random, each, reordered, page_bytes) for node, each in survey.files.items()}
    listings = {node: random.choice(options) for node, options in survey.directories.items()}
    while (broken := _broken_law(listings)) is not None:
        directory, count = broken
        listings[directory] = next(each for each in survey.directories[directory] if each.value.count == count)
    return survey.compose(contents, listings)


# Choosing one option of each.


def _choices(sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Which option of each, in order: everything, nothing, and then the others; some come twice."""
    everything = (0,) * len(sizes)
    nothing = tuple(min(1, size - 1) for size in sizes)
    rest = product(*map(range, sizes)) if math.prod(sizes) <= COMBINATIONS_MAX else _one_varied(sizes, nothing)
    return chain((everything, nothing), rest)


def _one_varied(sizes: Sequence[int], nothing: tuple[int, ...]) -> Generator[tuple[int, ...]]:
    """Each option of each, beside nothing and beside everything of the others."""
    everything = (0,) * len(sizes)
    for which, size in enumerate(sizes):
        for option in range(size):
            for others in (nothing, everything):
                yield (*others[:which], option, *others[which + 1 :])


def _lawful(listings: Mapping[Directory, _Listing]) -> bool:
    return _broken_law(listings) is None


def _broken_law(listings: Mapping[Directory, _Listing]) -> tuple[Directory, int] | None:
    """A directory that has fewer of its changes than another's need, and how many they need."""
    for each in listings.values():
        for directory, count in each.value.needs:
            if listings[directory].value.count < count:
                return directory, count
    return None


# What one directory may be.


def _ever_named(directory: Directory) -> Iterator[Node]:
    """What some image may find in *directory*."""
    arrived = (change.node for change in directory.pending if change.node is not None)
    return chain(directory.durable.values(), arrived)


def _listings(directory: Directory) -> list[_Listing]:
    """All changes, no change, and the others, longest first."""
    changes = directory.pending
    counts = sorted(range(len(changes) + 1), key=lambda count: (count < len(changes), count > 0, -count))
    return [_listing(directory, changes[:count], len(changes)) for count in counts]


def _listing(directory: Directory, changes: Sequence[NameChange], of: int) -> _Listing:
    names = dict(directory.durable)
    needs: list[tuple[Directory, int]] = []
    for change in changes:
        change.apply(names)
        if change.after is not None and change.after[1] in change.after[0].pending:
            needs.append((change.after[0], change.after[0].pending.index(change.after[1]) + 1))
    said = f"{len(changes)} of {of} changes" if of else ""
    return _Option(_Names(names, len(changes), tuple(needs)), said)


# What one file may be.


def _contents(file: _Unsynced, reordered: bool, page_bytes: int) -> Iterator[_Content]:
    """Everything, nothing, and the others; only the first two may be equal."""
    everything = _made(file, file.pending)
    yield _Option(everything, f"all {len(file.pending)} changes" if file.pending else "")
    if not file.pending:
        return
    yield _Option(file.durable, f"none of {len(file.pending)} changes")
    seen = {everything, file.durable}
    ways = chain(_prefixes(file.pending), _reordered(file.pending, page_bytes) if reordered else ())
    for changes, said in ways:
        content = _made(file, changes)
        if content not in seen:
            seen.add(content)
            yield _Option(content, said)


def _made(file: _Unsynced, changes: Sequence[FileChange]) -> bytes:
    content = bytearray(file.durable)
    for change in changes:
        change.apply(content)
    return bytes(content)


def _prefixes(pending: Sequence[FileChange]) -> Generator[tuple[Sequence[FileChange], str]]:
    """The first of the changes, and the next one whole, torn or not at all; longest first."""
    for count in reversed(range(len(pending))):
        first, said = pending[:count], f"{count} of {len(pending)} changes"
        yield first, said
        for torn, how in _tears(pending[count]):
            yield (*first, *torn), f"{said}, the next {how}"


def _tears(change: FileChange) -> Generator[tuple[Sequence[FileChange], str]]:
    if isinstance(change, Resize):
        return
    length = len(change.data)
    for kept in (1, length // 2, length - 1):
        if 0 < kept < length:
            yield _torn(change, kept, whole_length=False), f"torn at {kept} of {length} bytes"
    for kept in (0, length // 2):
        yield _torn(change, kept, whole_length=True), f"with {kept} of {length} bytes, the length of all"


def _torn(write: Write, kept: int, *, whole_length: bool) -> tuple[Write, ...]:
    begun = Write(write.offset, write.data[:kept])
    return (begun, Write(write.end, b"")) if whole_length else (begun,)


def _reordered(pending: Sequence[FileChange], page_bytes: int) -> Generator[tuple[Sequence[FileChange], str]]:
    """Subsets of the pieces."""
    pieces = list(chain.from_iterable(_pieces(change, page_bytes) for change in pending))
    for kept in _subsets(len(pieces)):
        which = ", ".join(str(number) for number, keep in enumerate(kept, 1) if keep)
        yield tuple(compress(pieces, kept)), f"the pieces {which} of {len(pieces)}"


def _pieces(change: FileChange, page_bytes: int) -> Iterator[FileChange]:
    """A write, cut where a page of the file ends."""
    if isinstance(change, Resize) or not change.data:
        yield change
        return
    start = change.offset
    while start < change.end:
        end = min(change.end, (start // page_bytes + 1) * page_bytes)
        yield Write(start, change.data[start - change.offset : end - change.offset])
        start = end


def _subsets(count: int) -> Iterator[Sequence[bool]]:
    """Which of *count* pieces are kept."""
    if count <= SUBSETS_OF_MAX:
        return product((True, False), repeat=count)
    ways: tuple[Callable[[int, int], bool], ...] = (
        lambda piece, which: piece < which,
        lambda piece, which: piece >= which,
        lambda piece, which: piece == which,
        lambda piece, which: piece != which,
    )
    return ([way(piece, which) for piece in range(count)] for which in range(count) for way in ways)


def _draw_content(random: Random, file: _Unsynced, reordered: bool, page_bytes: int) -> _Content:
    if reordered and random.getrandbits(1):
        pieces = chain.from_iterable(_pieces(change, page_bytes) for change in file.pending)
        some = [piece for piece in pieces if random.getrandbits(1)]
        return _Option(_made(file, some), f"{len(some)} pieces, drawn")
    count = random.randrange(len(file.pending) + 1)
    changes = list(file.pending[:count])
    said = f"{count} of {len(file.pending)} changes"
    if count < len(file.pending) and isinstance(torn := file.pending[count], Write):
        kept = random.randrange(len(torn.data) + 1)
        changes += _torn(torn, kept, whole_length=bool(random.getrandbits(1)))
        said += f", the next with {kept} of {len(torn.data)} bytes"
    return _Option(_made(file, changes), said)
