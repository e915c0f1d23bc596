"""E3 on the real disk: one write and one sync for all that wait, and nothing acknowledged that a crash can take back."""

import errno
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from tests.kernel.planted import Fault, Gated, Planted
from trio.testing import wait_all_tasks_blocked

from histrio_kernel.driver import Disk, DiskFailed, File, FileRefused
from histrio_kernel.real import disk as disk_module
from histrio_kernel.real.disk import DISK_APPEND_BYTES_MAX, DISK_BATCH_BYTES_MAX, DISK_BATCH_RECORDS_MAX, RealDisk

A, B = "/d/a", "/d/b"


@asynccontextmanager
async def behind_a_slow_sync(disk: RealDisk, calls: Gated, file: File) -> AsyncGenerator[trio.Nursery]:
    """While the block runs, an append of b"first" is in its fsync; what the block asks for gathers behind it."""
    async with trio.open_nursery() as nursery:
        calls.shut()
        nursery.start_soon(disk.append, file, b"first")
        await trio.to_thread.run_sync(calls.arrived.acquire)
        try:
            yield nursery
            await wait_all_tasks_blocked()
        finally:
            calls.lift()


class Asker:
    """Appends, and keeps how each append ended: with its end, or with its error."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.ends: dict[bytes, int] = {}
        self.errors: dict[bytes, Exception] = {}

    async def append(self, file: File, data: bytes) -> None:
        try:
            self.ends[data] = await self.disk.append(file, data)
        except (OSError, trio.ClosedResourceError) as error:
            self.errors[data] = error


async def test_an_append_is_in_the_file_when_it_returns(tmp_path: Path) -> None:
    """E3: append answers where its bytes end, in a file of the operating system."""
    disk = RealDisk()
    file = await disk.open(tmp_path / "a")

    assert (file.path, file.size, file.closed) == (tmp_path / "a", 0, False)
    assert await disk.append(file, b"hello ") == 6
    assert await disk.append(file, b"world") == 11
    assert file.size == 11
    assert (tmp_path / "a").read_bytes() == b"hello world"
    assert await disk.read(tmp_path / "a") == b"hello world"
    assert await disk.read(tmp_path / "a", 6) == b"world"
    assert await disk.read(tmp_path / "a", 6, 2) == b"wo"
    assert await disk.read(tmp_path / "a", 11, 5) == b""
    assert await disk.list(tmp_path) == ("a",)
    await disk.aclose()


async def test_files_of_the_system_are_renamed_cut_and_removed(tmp_path: Path) -> None:
    """E2: rename, truncate, remove, list and reopening do on a real file system what they say."""
    disk = RealDisk()
    file = await disk.open(tmp_path / "b")
    await disk.append(file, b"0123456789")
    await disk.truncate(file, 4)
    await disk.rename(tmp_path / "b", tmp_path / "a")
    await disk.append(file, b"x")
    await disk.sync(file)
    other = await disk.open(tmp_path / "c")

    assert file.path == tmp_path / "a"
    assert await disk.list(tmp_path) == ("a", "c")
    assert (tmp_path / "a").read_bytes() == b"0123x"
    await disk.close(other)
    await disk.remove(tmp_path / "c")
    assert await disk.list(tmp_path) == ("a",)
    await disk.close(file)
    assert (await disk.open(tmp_path / "a")).size == 5
    await disk.aclose()
    assert disk.statistics() == disk_module.DiskStatistics(waiting=0, files_open=0, files_refused=0)


async def test_two_hundred_appends_during_a_slow_sync_share_one() -> None:
    """E3: 200 appends that come while a sync is under way cost one more write and one more sync, in order."""
    calls = Gated()
    disk = RealDisk(calls)
    file = await disk.open(A)
    writes, syncs = calls.count("pwrite", A), calls.count("fsync", A)
    asker = Asker(disk)
    data = [b"%03d," % n for n in range(200)]
    async with behind_a_slow_sync(disk, calls, file) as nursery:
        for each in data:
            nursery.start_soon(asker.append, file, each)
            await wait_all_tasks_blocked()
        assert disk.statistics().waiting == 200

    assert calls.count("fsync", A) - syncs == 2
    assert calls.count("pwrite", A) - writes == 2
    assert await disk.read(A) == b"first" + b"".join(data)
    assert asker.ends == {each: 5 + 4 * (n + 1) for n, each in enumerate(data)}


async def test_one_group_may_hold_several_files() -> None:
    """E3: appends to several files ride together, one write and one sync for each, in order per file."""
    calls = Gated()
    disk = RealDisk(calls)
    a, b = await disk.open(A), await disk.open(B)
    before = len(calls.calls)
    async with behind_a_slow_sync(disk, calls, a) as nursery:
        for file, data in ((b, b"1"), (a, b"2"), (b, b"3"), (a, b"4")):
            nursery.start_soon(disk.append, file, data)
            await wait_all_tasks_blocked()

    assert calls.calls[before + 2 :] == [("pwrite", B), ("fsync", B), ("pwrite", A), ("fsync", A)]
    assert await disk.read(A) == b"first24"
    assert await disk.read(B) == b"13"


@pytest.mark.parametrize(
    ("appends", "size", "groups"),
    [
        (DISK_BATCH_RECORDS_MAX + 1, 1, 2),
        (3, DISK_BATCH_BYTES_MAX // 2, 2),
        (2, DISK_BATCH_BYTES_MAX + 1, 2),
    ],
)
async def test_a_group_is_bounded(appends: int, size: int, groups: int) -> None:
    """E3: a group takes appends up to its bounds of number and bytes, and at least one; the others come next."""
    calls = Gated()
    disk = RealDisk(calls)
    file = await disk.open(A)
    before = calls.count("fsync", A)
    async with behind_a_slow_sync(disk, calls, file) as nursery:
        for _ in range(appends):
            nursery.start_soon(disk.append, file, b"x" * size)

    assert calls.count("fsync", A) - before == 1 + groups
    assert file.size == 5 + appends * size


async def test_a_queued_append_that_is_cancelled_is_never_written() -> None:
    """E3: cancelled before its group begins, an append is withdrawn; those around it are written."""
    calls = Gated()
    disk = RealDisk(calls)
    file = await disk.open(A)
    scope = trio.CancelScope()

    async def cancelled() -> None:
        with scope:
            await disk.append(file, b"never")

    async with behind_a_slow_sync(disk, calls, file) as nursery:
        nursery.start_soon(disk.append, file, b"1")
        await wait_all_tasks_blocked()
        nursery.start_soon(cancelled)
        await wait_all_tasks_blocked()
        nursery.start_soon(disk.append, file, b"2")
        await wait_all_tasks_blocked()
        scope.cancel()

    assert scope.cancelled_caught
    assert await disk.read(A) == b"first12"


@pytest.mark.parametrize("fails", [False, True], ids=["written", "failed"])
async def test_a_begun_append_that_is_cancelled_gives_its_true_outcome(fails: bool) -> None:
    """E3: once its group has begun, an append cannot be cancelled: it returns its end, or raises its failure."""
    calls = Gated()
    disk = RealDisk(calls)
    file = await disk.open(A)
    if fails:
        calls.faults.add(Fault(calls.count("fsync"), "fsync"))
    asker = Asker(disk)
    calls.shut()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asker.append, file, b"data")
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(calls.arrived.acquire)
            nursery.cancel_scope.cancel()
            await wait_all_tasks_blocked()
            assert (asker.ends, asker.errors) == ({}, {})
            calls.lift()

    if fails:
        assert isinstance(asker.errors[b"data"], DiskFailed)
    else:
        assert asker.ends == {b"data": 4}
        assert await disk.read(A) == b"data"


async def test_many_cancelled_appends_leave_the_others() -> None:
    """E3: a thousand cancelled waits are withdrawn at once, and one that stays is written alone."""
    calls = Gated()
    disk = RealDisk(calls)
    file = await disk.open(A)
    async with behind_a_slow_sync(disk, calls, file) as nursery:
        async with trio.open_nursery() as doomed:
            for _ in range(1000):
                doomed.start_soon(disk.append, file, b"never")
            await wait_all_tasks_blocked()
            nursery.start_soon(disk.append, file, b"stays")
            await wait_all_tasks_blocked()
            doomed.cancel_scope.cancel()
        assert disk.statistics().waiting == 1

    assert await disk.read(A) == b"firststays"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(0, "pwrite", errno.ENOSPC),
        Fault(0, "pwrite", errno.EIO, short=True),
        Fault(0, "fsync", errno.EIO),
    ],
    ids=["full", "short", "sync"],
)
async def test_a_failure_reaches_everyone_of_the_group_and_everyone_behind(fault: Fault) -> None:
    """E3: a failed write, short write or sync acknowledges nothing, harms no other file, and refuses this one."""
    calls = Gated()
    disk = RealDisk(calls)
    a, b = await disk.open(A), await disk.open(B)
    await disk.append(a, b"kept")
    asker = Asker(disk)
    async with behind_a_slow_sync(disk, calls, b) as nursery:
        # The group of the append b"first" to B is under way: what fails is the next call for A.
        nth = calls.count("pwrite") if fault.name == "pwrite" else calls.count("fsync") + 1
        calls.faults.add(fault._replace(nth=nth))
        for file, data in ((a, b"1"), (a, b"2"), (b, b"3")):
            nursery.start_soon(asker.append, file, data)
            await wait_all_tasks_blocked()
        nursery.start_soon(asker.append, b, b"x" * DISK_BATCH_BYTES_MAX)  # does not fit: what follows is behind
        await wait_all_tasks_blocked()
        nursery.start_soon(asker.append, a, b"behind")

    first, second, behind = (asker.errors[data] for data in (b"1", b"2", b"behind"))
    assert asker.ends == {b"3": 6, b"x" * DISK_BATCH_BYTES_MAX: 6 + DISK_BATCH_BYTES_MAX}
    assert isinstance(first, DiskFailed)
    assert isinstance(second, DiskFailed)
    assert isinstance(behind, FileRefused)
    assert first is not second
    for error in (first, second, behind):
        assert (error.errno, error.filename) == (fault.number, A)
        assert isinstance(error.__cause__, OSError)
        assert A in str(error)
        assert "4 bytes" in str(error)
    syncs = calls.count("fsync", A)
    with pytest.raises(FileRefused, match="Open it again"):
        await disk.append(a, b"later")
    with pytest.raises(FileRefused):
        await disk.sync(a)
    with pytest.raises(FileRefused):
        await disk.truncate(a, 0)
    assert calls.count("fsync", A) == syncs, "a failed sync is never tried again on the same descriptor"
    assert disk.statistics() == disk_module.DiskStatistics(waiting=0, files_open=2, files_refused=1)

    again = await disk.open(A)
    assert again.size == 4
    assert await disk.read(A) == b"kept"
    assert await disk.append(again, b"!") == 5
    assert bytes(calls.names[A].platter) == b"kept!"


@pytest.mark.parametrize("close_first", [True, False])
async def test_the_cut_is_not_forgotten(close_first: bool) -> None:
    """E3: reopening cuts to the last synced length, also if the refused file was closed, also at the second try."""
    calls = Planted()
    disk = RealDisk(calls)
    file = await disk.open(A)
    await disk.append(file, b"synced")
    calls.faults.add(Fault(calls.count("fsync"), "fsync"))
    with pytest.raises(DiskFailed):
        await disk.append(file, b"lost")
    if close_first:
        await disk.close(file)
    assert await disk.read(A) == b"syncedlost"
    calls.faults.add(Fault(calls.count("ftruncate"), "ftruncate"))
    with pytest.raises(DiskFailed, match="cannot open"):
        await disk.open(A)

    assert (await disk.open(A)).size == 6
    assert await disk.read(A) == b"synced"


async def test_a_cut_never_makes_a_file_longer() -> None:
    """E3: if somebody else has shortened a refused file, reopening takes it as it is and puts no zeros there."""
    calls = Planted()
    disk = RealDisk(calls)
    file = await disk.open(A)
    await disk.append(file, b"synced")
    calls.faults.add(Fault(calls.count("fsync"), "fsync"))
    with pytest.raises(DiskFailed):
        await disk.append(file, b"lost")
    del calls.names[A].cache[3:]

    assert (await disk.open(A)).size == 3
    assert await disk.read(A) == b"syn"


async def test_a_failed_cut_is_a_failure() -> None:
    """E3: truncate that fails refuses the file; opened again, it has what is certain."""
    calls = Planted()
    disk = RealDisk(calls)
    file = await disk.open(A)
    await disk.append(file, b"0123456789")
    calls.faults.add(Fault(calls.count("fsync"), "fsync"))
    with pytest.raises(DiskFailed, match="fsync failed"):
        await disk.truncate(file, 4)
    with pytest.raises(FileRefused):
        await disk.append(file, b"x")

    assert (await disk.open(A)).size == 4
    assert await disk.read(A) == b"0123"


async def test_a_bug_in_a_call_is_an_error_to_all() -> None:
    """E3: whatever a write raises, who waits gets an error and the file is refused; nobody is left waiting."""

    class Buggy(Planted):
        def pwrite(self, fd: int, data: bytes, offset: int) -> int:
            raise ZeroDivisionError

    disk = RealDisk(Buggy())
    file = await disk.open(A)
    with pytest.raises(DiskFailed, match="ZeroDivisionError") as caught:
        await disk.append(file, b"x")
    assert caught.value.errno == errno.EIO
    with pytest.raises(FileRefused):
        await disk.append(file, b"x")


async def test_a_file_belongs_to_who_opened_it_last() -> None:
    """E3: an older handle to the same file is refused, so two owners never write side by side."""
    disk = RealDisk(Planted())
    old = await disk.open(A)
    await disk.append(old, b"old")
    new = await disk.open(A)
    assert new.size == 3
    with pytest.raises(FileRefused, match="opened again"):
        await disk.append(old, b"x")
    await disk.close(old)

    assert await disk.append(new, b"new") == 6
    assert await disk.read(A) == b"oldnew"


async def test_an_old_handle_is_refused_by_file_not_by_name(tmp_path: Path) -> None:
    """E3: a link is a second name and no second owner."""
    disk = RealDisk()
    old = await disk.open(tmp_path / "a")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    new = await disk.open(tmp_path / "link")
    with pytest.raises(FileRefused, match="opened again"):
        await disk.append(old, b"x")
    await disk.append(new, b"y")
    assert (tmp_path / "a").read_bytes() == b"y"
    await disk.aclose()


@pytest.mark.parametrize("way", ["rename", "remove"])
async def test_a_file_that_lost_its_name_is_refused(way: str) -> None:
    """E3: after another file took its name, or it was removed, appends to it would be lost, so they are refused."""
    disk = RealDisk(Planted())
    a, b = await disk.open(A), await disk.open(B)
    await disk.append(b, b"b")
    if way == "rename":
        await disk.rename(B, A)
    else:
        await disk.remove(A)
    with pytest.raises(FileRefused, match="replaced" if way == "rename" else "removed"):
        await disk.append(a, b"x")
    await disk.append(b, b"!")
    assert await disk.read(A if way == "rename" else B) == b"b!"


async def test_a_closed_file_takes_nothing() -> None:
    """E2: after close, every use of the handle raises ClosedResourceError; closing twice does nothing."""
    disk = RealDisk(Planted())
    file = await disk.open(A)
    await disk.close(file)
    await disk.close(file)

    assert file.closed
    with pytest.raises(trio.ClosedResourceError, match="/d/a is closed"):
        await disk.append(file, b"x")
    with pytest.raises(trio.ClosedResourceError):
        await disk.sync(file)
    with pytest.raises(trio.ClosedResourceError):
        await disk.truncate(file, 0)


async def test_closing_an_old_handle_leaves_the_new_one_open() -> None:
    """E2: a handle that is closed twice, or after it was superseded, does not close its successor."""
    disk = RealDisk(Planted())
    first = await disk.open(A)
    await disk.close(first)
    second = await disk.open(A)
    await disk.close(first)
    third = await disk.open(A)
    await disk.close(second)

    assert await disk.append(third, b"x") == 1


async def test_close_comes_after_the_appends_before_it() -> None:
    """E2: what changes the disk is done in the order in which it was asked for: appends, close, then refusal."""
    calls = Gated()
    disk = RealDisk(calls)
    file = await disk.open(A)
    asker = Asker(disk)
    async with behind_a_slow_sync(disk, calls, file) as nursery:
        nursery.start_soon(asker.append, file, b"before")
        await wait_all_tasks_blocked()
        nursery.start_soon(disk.close, file)
        await wait_all_tasks_blocked()
        nursery.start_soon(asker.append, file, b"after 1")
        nursery.start_soon(asker.append, file, b"after 2")

    assert asker.ends == {b"before": 11}
    assert [type(error) for error in asker.errors.values()] == [trio.ClosedResourceError] * 2
    assert await disk.read(A) == b"firstbefore"


async def test_opening_syncs_the_file_and_its_directory() -> None:
    """E2: a created file survives a power cut from its opening on; if its name cannot be synced, opening fails."""
    calls = Planted(Fault(1, "fsync"))
    disk = RealDisk(calls)
    with pytest.raises(DiskFailed, match="directory cannot be synced"):
        await disk.open(A)
    assert calls.durable_names == {}
    assert disk.statistics().files_open == 0
    await disk.open(A)

    assert set(calls.durable_names) == {A}
    assert calls.calls[-3:] == [("open_directory", "/d"), ("fsync", "/d"), ("close", "/d")]


async def test_what_was_there_before_is_synced_by_opening() -> None:
    """E2: what an earlier process wrote and did not sync is synced when the file is opened, and counted."""
    calls = Planted()
    calls.names[A] = inode = calls.new_inode()
    inode.cache += b"x" * 100
    inode.dirty = {0, 1}
    file = await RealDisk(calls).open(A)

    assert file.size == 100
    assert bytes(inode.platter) == b"x" * 100


async def test_misuse_is_told() -> None:
    """E2: wrong arguments are refused before anything is written."""
    calls = Planted()
    disk = RealDisk(calls)
    file = await disk.open(A)
    with pytest.raises(TypeError, match=r"append\(file, bytes\(data\)\)"):
        await disk.append(file, bytearray(b"x"))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="DISK_APPEND_BYTES_MAX"):
        await disk.append(file, b"x" * (DISK_APPEND_BYTES_MAX + 1))
    with pytest.raises(ValueError, match="cannot be cut to 1"):
        await disk.truncate(file, 1)
    with pytest.raises(ValueError, match="from 0"):
        await disk.read(A, -1)
    with pytest.raises(TypeError, match="was not opened by this disk"):
        await disk.append(StrangeFile(), b"x")
    assert calls.count("pwrite") == 0
    assert await disk.append(file, b"fine") == 4


class StrangeFile:
    path = Path("strange")
    size = 0
    closed = False


async def test_what_is_not_there_is_pythons_own_error(tmp_path: Path) -> None:
    """E2: a missing file or directory is a FileNotFoundError that names it, and a directory cannot be read."""
    disk = RealDisk()
    missing = tmp_path / "no" / "file"
    for operation in (
        disk.open(missing),
        disk.read(missing),
        disk.list(missing),
        disk.remove(missing),
        disk.rename(missing, tmp_path / "b"),
    ):
        with pytest.raises(FileNotFoundError, match="file"):
            await operation
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        await disk.read(tmp_path)
    assert os.listdir(tmp_path) == []


async def test_reading_does_not_wait_for_the_writer() -> None:
    """E2: read and list answer while a sync is under way."""
    calls = Gated()
    disk = RealDisk(calls)
    file = await disk.open(A)
    async with behind_a_slow_sync(disk, calls, file):
        with trio.fail_after(30):
            assert await disk.read(A) == b"first"
            assert await disk.list("/d") == ("a",)


async def test_one_writer_at_a_time() -> None:
    """E3: calls that change the disk never overlap, whoever asks for them."""

    class Lonely(Planted):
        def __init__(self) -> None:
            super().__init__()
            self.busy = threading.Lock()

        def fsync(self, fd: int) -> None:
            assert self.busy.acquire(blocking=False), "two writers"
            super().fsync(fd)
            self.busy.release()

    calls = Lonely()
    disk = RealDisk(calls)

    async def user(name: int) -> None:
        file = await disk.open(f"/d/{name}")
        for n in range(10):
            await disk.append(file, b"%d" % n)
        await disk.close(file)

    async with trio.open_nursery() as nursery:
        for name in range(20):
            nursery.start_soon(user, name)

    assert {bytes(inode.platter) for inode in calls.names.values()} == {b"0123456789"}


async def test_every_operation_is_a_checkpoint(tmp_path: Path) -> None:
    """E2: each operation of the disk lets other tasks run and looks for cancellation."""
    disk = RealDisk()
    with trio.testing.assert_checkpoints():
        file = await disk.open(tmp_path / "a")
    for operation in (
        lambda: disk.append(file, b"abc"),
        lambda: disk.sync(file),
        lambda: disk.truncate(file, 1),
        lambda: disk.read(tmp_path / "a"),
        lambda: disk.list(tmp_path),
        lambda: disk.rename(tmp_path / "a", tmp_path / "b"),
        lambda: disk.close(file),
        lambda: disk.remove(tmp_path / "b"),
    ):
        with trio.CancelScope() as scope:
            scope.cancel()
            await operation()
        assert scope.cancelled_caught
        with trio.testing.assert_checkpoints():
            await operation()
    assert os.listdir(tmp_path) == []
