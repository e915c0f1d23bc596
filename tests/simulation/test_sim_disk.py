"""D4, E2, E3: the disk over files in memory keeps what the disk over the operating system's promises."""

import errno
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from trio.testing import MockClock, assert_checkpoints

from histrio_kernel.driver import DiskFailed, File, FileRefused
from histrio_kernel.real.disk import RealDisk
from histrio_kernel.simulation.disk import InlineThreads, sim_disk
from histrio_kernel.simulation.disk_faults import DiskFaults
from histrio_kernel.simulation.files import SimFiles
from histrio_kernel.simulation.images import Image
from histrio_kernel.simulation.trio_schedule import seeded_schedule

A, B, C = "/d/a", "/d/b", "/d/c"


# Both disks.


@attrs.frozen
class Place:
    """A disk, and an empty directory on it."""

    disk: RealDisk
    root: str

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"


@pytest.fixture(params=["real", "simulated"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Place]:
    """A disk over the operating system's files, and one over files in memory."""
    if request.param == "real":
        disk, root = RealDisk(), str(tmp_path)
    else:
        disk, root = sim_disk(with_directory()), "/d"
    yield Place(disk, root)
    await disk.aclose()


def with_directory(faults: DiskFaults | None = None, strike: Callable[[str], bool] = lambda _: False) -> SimFiles:
    """Files with an empty directory `/d`."""
    files = SimFiles(faults=faults, strike=strike, page_bytes=16)
    files.mkdir("/d")
    return files


async def test_an_append_is_in_the_file_when_it_returns(place: Place) -> None:
    """E3: append answers where its bytes end; read gives them, from anywhere."""
    disk, path = place.disk, place.path("a")
    file = await disk.open(path)
    assert (file.path, file.size, file.closed) == (Path(path), 0, False)
    assert [await disk.append(file, b"hello "), await disk.append(file, b"world")] == [6, 11]
    assert file.size == 11
    assert [await disk.read(path), await disk.read(path, 6), await disk.read(path, 6, 2)] == [
        b"hello world",
        b"world",
        b"wo",
    ]
    assert await disk.read(path, 11, 5) == b""
    assert await disk.list(place.root) == ("a",)


async def test_files_are_renamed_cut_and_removed(place: Place) -> None:
    """E2: rename, truncate, remove, list and reopening do what they say."""
    disk = place.disk
    file = await disk.open(place.path("b"))
    await disk.append(file, b"0123456789")
    await disk.truncate(file, 4)
    await disk.rename(place.path("b"), place.path("a"))
    await disk.append(file, b"x")
    await disk.sync(file)
    await disk.close(await disk.open(place.path("c")))
    assert file.path == Path(place.path("a"))
    assert await disk.list(place.root) == ("a", "c")
    await disk.remove(place.path("c"))
    await disk.close(file)
    assert (await disk.open(place.path("a"))).size == 5
    assert await disk.read(place.path("a")) == b"0123x"


async def test_a_file_belongs_to_who_opened_it_last(place: Place) -> None:
    """E3: an older handle is refused, and one whose name went to another file or was removed."""
    disk, path = place.disk, place.path("a")
    old = await disk.open(path)
    new = await disk.open(path)
    with pytest.raises(FileRefused, match="opened again"):
        await disk.append(old, b"x")
    other = await disk.open(place.path("b"))
    await disk.rename(place.path("b"), path)
    with pytest.raises(FileRefused, match="replaced"):
        await disk.append(new, b"x")
    await disk.append(other, b"y")
    assert await disk.read(path) == b"y"
    await disk.remove(path)
    with pytest.raises(FileRefused, match="removed"):
        await disk.append(other, b"x")


async def test_a_closed_file_takes_nothing(place: Place) -> None:
    """E2: after close, the handle raises ClosedResourceError; closing twice does nothing."""
    file = await place.disk.open(place.path("a"))
    await place.disk.close(file)
    await place.disk.close(file)
    with pytest.raises(trio.ClosedResourceError):
        await place.disk.append(file, b"x")


async def test_what_is_not_there_is_pythons_own_error(place: Place) -> None:
    """E2: what is missing is a FileNotFoundError that names it, and a directory cannot be read."""
    disk, missing = place.disk, place.path("no/file")
    for operation in (
        disk.open(missing),
        disk.read(missing),
        disk.list(missing),
        disk.remove(missing),
        disk.rename(missing, place.path("b")),
    ):
        with pytest.raises(FileNotFoundError, match="file"):
            await operation
    with pytest.raises(IsADirectoryError, match=place.root):
        await disk.read(place.root)
    assert await disk.list(place.root) == ()


async def test_every_operation_is_a_checkpoint(place: Place) -> None:
    """E2: each operation lets others run and looks for cancellation; cancelled before it begins, it does nothing."""
    disk = place.disk
    with assert_checkpoints():
        file = await disk.open(place.path("a"))
    for operation in (
        lambda: disk.append(file, b"abc"),
        lambda: disk.sync(file),
        lambda: disk.truncate(file, 1),
        lambda: disk.read(place.path("a")),
        lambda: disk.list(place.root),
        lambda: disk.rename(place.path("a"), place.path("b")),
        lambda: disk.close(file),
        lambda: disk.remove(place.path("b")),
    ):
        with trio.CancelScope() as scope:
            scope.cancel()
            await operation()
        assert scope.cancelled_caught
        with assert_checkpoints():
            await operation()
    assert await disk.list(place.root) == ()


# What only the simulated one can show.


async def test_appends_that_wait_share_a_write_and_a_sync() -> None:
    """E3: the group commit is under test: what many tasks append together is one write and one sync."""
    files = with_directory()
    disk = sim_disk(files)
    file = await disk.open(A)
    calls: list[str] = []
    files.boundary = calls.append
    async with trio.open_nursery() as nursery:
        for n in range(200):
            nursery.start_soon(disk.append, file, b"%03d" % n)
    assert calls == [f"pwrite {A}", f"fsync {A}"]
    assert file.size == 600
    assert [image.read(A) for image in files.images()] == [await disk.read(A)]


@pytest.mark.parametrize("fault", ["short_write", "write_fails", "sync_fails", "full"])
async def test_a_fault_reaches_everyone_of_the_group(fault: str) -> None:
    """E3, D4: a fault acknowledges nothing of the group and refuses the file; opened again it has what was synced."""
    striking = False
    faults = DiskFaults(**{fault: True})
    files = with_directory(faults, lambda _: striking)
    disk = sim_disk(files)
    file = await disk.open(A)
    await disk.append(file, b"kept")
    errors: list[DiskFailed] = []

    async def fails() -> None:
        with pytest.raises(DiskFailed) as caught:
            await disk.append(file, b"lost")
        errors.append(caught.value)

    striking = True
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(fails)
    striking = False
    assert {error.errno for error in errors} == {errno.EIO if fault.endswith("fails") else errno.ENOSPC}
    with pytest.raises(FileRefused):
        await disk.append(file, b"later")
    again = await disk.open(A)
    assert await disk.append(again, b"!") == 5
    assert [image.read(A) for image in files.images(reordered=True)] == [b"kept!"]


async def test_a_full_disk_has_room_again() -> None:
    """D4: an append that finds no room fails; when another file goes, there is room."""
    files = with_directory(DiskFaults(capacity=10))
    disk = sim_disk(files)
    a, b = await disk.open(A), await disk.open(B)
    await disk.append(a, b"12345678")
    with pytest.raises(DiskFailed, match="only 2 of 3") as caught:
        await disk.append(b, b"xyz")
    assert caught.value.errno == errno.ENOSPC
    await disk.remove(A)
    assert await disk.append(await disk.open(B), b"xyz") == 3


async def test_a_slow_disk_takes_its_time(autojump_clock: MockClock) -> None:
    """D4: a slow trip takes its seconds on the virtual clock; it cannot be cancelled then, and others go on."""
    slow = False
    disk = sim_disk(with_directory(DiskFaults(slow_s=3.0), lambda _: slow))
    file = await disk.open(A)
    slow = True
    begin = trio.current_time()
    with trio.move_on_after(1) as scope:
        await disk.append(file, b"x")
    assert not scope.cancelled_caught
    assert trio.current_time() - begin == pytest.approx(3)
    assert file.size == 1


async def test_calls_without_threads_are_steps() -> None:
    """D2: a call is made at one step of its task; others run before it and after it; cancelled before, it is not made."""
    seen: list[str] = []
    limiter = trio.CapacityLimiter(1)
    threads = InlineThreads()

    def call(name: str) -> str:
        seen.append(name)
        if name == "bad":
            raise ValueError(name)
        return name

    with assert_checkpoints():
        assert await threads.run(call, "good", limiter=limiter) == "good"
    with assert_checkpoints(), pytest.raises(ValueError, match="bad"):
        await threads.run(call, "bad", limiter=limiter)
    with trio.CancelScope() as scope:
        scope.cancel()
        await threads.run(call, "never", limiter=limiter)
    assert scope.cancelled_caught
    assert seen == ["good", "bad"]
    assert limiter.borrowed_tokens == 0


# Drawn programs, with faults, cut off anywhere.


class PowerCutError(OSError):
    """The machine has no power."""


Step: TypeAlias = tuple[str, str, str | bytes | int]
paths = st.sampled_from([A, B, C])
programs = st.lists(
    st.one_of(
        st.tuples(st.just("open"), paths, st.just(0)),
        st.tuples(st.just("append"), paths, st.binary(min_size=1, max_size=40)),
        st.tuples(st.just("append"), paths, st.binary(min_size=1, max_size=40)),
        st.tuples(st.just("truncate"), paths, st.integers(0, 40)),
        st.tuples(st.just("rename"), paths, paths),
        st.tuples(st.just("remove"), paths, st.just(0)),
    ),
    max_size=12,
)


@attrs.define
class Kept:
    """A file as its user knows it: what of it is certain, and whether there may be more behind."""

    handle: File
    certain: bytes = b""
    more: bool = False


class User:
    """Uses a disk, one operation after the other, and keeps what it may rely on."""

    def __init__(self, files: SimFiles) -> None:
        self.disk = sim_disk(files)
        self.names: dict[str, Kept] = {}
        self.instead: dict[str, Kept] | None = None  # or these, after an operation on names that failed

    async def run(self, program: Sequence[Step]) -> None:
        for name, path, argument in [("open", path, 0) for path in (A, B)] + list(program):
            try:
                await getattr(self, name)(path, argument)
            except FileNotFoundError:
                assert path not in self.names
            except OSError:
                if self.instead is not None:
                    return

    async def append(self, path: str, data: bytes) -> None:
        if (kept := self.names.get(path)) is not None:
            more, kept.more = kept.more, True
            end = await self.disk.append(kept.handle, data)
            kept.certain += data
            kept.more = more
            assert end == len(kept.certain)

    async def truncate(self, path: str, size: int) -> None:
        kept = self.names.get(path)
        if kept is not None and kept.handle.size >= size:
            certain, more = kept.certain, kept.more
            kept.certain, kept.more = certain[:size], True
            try:
                await self.disk.truncate(kept.handle, size)
            except FileRefused:
                kept.certain = certain
                raise
            kept.more = more

    async def open(self, path: str, _: int) -> None:
        before = self.names.get(path)
        self.instead = self.names.copy()
        if before is None:
            self.instead[path] = Kept(StrangeFile())
        handle = await self.disk.open(path)
        kept = self.names[path] = Kept(handle, b"" if before is None else before.certain)
        self.instead = None
        assert handle.size == len(kept.certain)

    async def rename(self, src: str, dst: str) -> None:
        if src in self.names:
            self.instead = self.names.copy()
            self.instead[dst] = self.instead.pop(src)
        await self.disk.rename(src, dst)
        assert self.instead is not None
        self.names, self.instead = self.instead, None

    async def remove(self, path: str, _: int) -> None:
        if path in self.names:
            self.instead = {name: kept for name, kept in self.names.items() if name != path}
        await self.disk.remove(path)
        assert self.instead is not None
        self.names, self.instead = self.instead, None

    def finds(self, image: Image) -> bool:
        """Whether all that this user relies on is in *image*, and nothing besides."""
        return any(fits(names, image) for names in (self.names, self.instead) if names is not None)


class StrangeFile:
    path = Path("created, perhaps")
    size = 0
    closed = False


def fits(names: dict[str, Kept], image: Image) -> bool:
    """Whether *image* has just these files, each with what is certain of it."""
    held = dict(image.files)
    return held.keys() == names.keys() and all(
        held[path].startswith(kept.certain) and (kept.more or held[path] == kept.certain)
        for path, kept in names.items()
    )


@settings(max_examples=count("disk_examples"))
@given(program=programs, cut=st.integers(0, 60), often=st.sampled_from([0, 0, 0.1]), seed=st.integers(0, 2**32 - 1))
def test_what_a_disk_has_acknowledged_is_in_every_image(program: list[Step], cut: int, often: float, seed: int) -> None:
    """E2, E3, D4: whatever fails, and wherever the power is cut: what was appended is in every image of the disk.

    After a rename the new name leads to the new file, after a remove there is none, in every image.
    """
    chance = random.Random(seed)
    faults = DiskFaults(short_write=True, write_fails=True, sync_fails=True, full=True)
    assert faults.survivable
    files = with_directory(faults, lambda _: chance.random() < often)
    left = cut

    def boundary(_: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            files.sever(PowerCutError(errno.EIO, "the machine has no power"))

    files.boundary = boundary
    user = User(files)
    with seeded_schedule(seed):
        trio.run(user.run, program)
    for image in files.images(100, reordered=True):
        assert user.finds(image), image
    for _ in range(10):
        image = files.random_image(chance, reordered=True)
        assert user.finds(image), image
