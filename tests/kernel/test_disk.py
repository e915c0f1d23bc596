"""E3 on the real disk: one write and one sync for all that wait, and nothing acknowledged that a crash can take back."""

import errno
import threading

import pytest
import trio
from tests.kernel.planted import Fault, Gated, Planted
from tests.kernel.slow_disk import Asker, behind_a_slow_sync
from trio.testing import wait_all_tasks_blocked

from histrio_kernel.driver import DiskFailed, FileRefused
from histrio_kernel.real.disk import DISK_BATCH_BYTES_MAX, DISK_BATCH_RECORDS_MAX, DiskStatistics, RealDisk

A, B = "/d/a", "/d/b"


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
        Fault(0, "pwrite", errno.ENOSPC, short=True),
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
    assert disk.statistics() == DiskStatistics(waiting=0, files_open=2, files_refused=1)

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
