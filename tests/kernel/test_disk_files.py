"""E2, E3: the files of a disk as handles: who owns one, what opening and closing promise, and what misuse gets."""

import os
from pathlib import Path

import pytest
import trio
from tests.kernel.planted import Fault, Gated, Planted
from tests.kernel.slow_disk import Asker, behind_a_slow_sync
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from histrio_kernel.driver import DiskFailed, FileRefused
from histrio_kernel.real.disk import DISK_APPEND_BYTES_MAX, DiskStatistics, RealDisk

A, B = "/d/a", "/d/b"


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
    assert disk.statistics() == DiskStatistics(waiting=0, files_open=0, files_refused=0)


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


async def test_every_operation_is_a_checkpoint(tmp_path: Path) -> None:
    """E2: each operation of the disk lets other tasks run and looks for cancellation."""
    disk = RealDisk()
    with assert_checkpoints():
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
        with assert_checkpoints():
            await operation()
    assert os.listdir(tmp_path) == []
