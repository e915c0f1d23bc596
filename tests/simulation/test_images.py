"""D4: the images of a power cut are those that a plain model admits, and all that it has in one order."""

import math
import os
import random
from collections.abc import Iterator
from itertools import islice, product
from typing import TypeAlias

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count

from histrio_kernel.simulation.disk_faults import DiskFaults
from histrio_kernel.simulation.files import SimFiles
from histrio_kernel.simulation.images import COMBINATIONS_MAX, SUBSETS_OF_MAX, Image

CREATE = os.O_RDWR | os.O_CREAT
PAGE = 4
DIRECTORIES = ("/", "/d")
Step: TypeAlias = tuple[str | int | bytes, ...]
Listing: TypeAlias = tuple[tuple[str, int], ...]  # name and file


def directory_of(path: str) -> str:
    """Where the last name of *path* stands."""
    return path.rpartition("/")[0] or "/"


# The model. It keeps all that ever happened and replays it for each question; nothing is shared with the code.


@attrs.define
class ModelFile:
    """Everything that was done to a file: `("write", offset, data)`, `("size", n)`, `("at least", n)`."""

    history: list[tuple[str, int, bytes]]
    synced: int = 0  # so many of them are certain

    @staticmethod
    def after(content: bytes, step: tuple[str, int, bytes]) -> bytes:
        kind, number, data = step
        if kind == "size":
            return content[:number].ljust(number, b"\0")
        content = content.ljust(number, b"\0")
        return content[:number] + data + content[number + len(data) :]

    def certain(self) -> bytes:
        content = b""
        for step in self.history[: self.synced]:
            content = self.after(content, step)
        return content

    def in_order(self, *, torn: bool) -> set[bytes]:
        """What may be there if changes are made in their order."""
        whole = self.certain()
        found = {whole}
        for kind, number, data in self.history[self.synced :]:
            if torn and kind == "write":
                for kept in range(len(data)):
                    part = self.after(whole, (kind, number, data[:kept]))
                    found |= {part, part.ljust(number + len(data), b"\0")}
            whole = self.after(whole, (kind, number, data))
            found.add(whole)
        return found

    def in_any_order(self) -> set[bytes]:
        """What may be there if of the pages of all changes any may be missing."""
        found = {self.certain()}
        for kind, number, data in self.history[self.synced :]:
            pages = sorted({(number + n) // PAGE for n in range(len(data))})
            parts = [
                (kind, max(number, page * PAGE), data[max(page * PAGE - number, 0) : (page + 1) * PAGE - number])
                for page in pages
            ]
            for part in parts or [(kind, number, data)]:
                found |= {self.after(content, part) for content in found}
        return found


class Model:
    """What may be left after a power cut, of all that was done."""

    def __init__(self) -> None:
        self.files: list[ModelFile] = []
        self.now: dict[str, int] = {}  # path: file
        self.listings: dict[str, list[tuple[int, Listing]]] = {each: [(0, ())] for each in DIRECTORIES}
        self.moves: list[tuple[int, str, str]] = []  # when, from where, to where
        self.time = 0

    def names_changed(self, *directories: str) -> None:
        self.time += 1
        for directory in set(directories):
            listing = tuple(sorted((path, file) for path, file in self.now.items() if directory_of(path) == directory))
            self.listings[directory].append((self.time, listing))

    def create(self, path: str) -> None:
        if path not in self.now:
            self.files.append(ModelFile([]))
            self.now[path] = len(self.files) - 1
            self.names_changed(directory_of(path))

    def change(self, path: str, kind: str, number: int, data: bytes = b"") -> None:
        if kind == "size" or data:
            self.files[self.now[path]].history.append((kind, number, data))

    def sync(self, path: str) -> None:
        file = self.files[self.now[path]]
        file.synced = len(file.history)

    def sync_fails(self, path: str) -> None:
        file = self.files[self.now[path]]
        file.history[file.synced :] = [
            (kind, number + len(data), b"") for kind, number, data in file.history[file.synced :]
        ]

    def sync_names(self, directory: str) -> None:
        del self.listings[directory][:-1]

    def replace(self, src: str, dst: str) -> None:
        if src == dst:
            return
        self.now[dst] = self.now.pop(src)
        self.names_changed(directory_of(src), directory_of(dst))
        if directory_of(src) != directory_of(dst):
            self.moves.append((self.time, directory_of(src), directory_of(dst)))

    def unlink(self, path: str) -> None:
        del self.now[path]
        self.names_changed(directory_of(path))

    def possible_names(self) -> Iterator[Listing]:
        """All names that there may be together."""
        for chosen in product(*self.listings.values()):
            since = dict(zip(self.listings, (when for when, _ in chosen), strict=True))
            if all(since[src] < when or since[dst] >= when for when, src, dst in self.moves):
                yield tuple(sorted(entry for _, listing in chosen for entry in listing))

    def certain(self) -> Image:
        """What is synced."""
        names = next(self.possible_names())  # the oldest of each directory that the law lets be together
        return Image(tuple((path, self.files[file].certain()) for path, file in names), DIRECTORIES)

    def admits(self, image: Image, *, reordered: bool) -> bool:
        contents = [file.in_order(torn=True) for file in self.files]
        if reordered:
            contents = [found | file.in_any_order() for found, file in zip(contents, self.files, strict=True)]
        return any(
            tuple(path for path, _ in names) == tuple(path for path, _ in image.files)
            and all(content in contents[file] for (_, file), (_, content) in zip(names, image.files, strict=True))
            for names in self.possible_names()
        )

    def combinations(self) -> int:
        """At least as many as the code has: whole, none, and torn in five ways, for each change."""
        of_files = math.prod(1 + 6 * (len(file.history) - file.synced) for file in self.files)
        return of_files * math.prod(map(len, self.listings.values()))

    def whole_images(self) -> Iterator[Image]:
        """All images in which changes are in order and none is torn."""
        for names in self.possible_names():
            files = sorted({file for _, file in names})
            for contents in product(*(sorted(self.files[file].in_order(torn=False)) for file in files)):
                held = dict(zip(files, contents, strict=True))
                yield Image(tuple((path, held[file]) for path, file in names), DIRECTORIES)


class Both:
    """A program on files in memory, and on the model."""

    def __init__(self) -> None:
        self.fails = False
        self.files = SimFiles(faults=DiskFaults(sync_fails=True), strike=self.strike, page_bytes=PAGE)
        self.files.mkdir("/d")
        self.model = Model()

    def strike(self, _: str) -> bool:
        return self.fails

    def do(self, step: Step) -> None:
        match step:
            case "create", str(path):
                self.files.close(self.files.open(path, CREATE))
                self.model.create(path)
            case "sync_names", str(path):
                self.files.fsync(self.files.open_directory(directory_of(path)))
                self.model.sync_names(directory_of(path))
            case str(name), str(path), *rest if path in self.model.now:
                self.do_to_a_file(name, path, rest)
            case _:
                pass  # there is no such file now

    def do_to_a_file(self, name: str, path: str, rest: list[str | int | bytes]) -> None:
        fd = self.files.open(path, os.O_RDWR)
        match name, *rest:
            case "write", int(offset), bytes(data):
                self.files.pwrite(fd, data, offset)
                self.model.change(path, name, offset, data)
            case "size", int(size):
                self.files.ftruncate(fd, size)
                self.model.change(path, name, size)
            case ("sync",):
                self.files.fsync(fd)
                self.model.sync(path)
            case ("sync_fails",):
                self.fails = True
                with pytest.raises(OSError, match="error"):
                    self.files.fsync(fd)
                self.fails = False
                self.model.sync_fails(path)
            case "replace", str(dst):
                self.files.replace(path, dst)
                self.model.replace(path, dst)
            case _:
                self.files.unlink(path)
                self.model.unlink(path)
        self.files.close(fd)


paths = st.sampled_from(["/a", "/b", "/d/a", "/d/b"])
steps = st.one_of(
    st.tuples(st.just("create"), paths),
    st.tuples(st.just("write"), paths, st.integers(0, 6), st.binary(min_size=1, max_size=7)),
    st.tuples(st.sampled_from(["create", "sync", "sync_names", "sync_fails", "unlink"]), paths),
    st.tuples(st.just("size"), paths, st.integers(0, 6)),
    st.tuples(st.just("replace"), paths, paths),
)
programs = st.lists(steps, max_size=14)


def after(program: list[Step]) -> Both:
    """The two after *program*."""
    both = Both()
    for step in program:
        both.do(step)
    return both


@settings(max_examples=count("disk_examples"))
@given(program=programs, reordered=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_each_image_is_one_that_the_model_admits(program: list[Step], reordered: bool, seed: int) -> None:
    """D4: whatever was done, an image has nothing that the model does not admit; drawn ones neither. None comes twice."""
    both = after(program)
    images = list(islice(both.files.images(reordered=reordered), 200))
    assert len(set(images)) == len(images)
    chance = random.Random(seed)
    images += [both.files.random_image(chance, reordered=reordered) for _ in range(10)]
    for image in images:
        assert both.model.admits(image, reordered=reordered), image
        assert image.directories == DIRECTORIES


@settings(max_examples=count("disk_examples"))
@given(program=programs)
def test_all_that_is_left_in_order_is_enumerated(program: list[Step]) -> None:
    """D4: within the bound, each image that the model makes of whole changes in order is enumerated."""
    both = after(program)
    if both.model.combinations() <= COMBINATIONS_MAX:
        assert set(both.model.whole_images()) <= set(both.files.images())


def without_failures(program: list[Step]) -> list[Step]:
    """The steps without failing syncs: reads see what is on the disk, or will be."""
    return [step for step in program if step[0] != "sync_fails"]


@settings(max_examples=count("disk_examples"))
@given(program=programs)
def test_everything_comes_first_and_what_is_certain_second(program: list[Step]) -> None:
    """D4: the first image has what reads see; the second, or that one, only what is synced."""
    both = after(without_failures(program))
    first, *others = both.files.images()
    assert dict(first.files) == read_all(both)
    assert both.model.certain() in [first, *others[:1]]
    assert both.model.certain() in [
        image for image, _ in zip(both.files.images(reordered=True), range(2), strict=False)
    ]


@settings(max_examples=count("disk_examples"))
@given(program=programs, reordered=st.booleans())
def test_what_is_synced_is_in_every_image(program: list[Step], reordered: bool) -> None:
    """D4: a file that is synced, with a name that is synced, is in every image with just these bytes."""
    both = after(without_failures(program))
    certain = list(both.model.now)[::2]
    for path in certain:
        both.do(("sync", path))
        both.do(("sync_names", path))
    seen = read_all(both)
    for image in islice(both.files.images(reordered=reordered), 300):
        assert [image.read(path) for path in certain] == [seen[path] for path in certain]


def read_all(both: Both) -> dict[str, bytes]:
    """What reads see of each file."""
    return {path: both.files.pread(both.files.open(path, os.O_RDONLY), 100, 0) for path in both.model.now}


@settings(max_examples=count("disk_examples"))
@given(program=programs, reordered=st.booleans())
def test_a_machine_that_starts_with_an_image_holds_it(program: list[Step], reordered: bool) -> None:
    """D4: files that begin with an image hold just that, for certain; enumerating twice gives the same."""
    both = after(program)
    images = list(islice(both.files.images(reordered=reordered), 50))
    assert list(islice(both.files.images(reordered=reordered), 50)) == images
    assert list(both.files.images(7)) == list(islice(both.files.images(), 7))
    for image in images:
        assert list(SimFiles.from_image(image).images(reordered=True)) == [image]


def written(*writes: tuple[int, bytes], before: bytes = b"", page_bytes: int = 8) -> SimFiles:
    """Files with one synced file `/a` that holds *before*, and writes to it that are not synced."""
    files = SimFiles(page_bytes=page_bytes)
    fd = files.open("/a", CREATE)
    if before:
        files.pwrite(fd, before, 0)
    files.fsync(fd)
    files.fsync(files.open_directory("/"))
    for offset, data in writes:
        files.pwrite(fd, data, offset)
    return files


def contents(files: SimFiles, *, reordered: bool = False) -> list[bytes | None]:
    """What `/a` holds in each image; None where it is not there."""
    return [image.read("/a") for image in files.images(reordered=reordered)]


def test_a_write_is_torn() -> None:
    """D4: the last write is torn after its first byte, in the middle and before its last byte, or its tail is zeros."""
    assert contents(written((3, b"123456"), before=b"abc")) == [
        b"abc123456",
        b"abc",
        b"abc1",
        b"abc123",
        b"abc12345",
        b"abc\0\0\0\0\0\0",
        b"abc123\0\0\0",
    ]
    assert set(contents(written((0, b"XYZ"), before=b"abc"))) == {b"XYZ", b"abc", b"Xbc", b"XYc"}


def test_only_the_last_write_that_is_there_is_torn() -> None:
    """D4: in order, a second write is there only behind the whole of the first."""
    found = contents(written((0, b"11"), (2, b"22")))
    assert found[:2] == [b"1122", b""]
    assert set(found[2:]) == {b"11", b"112", b"11\0\0", b"112\0", b"1", b"\0\0", b"1\0"}


def test_writes_are_reordered() -> None:
    """D4: asked for, a later write or a later page of one write is there without an earlier one."""
    two = written((0, b"11"), (2, b"22"))
    assert b"\0\x0022" not in contents(two)
    assert b"\0\x0022" in contents(two, reordered=True)
    pages = written((6, b"12345678"), before=b"before")
    assert b"before\0\x00345678" not in contents(pages)
    assert b"before\0\x00345678" in contents(pages, reordered=True)


def test_names_and_bytes_are_certain_apart() -> None:
    """D4: a sync of a file does not make its name certain, nor a sync of the directory its bytes."""
    files = SimFiles()
    fd = files.open("/a", CREATE)
    files.pwrite(fd, b"x", 0)
    assert set(contents(files)) == {b"x", b"", b"\0", None}
    files.fsync(fd)
    assert contents(files) == [b"x", None]
    files.fsync(files.open_directory("/"))
    assert contents(files) == [b"x"]
    files.pwrite(fd, b"y", 0)
    files.fsync(files.open_directory("/"))
    assert contents(files) == [b"y", b"x"]


def test_a_rename_is_one_change() -> None:
    """D4: of a rename in one directory all is there or nothing: the new name leads to the old file or to the new."""
    files = written(before=b"old")
    fd = files.open("/b", CREATE)
    files.pwrite(fd, b"new", 0)
    files.fsync(fd)
    files.fsync(files.open_directory("/"))
    files.replace("/b", "/a")
    assert [image.files for image in files.images()] == [(("/a", b"new"),), (("/a", b"old"), ("/b", b"new"))]


def test_a_file_that_moves_is_somewhere() -> None:
    """D4: between directories a file may be in both places after a power cut, and never in none."""
    files = written(before=b"x")
    files.mkdir("/d")
    files.replace("/a", "/d/a")
    assert [[path for path, _ in image.files] for image in files.images()] == [["/d/a"], ["/a"], ["/a", "/d/a"]]
    files.fsync(files.open_directory("/"))
    assert [[path for path, _ in image.files] for image in files.images()] == [["/d/a"]]


def test_many_files_are_bounded() -> None:
    """D4: with too many combinations each file is varied alone, beside all and beside nothing of the others."""
    files = SimFiles()
    descriptors = [files.open(f"/{n}", CREATE) for n in range(8)]
    files.fsync(files.open_directory("/"))
    for fd in descriptors:
        files.pwrite(fd, b"1234", 0)
    images = [[content for _, content in image.files] for image in files.images(reordered=True)]
    options = 7
    assert options**8 > COMBINATIONS_MAX
    assert len(images) == 2 + 8 * (options - 2) * 2 + 8 * 2
    assert images[0] == [b"1234"] * 8
    assert images[1] == [b""] * 8
    assert [b"", b"12"] + [b""] * 6 in images
    assert [b"1234", b"12"] + [b"1234"] * 6 in images


def test_many_pieces_are_bounded() -> None:
    """D4: of too many pieces of writes the first, the last, each alone and all but each are there."""
    count_of = SUBSETS_OF_MAX + 4
    data = bytes(range(1, count_of + 1))
    files = written((0, data), page_bytes=1)
    found = set(contents(files, reordered=True))
    assert len(found) < 5 * count_of
    for n in range(count_of):
        assert {
            data[:n],
            bytes(n) + data[n:],
            data[:n] + b"\0" + data[n + 1 :] if n + 1 < count_of else data[:n],
        } <= found


def test_an_image_tells_what_survived() -> None:
    """D4: an image says in words what of the unsynced is in it; equality asks only what it holds."""
    files = SimFiles()
    files.pwrite(files.open("/a", CREATE), b"123456", 0)
    said = [image.survived for image in files.images()]
    assert said[0] == "/a: all 1 changes; names in /: 1 of 1 changes"
    assert "/a: 0 of 1 changes, the next torn at 3 of 6 bytes; names in /: 1 of 1 changes" in said
    assert Image((), survived="x") == Image((), survived="y")
    assert hash(attrs.evolve(Image(()), survived="x")) == hash(Image(()))


def test_what_the_disk_does_meanwhile_does_not_matter() -> None:
    """D4: images are those of the moment at which they were asked for."""
    files = written((0, b"12"))
    images = files.images()
    files.unlink("/a")
    assert [image.read("/a") for image in images] == [b"12", b"", b"1", b"\0\0", b"1\0"]
