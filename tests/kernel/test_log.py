"""E3: a log on a disk: what was acknowledged comes back, whatever happened to the disk and to the tasks."""

import errno
import logging
import os
import random
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Generic, TypeVar

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.kernel.planted import Fault, Gated, Page, Planted
from trio.testing import wait_all_tasks_blocked

from histrio_kernel.driver import Disk, DiskFailed, File, FilePath, FileRefused
from histrio_kernel.log import LOG_BATCH_BYTES_MAX, LOG_BATCH_RECORDS_MAX, LOG_PAYLOAD_BYTES_MAX, Log, LogCorrupt
from histrio_kernel.log_format import HEADER, MARKER, LogFormat, scan
from histrio_kernel.real.disk import RealDisk

PATH = "/d/log"
T = TypeVar("T")


async def contents(disk: Disk, path: FilePath = PATH) -> list[bytes]:
    """What a log holds."""
    async with await Log.open(disk, path) as log:
        return log.take_recovered()


async def test_a_log_remembers(tmp_path: Path) -> None:
    """E3: what was appended comes back when the log is opened again, on a real file; and it comes back once."""
    disk = RealDisk()
    path = tmp_path / "kv.log"
    async with await Log.open(disk, path) as log:
        assert (log.path, log.size, log.take_recovered()) == (path, len(HEADER), [])
        await log.append(b"one")
        await log.append(b"")
        await log.append(MARKER)
    log = await Log.open(disk, path)

    assert log.recovery.records == 3
    assert (log.recovery.size, log.recovery.cut) == (path.stat().st_size, 0)
    assert log.take_recovered() == [b"one", b"", MARKER]
    assert log.take_recovered() == []
    await disk.aclose()


async def test_appends_of_many_tasks_share_writes_and_keep_their_order() -> None:
    """E3: what gathers behind a slow sync is one write and one sync, and stands in the order of asking."""
    calls = Gated()
    disk = RealDisk(calls)
    log = await Log.open(disk, PATH)
    writes, syncs = calls.count("pwrite", PATH), calls.count("fsync", PATH)
    payloads = [b"%d" % n for n in range(200)]
    async with trio.open_nursery() as nursery:
        calls.shut()
        for payload in payloads:
            nursery.start_soon(log.append, payload)
            await wait_all_tasks_blocked()
        calls.lift()

    assert (calls.count("pwrite", PATH) - writes, calls.count("fsync", PATH) - syncs) == (2, 2)
    found = scan(log.path, await disk.read(PATH))
    assert found.payloads == payloads
    assert found.known_synced < found.end == log.size


@pytest.mark.parametrize(
    ("appends", "size", "groups"), [(LOG_BATCH_RECORDS_MAX + 1, 1, 2), (3, LOG_BATCH_BYTES_MAX // 2, 2)]
)
async def test_a_group_is_bounded(appends: int, size: int, groups: int) -> None:
    """E3: a log hands the disk groups up to its bounds of number and bytes."""
    calls = Planted()
    log = await Log.open(RealDisk(calls), PATH)
    before = calls.count("pwrite")
    async with trio.open_nursery() as nursery:
        for _ in range(appends):
            nursery.start_soon(log.append, b"x" * size)

    assert calls.count("pwrite") - before == groups


async def test_each_group_knows_what_was_synced_before_it() -> None:
    """E3: with a second append acknowledged, a flip in the first is corruption: the file is named and untouched."""
    calls = Planted()
    disk = RealDisk(calls)
    async with await Log.open(disk, PATH) as log:
        await log.append(b"first")
        await log.append(b"second")
    calls.names[PATH].cache[len(HEADER) + 26] ^= 1
    damaged = bytes(calls.names[PATH].cache)
    with pytest.raises(LogCorrupt, match="/d/log, offset 16: the record here cannot be read") as caught:
        await Log.open(disk, PATH)

    assert caught.value.offset == len(HEADER)
    assert bytes(calls.names[PATH].cache) == damaged
    assert disk.statistics().files_open == 0


async def test_a_power_cut_in_a_group_of_several_pages_is_no_corruption() -> None:
    """E3: with the first page of the last group lost and the second kept, the log opens with what was acknowledged."""
    calls = Planted()
    log = await Log.open(RealDisk(calls), PATH)
    await log.append(b"safe")
    calls.dies_at = len(calls.calls) + 1  # the write is made, its sync is not
    async with trio.open_nursery() as nursery:
        for n in range(40):
            nursery.start_soon(fails, log, b"%d" % n)
    first, *others = sorted(calls.names[PATH].dirty)
    assert len(others) > 3
    disk = RealDisk(calls.power_cut(max, lambda page: Page.OLD if page in (first, others[0]) else Page.NEW))
    assert (await disk.read(PATH)).count(MARKER) > 20

    assert await contents(disk) == [b"safe"]


async def fails(log: Log, payload: bytes) -> None:
    """An append that is not acknowledged."""
    with pytest.raises(DiskFailed):
        await log.append(payload)


async def test_a_torn_tail_is_cut_off_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """E3: what stands behind the last good record is cut off durably, told to the logger, and appended over."""
    calls = Planted()
    disk = RealDisk(calls)
    async with await Log.open(disk, PATH) as log:
        await log.append(b"safe")
        size = log.size
    calls.names[PATH].cache += MARKER + b"torn"
    with caplog.at_level(logging.WARNING, "histrio.log"):
        log = await Log.open(disk, PATH)

    assert (log.recovery.records, log.recovery.size, log.recovery.cut) == (1, size, 12)
    assert f"{PATH}: cut off a torn tail of 12 bytes at offset {size}" in caplog.text
    assert len(calls.names[PATH].platter) == size
    await log.append(b"next")
    await log.close()
    assert await contents(disk) == [b"safe", b"next"]


async def test_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    """E3: opening what is no log refuses it, changes nothing, and leaves no file open."""
    (tmp_path / "notes.txt").write_text("dear diary, " * 20)
    disk = RealDisk()
    with pytest.raises(LogFormat, match=r"notes.txt, offset 0: this file is no log"):
        await Log.open(disk, tmp_path / "notes.txt")

    assert (tmp_path / "notes.txt").read_text() == "dear diary, " * 20
    assert disk.statistics().files_open == 0


@pytest.mark.parametrize(
    "fault",
    [Fault(0, "pwrite", errno.ENOSPC), Fault(0, "pwrite", errno.ENOSPC, short=True), Fault(0, "fsync")],
    ids=["full", "short", "sync"],
)
async def test_a_failing_disk_acknowledges_nothing(fault: Fault) -> None:
    """E3: everybody of the group gets the failure, everybody behind is refused; opened again, the log goes on."""
    calls = Gated()
    disk = RealDisk(calls)
    log = await Log.open(disk, PATH)
    await log.append(b"safe")
    outcomes: dict[bytes, Exception] = {}

    async def append(payload: bytes) -> None:
        with pytest.raises(DiskFailed, match=PATH) as caught:
            await log.append(payload)
        assert caught.value.errno == fault.number
        outcomes[payload] = caught.value

    async with trio.open_nursery() as nursery:
        calls.shut()
        calls.faults.add(fault._replace(nth=calls.count(fault.name or "") + 1))
        nursery.start_soon(log.append, b"safe too")  # in its fsync; the next call for the log fails
        if fault.name == "fsync":
            await trio.to_thread.run_sync(calls.arrived.acquire)
        await wait_all_tasks_blocked()
        for payload in (b"1", b"2"):
            nursery.start_soon(append, payload)
            await wait_all_tasks_blocked()
        nursery.start_soon(append, b"x" * LOG_PAYLOAD_BYTES_MAX)
        await wait_all_tasks_blocked()
        calls.lift()

    types = {payload: type(error) for payload, error in outcomes.items()}
    assert types == {b"1": DiskFailed, b"2": DiskFailed, b"x" * LOG_PAYLOAD_BYTES_MAX: FileRefused}
    assert outcomes[b"1"] is not outcomes[b"2"]
    with pytest.raises(FileRefused):
        await log.append(b"later")
    log = await Log.open(disk, PATH)
    assert (log.take_recovered(), log.recovery.cut) == ([b"safe", b"safe too"], 0)
    await log.append(b"again")
    assert await contents(disk) == [b"safe", b"safe too", b"again"]


async def test_a_withdrawn_append_leaves_no_trace() -> None:
    """E3: cancelled in the line, an append is never written, and the records behind it are right for their place."""
    calls = Gated()
    disk = RealDisk(calls)
    log = await Log.open(disk, PATH)
    scope = trio.CancelScope()

    async def cancelled() -> None:
        with scope:
            await log.append(b"never")

    async with trio.open_nursery() as nursery:
        calls.shut()
        nursery.start_soon(log.append, b"1")
        await wait_all_tasks_blocked()
        nursery.start_soon(cancelled)
        await wait_all_tasks_blocked()
        nursery.start_soon(log.append, b"2")
        await wait_all_tasks_blocked()
        scope.cancel()
        await wait_all_tasks_blocked()
        calls.lift()

    assert scope.cancelled_caught
    assert await contents(disk) == [b"1", b"2"]


async def test_a_begun_append_ends_with_its_true_outcome() -> None:
    """E3: cancelled while the disk works on it, an append is waited for, and whoever shared its write is not harmed."""
    calls = Gated()
    disk = RealDisk(calls)
    log = await Log.open(disk, PATH)
    done: list[bytes] = []

    async def append(payload: bytes) -> None:
        await log.append(payload)
        done.append(payload)

    async with trio.open_nursery() as nursery:
        calls.shut()
        async with trio.open_nursery() as doomed:
            doomed.start_soon(append, b"1")
            nursery.start_soon(append, b"2")
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(calls.arrived.acquire)
            doomed.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
            assert done == []
            calls.lift()

    assert sorted(done) == [b"1", b"2"]
    assert sorted(await contents(disk)) == [b"1", b"2"]


async def test_close_comes_after_the_appends_before_it() -> None:
    """E3: closing waits for what was asked for before; afterwards the log refuses, and closing again does nothing."""
    calls = Gated()
    disk = RealDisk(calls)
    log = await Log.open(disk, PATH)
    async with trio.open_nursery() as nursery:
        calls.shut()
        for payload in (b"1", b"2"):
            nursery.start_soon(log.append, payload)
            await wait_all_tasks_blocked()
        nursery.start_soon(log.close)
        await wait_all_tasks_blocked()
        calls.lift()

    with pytest.raises(trio.ClosedResourceError):
        await log.append(b"3")
    await log.close()
    assert await contents(disk) == [b"1", b"2"]


async def test_close_closes_though_cancelled() -> None:
    """E3: a log that is closed in a cancelled scope is closed."""
    disk = RealDisk(Planted())
    log = await Log.open(disk, PATH)
    with trio.CancelScope() as scope:
        scope.cancel()
        await log.close()

    assert disk.statistics().files_open == 0


async def test_opening_that_is_cancelled_leaves_nothing_open() -> None:
    """E3: cancelled at any of its awaits, opening leaves no file open and the log as it was."""
    disk = RealDisk(Planted())
    async with await Log.open(disk, PATH) as log:
        await log.append(b"safe")
    cancelled: list[bool] = []
    for operation in range(5):
        with trio.CancelScope() as scope:
            log = await Log.open(CancelsAt(disk, scope, operation), PATH)
            await log.close()
        cancelled.append(scope.cancelled_caught)
        assert disk.statistics().files_open == 0
        assert await contents(disk) == [b"safe"]

    assert cancelled == [True, True, False, False, False]  # open, read; closing is not cancelled, and there is no more


async def test_a_newer_log_owns_the_file() -> None:
    """E3: a log that was opened again refuses its older self, so the two never write into each other."""
    disk = RealDisk(Planted())
    old = await Log.open(disk, PATH)
    await old.append(b"old")
    new = await Log.open(disk, PATH)
    with pytest.raises(FileRefused, match="opened again"):
        await old.append(b"lost")
    await old.close()
    await new.append(b"new")

    assert new.take_recovered() == [b"old"]
    assert await contents(disk) == [b"old", b"new"]


async def test_misuse_is_told() -> None:
    """E3: a payload that is no bytes, or too many, is refused and nothing is written."""
    disk = RealDisk(Planted())
    log = await Log.open(disk, PATH)
    with pytest.raises(TypeError, match="takes bytes, not str"):
        await log.append("text")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="LOG_PAYLOAD_BYTES_MAX"):
        await log.append(b"x" * (LOG_PAYLOAD_BYTES_MAX + 1))

    assert await contents(disk) == []


async def test_a_log_runs_on_doors_as_well() -> None:
    """E2: a disk whose operations return awaitables that are no coroutines serves a log as the real one does."""
    disk = Doors(RealDisk(Planted()))
    log = await Log.open(disk, PATH)
    await log.append(b"x")
    await log.close()

    assert await contents(disk) == [b"x"]


async def test_a_large_log_is_read_in_pieces(tmp_path: Path) -> None:
    """E3: a log that is larger than one read comes back whole."""
    disk = RealDisk()
    payloads = [os.urandom(1024 * 1024) for _ in range(9)]
    async with await Log.open(disk, tmp_path / "log") as log, trio.open_nursery() as nursery:
        for payload in payloads:
            nursery.start_soon(log.append, payload)

    assert sorted(await contents(disk, tmp_path / "log")) == sorted(payloads)
    await disk.aclose()


faults = st.builds(
    Fault,
    nth=st.integers(2, 20),
    name=st.sampled_from(["pwrite", "fsync", "ftruncate", None]),
    number=st.sampled_from([errno.EIO, errno.ENOSPC]),
    short=st.booleans(),
)


@settings(max_examples=count("disk_examples"))
@given(
    lives=st.lists(st.lists(st.integers(0, 150), max_size=12), min_size=1, max_size=4),
    planned=st.lists(faults, max_size=3),
    seed=st.integers(0, 2**32 - 1),
)
def test_drawn_lives_of_a_log_lose_nothing_acknowledged(
    lives: list[list[int]], planned: list[Fault], seed: int
) -> None:
    """E3: over lives that end in power cuts, with faults in between, every acknowledged payload comes back once.

    What comes back stands in the order of asking, and no damage is ever taken for corruption.
    """
    chance = random.Random(seed)
    calls = Planted(*planned)
    acknowledged: set[bytes] = set()
    asked: list[bytes] = []
    history: list[bytes] = []

    async def append(log: Log, payload: bytes) -> None:
        asked.append(payload)
        try:
            await log.append(payload)
        except DiskFailed:
            return
        acknowledged.add(payload)

    async def live(number: int, sizes: list[int]) -> list[bytes]:
        """Recover, append everything at once, and crash; what was recovered."""
        disk = RealDisk(calls)
        try:
            log = await Log.open(disk, PATH)
        except OSError:
            calls.faults.clear()  # a disk that fails while a log is opened is tried again, healthy
            log = await Log.open(disk, PATH)
        recovered = log.take_recovered()
        calls.dies_at = len(calls.calls) + chance.randint(0, 5)
        async with trio.open_nursery() as nursery:
            for n, size in enumerate(sizes):
                nursery.start_soon(append, log, b"%02d.%02d." % (number, n) + b"x" * size)
        return recovered

    for number, sizes in enumerate([*lives, []]):
        before = set(acknowledged)
        history = trio.run(live, number, sizes)
        assert before <= set(history)
        assert history == [payload for payload in asked if payload in set(history)]
        calls = calls.power_cut(
            # Not drawn one by one: how many pages there are depends on how the threads of this run met.
            chance.randint,
            lambda page: chance.choice(list(Page)),
        )
        calls.faults.update(planned)
    assert acknowledged <= set(history)  # the last life asked for nothing


class Door(Generic[T]):
    """An awaitable that is no coroutine."""

    def __init__(self, operation: Callable[[], Awaitable[T]]) -> None:
        self._operation = operation

    def __await__(self) -> Generator[object, object, T]:
        return self._operation().__await__()


class Doors:
    """A `Disk` that gives doors to another."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def open(self, path: FilePath, /) -> Door[File]:
        return Door(lambda: self._disk.open(path))

    def append(self, file: File, data: bytes, /) -> Door[int]:
        return Door(lambda: self._disk.append(file, data))

    def read(self, path: FilePath, offset: int = 0, length: int | None = None, /) -> Door[bytes]:
        return Door(lambda: self._disk.read(path, offset, length))

    def sync(self, file: File, /) -> Door[None]:
        return Door(lambda: self._disk.sync(file))

    def truncate(self, file: File, size: int, /) -> Door[None]:
        return Door(lambda: self._disk.truncate(file, size))

    def close(self, file: File, /) -> Door[None]:
        return Door(lambda: self._disk.close(file))

    def rename(self, src: FilePath, dst: FilePath, /) -> Door[None]:
        return Door(lambda: self._disk.rename(src, dst))

    def remove(self, path: FilePath, /) -> Door[None]:
        return Door(lambda: self._disk.remove(path))

    def list(self, directory: FilePath, /) -> Door[tuple[str, ...]]:
        return Door(lambda: self._disk.list(directory))


class CancelsAt(Doors):
    """Cancels a scope at the operation of that number, before it is awaited."""

    def __init__(self, disk: Disk, scope: trio.CancelScope, operation: int) -> None:
        super().__init__(disk)
        self._scope = scope
        self._left = operation

    def _count(self) -> None:
        if self._left == 0:
            self._scope.cancel()
        self._left -= 1

    def open(self, path: FilePath, /) -> Door[File]:
        self._count()
        return super().open(path)

    def read(self, path: FilePath, offset: int = 0, length: int | None = None, /) -> Door[bytes]:
        self._count()
        return super().read(path, offset, length)

    def close(self, file: File, /) -> Door[None]:
        self._count()
        return super().close(file)
