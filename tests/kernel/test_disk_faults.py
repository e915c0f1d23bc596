"""E3 under every fault there is a place for, and under drawn crashes: an acknowledged append is never lost."""

import contextlib
import errno
import math
import random
from collections.abc import Awaitable, Callable

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.kernel.planted import Fault, Page, Planted

from histrio_kernel.driver import Disk, DiskFailed, File
from histrio_kernel.real.disk import RealDisk

A, B = "/d/a", "/d/b"


class Model:
    """What a user of a disk may rely on: per file, the bytes that were acknowledged, in order."""

    def __init__(self, calls: Planted) -> None:
        self.calls = calls
        self.disk = RealDisk(calls)
        self.acknowledged: dict[str, bytes] = {}
        self.failures = 0

    async def try_(self, operation: Callable[[], Awaitable[object]]) -> None:
        """Do it; a fault is an OSError, and nothing else is."""
        try:
            await operation()
        except OSError:
            self.failures += 1

    async def open(self, path: str) -> File:
        """Open *path*, again if a fault hits: what is acknowledged is there, and nothing besides."""
        try:
            file = await self.disk.open(path)
        except OSError:
            self.failures += 1
            file = await self.disk.open(path)  # there is one fault in a run
        self.acknowledged.setdefault(path, b"")
        return file

    async def append(self, path: str, file: File, data: bytes) -> None:
        before = self.acknowledged[path]
        end = await self.disk.append(file, data)
        assert end == len(before) + len(data) == file.size
        self.acknowledged[path] = before + data

    async def rename(self, src: str, dst: str) -> None:
        await self.disk.rename(src, dst)
        self.acknowledged[dst] = self.acknowledged.pop(src)


async def story(model: Model) -> None:
    """A bit of everything; each step goes on after a fault as a user would."""
    a = await model.open(A)
    for n in range(3):
        await model.try_(lambda n=n: model.append(A, a, b"a%d" % n * 30))  # type: ignore[misc]
    await model.try_(lambda: model.disk.sync(a))
    b = await model.open(B)
    await model.try_(lambda: model.append(B, b, b"b" * 100))
    await model.try_(lambda: model.disk.close(a))
    again = await model.open(A)
    await model.try_(lambda: model.append(A, again, b"again"))
    await model.try_(lambda: model.disk.close(again))


def calls_of_a_story() -> int:
    """How many calls the story makes when nothing fails."""
    calls = Planted()
    trio.run(story, Model(calls))
    return len(calls.calls)


def nothing_lost(calls: Planted, acknowledged: dict[str, bytes]) -> None:
    """A disk on what is left of *calls* finds what was acknowledged."""

    async def look() -> None:
        disk = RealDisk(calls)
        for path, data in acknowledged.items():
            await disk.open(path)
            assert (await disk.read(path)).startswith(data)

    trio.run(look)


@pytest.mark.parametrize("short", [False, True], ids=["fails", "short"])
@pytest.mark.parametrize("nth", range(calls_of_a_story()))
@pytest.mark.parametrize("page", list(Page))
def test_a_fault_at_each_call_loses_nothing_acknowledged(nth: int, short: bool, page: Page) -> None:
    """E3: whichever call fails, and whatever a power cut then leaves of unsynced pages, acknowledged bytes are there.

    And without a power cut, each file holds exactly what was acknowledged once it is opened again.
    """
    calls = Planted(Fault(nth, short=short))
    model = Model(calls)
    trio.run(story, model)
    nothing_lost(calls.power_cut(max, lambda _: page), model.acknowledged)
    nothing_lost(calls.power_cut(min, lambda _: page), model.acknowledged)

    async def reopen() -> None:
        for path, data in model.acknowledged.items():
            file = await model.disk.open(path)
            assert await model.disk.read(path) == data
            assert file.size == len(data)

    trio.run(reopen)


@pytest.mark.parametrize("nth", range(calls_of_a_story()))
@pytest.mark.parametrize("page", list(Page))
@pytest.mark.parametrize("choose_size", [min, max])
def test_a_power_cut_at_each_call_loses_nothing_acknowledged(
    nth: int, page: Page, choose_size: Callable[[int, int], int]
) -> None:
    """E3: the power goes just before a call, whichever it is; what was acknowledged by then is there afterwards."""
    calls = Planted(dies_at=nth)
    model = Model(calls)
    with contextlib.suppress(OSError):  # an open on a dead machine fails for good
        trio.run(story, model)
    nothing_lost(calls.power_cut(choose_size, lambda _: page), model.acknowledged)


def test_the_story_has_faults_to_offer() -> None:
    """The story makes each kind of call that can fail between an open and the next."""
    calls = Planted()
    trio.run(story, Model(calls))

    assert {name for name, _ in calls.calls} == {"open", "fstat", "fsync", "open_directory", "close", "pwrite"}
    assert calls_of_a_story() > 25


@pytest.mark.parametrize("step", [None, "lstat", "replace", "open_directory", "fsync"])
def test_a_rename_is_all_or_nothing(step: str | None) -> None:
    """E2: a rename that returned survives a power cut; after one that failed, there is the old state or the new."""

    async def rename(model: Model) -> None:
        for path in (A, B):
            file = await model.open(path)
            await model.append(path, file, path.encode())
        if step is not None:
            model.calls.faults.add(Fault(model.calls.count(step), step))
        await model.try_(lambda: model.rename(A, B))

    calls = Planted()
    model = Model(calls)
    trio.run(rename, model)
    old, new = {A: b"/d/a", B: b"/d/b"}, {B: b"/d/a"}
    left = calls.power_cut(max, lambda _: Page.OLD).names
    assert {path: bytes(inode.cache) for path, inode in left.items()} == (new if step is None else old)
    running = {path: bytes(inode.cache) for path, inode in calls.names.items()}
    assert running == (old if step in ("lstat", "replace") else new)
    assert model.failures == (step is not None)


faults = st.builds(
    Fault,
    nth=st.integers(2, 12),
    name=st.sampled_from(["pwrite", "fsync", "ftruncate", "close", None]),
    number=st.sampled_from([errno.EIO, errno.ENOSPC]),
    short=st.booleans(),
)


@settings(max_examples=count("disk_examples"))
@given(
    writers=st.lists(st.lists(st.integers(1, 200), min_size=1, max_size=5), min_size=1, max_size=8),
    planned=st.lists(faults, max_size=2),
    dies_at=st.integers(12, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_drawn_crashes_lose_nothing_acknowledged(
    writers: list[list[int]], planned: list[Fault], dies_at: int, seed: int
) -> None:
    """E3: many writers, a few faults, then a power cut: every append that was acknowledged is where it was said to be.

    What is on the disk without being acknowledged stands behind all that is, and a file that nothing failed on is
    exactly as long as what was acknowledged.
    """
    chance = random.Random(seed)
    calls = Planted(*planned, dies_at=dies_at)
    placed: dict[tuple[str, int], bytes] = {}
    failed: set[str] = set()

    async def writer(number: int, sizes: list[int], disk: Disk, files: dict[str, File]) -> None:
        path = (A, B)[number % 2]
        for n, size in enumerate(sizes):
            written = (b"%d.%d;" % (number, n) * math.ceil(size / 4))[:size]
            try:
                end = await disk.append(files[path], written)
            except DiskFailed:
                failed.add(path)
                return
            placed[path, end - size] = written

    async def run() -> None:
        disk = RealDisk(calls)
        files: dict[str, File] = {}
        for path in (A, B):
            try:
                files[path] = await disk.open(path)
            except OSError:
                files[path] = await disk.open(path)
        async with trio.open_nursery() as nursery:
            for number, sizes in enumerate(writers):
                nursery.start_soon(writer, number, sizes, disk, files)

    try:
        trio.run(run)
    except OSError:
        return  # both opens of one file hit a fault: there is no run to look at
    left = calls.power_cut(
        # Not drawn one by one: how many pages there are depends on how the threads of this run met.
        chance.randint,
        lambda page: chance.choice(list(Page)),
    )
    for path in (A, B):
        image = bytes(left.names[path].cache)
        starts = sorted(start for where, start in placed if where == path)
        end = 0
        for start in starts:  # they tile the file from its beginning
            assert start == end
            end = start + len(placed[path, start])
            assert image[start:end] == placed[path, start]
        assert path in failed or len(image) == end
