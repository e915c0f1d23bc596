"""J7: a journal has one owner, who is fenced off when another one has taken it over."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio
from tests.journal.keepers import changed
from tests.journal.owner import record

from histrio_kernel.journal import lease
from histrio_kernel.journal.errors import JournalInUse, LeaseLost, SeqConflict
from histrio_kernel.journal.lease import Owner, _began, _this_boot
from histrio_kernel.journal.sqlite import SqliteJournal, open_sqlite
from histrio_kernel.journal.store import Batch

LATER = 1e11
"""A time that no test lives to see."""


async def opens(path: Path) -> int:
    """Open it, and close it; which owner that was."""
    async with open_sqlite(path) as journal:
        return journal.epoch


def owned(path: Path, **columns: object) -> None:
    """Say that somebody owns it."""
    sets = ", ".join(f"{name} = ?" for name in columns)
    changed(path, f"UPDATE owner SET {sets}", *columns.values())


needs_proc = pytest.mark.skipif(not _this_boot(), reason="there is no /proc to ask about processes")


async def test_one_owner_at_a_time(tmp_path: Path) -> None:
    """J7: a second opening is refused while the first lasts, and has the journal at once afterwards; each is counted."""
    path = tmp_path / "journal.db"
    async with open_sqlite(path) as journal:
        assert journal.epoch == 1
        with pytest.raises(JournalInUse, match="this process already"):
            await opens(path)
        await journal.commit(Batch(records=[record("/a", 1)]))
    assert changed(path, "SELECT epoch, token, expires FROM owner") == [(1, "", 0.0)]
    assert await opens(path) == 2
    assert await opens(path) == 3


READ_AND_CLOSE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM records").fetchone())
connection.close()
"""


def read_elsewhere(path: Path) -> str:
    """What another process reads; who closes a journal last, as far as SQLite can see, removes its log."""
    command = [sys.executable, "-c", READ_AND_CLOSE, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def test_a_second_opening_does_not_take_the_locks_of_the_first(tmp_path: Path) -> None:
    """J7: to look into a file and close it would lose this process's locks, and a tool would then remove the log."""
    path = tmp_path / "journal.db"
    async with open_sqlite(path) as journal:
        await journal.commit(Batch(records=[record("/a", 1)]))
        with pytest.raises(JournalInUse):
            await opens(path)
        async with open_sqlite(path, readonly=True):
            pass
        assert read_elsewhere(path) == "(1,)\n"
        assert f"{path.name}-wal" in os.listdir(tmp_path)
        await journal.commit(Batch(records=[record("/a", 2)]))
    assert read_elsewhere(path) == "(2,)\n"


async def test_somebody_elsewhere_has_it_until_it_expires(tmp_path: Path) -> None:
    """J7: of another machine nobody can tell whether its process lives; the error says who it is, and until when."""
    path = tmp_path / "journal.db"
    await opens(path)
    owned(path, host="elsewhere", boot="another", pid=os.getpid(), started="1", token="t", expires=LATER)

    with pytest.raises(JournalInUse, match=r"process \d+ on elsewhere, until 5138-"):
        await opens(path)

    owned(path, expires=time.time() - 1)
    assert await opens(path) == 2


@needs_proc
@pytest.mark.parametrize(
    ("pid", "started", "is_gone"),
    [
        (os.getppid(), _began(os.getppid()), False),
        (os.getppid(), "1", True),
        (2**22 + 1, "1", True),
    ],
    ids=["it lives", "its number is somebody else's", "its number is free"],
)
async def test_an_owner_that_is_certainly_gone_is_not_waited_for(
    tmp_path: Path, pid: int, started: str, is_gone: bool
) -> None:
    """J7: under the same boot its number tells; under another one it does not, because numbers are given anew."""
    path = tmp_path / "journal.db"
    await opens(path)
    owned(path, host="here", boot=_this_boot(), pid=pid, started=started, token="t", expires=LATER)
    if is_gone:
        assert await opens(path) == 2
    else:
        with pytest.raises(JournalInUse, match=f"process {pid} on here"):
            await opens(path)

    owned(path, host="here", boot=f"{_this_boot()}!", pid=pid, started=started, token="t", expires=LATER)
    with pytest.raises(JournalInUse):
        await opens(path)


@needs_proc
async def test_what_this_process_has_left_behind(tmp_path: Path) -> None:
    """J7: a lease of our own that no open journal has is over: its journal failed, and could not give it back."""
    path = tmp_path / "journal.db"
    async with open_sqlite(path):
        (row,) = changed(path, "SELECT epoch, host, boot, pid, started, token, expires FROM owner")
    mine = Owner(*row)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    owned(path, host=mine.host, boot=mine.boot, pid=mine.pid, started=mine.started, token=mine.token, expires=LATER)

    assert await opens(path) == 2


def test_without_proc_nobody_is_certainly_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """J7: where processes cannot be asked about, a lease is waited for."""
    monkeypatch.setattr(lease, "_PROC", Path("/nowhere"))

    assert _this_boot() == ""
    assert not Owner(1, "here", "", 2**22 + 1, "1", "t", LATER).is_gone()
    assert Owner(1, "", "", 0, "", "", 0.0).is_gone()  # nobody was ever there, or it was given back


async def test_who_was_taken_over_writes_nothing(tmp_path: Path) -> None:
    """J7: the epoch is compared in the transaction of each write; all that wait are told, and nothing is stored."""
    path = tmp_path / "journal.db"
    lost: list[int] = []

    async with open_sqlite(path) as journal:

        async def commit(number: int) -> None:
            with pytest.raises(LeaseLost, match="elsewhere"):
                await journal.commit(Batch(records=[record(f"/{number}", 1)]))
            lost.append(number)

        await journal.commit(Batch(records=[record("/a", 1)]))
        owned(path, epoch=2, host="elsewhere", boot="another", pid=7, started="1", token="t", expires=LATER)
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(commit, number)
        assert len(lost) == 20
        owned(path, epoch=1)
        with pytest.raises(LeaseLost):  # for good, whatever the row says later
            await journal.commit(Batch(records=[record("/b", 1)]))
        owned(path, epoch=2)

    assert changed(path, "SELECT epoch, host, token, expires FROM owner") == [(2, "elsewhere", "t", LATER)]
    assert changed(path, "SELECT path FROM records") == [("/a",)]


async def test_a_late_owner_that_nobody_has_taken_over_goes_on(tmp_path: Path) -> None:
    """J7: a lease that is over is renewed by the next write if nobody else is there."""
    path = tmp_path / "journal.db"
    async with open_sqlite(path, lease_s=1_000) as journal:
        owned(path, expires=1.0)
        journal._lease.renewed = 0.0  # type: ignore[union-attr] # pyright: ignore[reportOptionalMemberAccess]
        await journal.commit(Batch(records=[record("/a", 1)]))
        ((expires,),) = changed(path, "SELECT expires FROM owner")
        assert isinstance(expires, float)
        assert expires > time.time() + 900


async def test_a_group_that_is_rolled_back_does_not_count_as_a_renewal(tmp_path: Path) -> None:
    """J7: what a group has renewed that was refused, and is stored one by one, is renewed by that; the file has it."""
    path = tmp_path / "journal.db"
    refused: list[SeqConflict] = []

    async def conflict(journal: SqliteJournal) -> None:
        try:
            await journal.commit(Batch(records=[record("/b", 7)]))
        except SeqConflict as error:
            refused.append(error)

    async with open_sqlite(path, lease_s=1_000) as journal:
        lease = journal._lease
        assert lease is not None
        owned(path, expires=1.0)
        lease.renewed = 0.0
        before = journal.statistics().groups
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.commit, Batch(records=[record("/a", 1)]))
            nursery.start_soon(conflict, journal)
        assert journal.statistics().groups == before + 1, "they were no group"
        assert len(refused) == 1
        assert changed(path, "SELECT expires FROM owner") == [(lease.renewed + 1_000,)]
        assert not lease.is_due


async def test_the_lease_is_renewed_while_the_loop_is_held(tmp_path: Path) -> None:
    """J7: an actor that computes for long does not lose the journal: the writer's own thread renews it."""
    path = tmp_path / "journal.db"
    async with open_sqlite(path, lease_s=0.3):
        first = changed(path, "SELECT expires FROM owner")
        while changed(path, "SELECT expires FROM owner") == first:
            time.sleep(0.01)  # noqa: ASYNC251 - that is what is tested
        with pytest.raises(JournalInUse):
            await opens(path)


async def test_a_lease_that_is_renewed_too_late_is_lost_without_a_write(tmp_path: Path) -> None:
    """J7: also who only waits learns of it: the next commit is refused, although the row fits again by then."""
    path = tmp_path / "journal.db"
    async with open_sqlite(path, lease_s=0.15) as journal:
        owned(path, epoch=7)
        while journal._failure is None:  # noqa: ASYNC110 - it happens in the writer's thread, which has no event of ours
            await trio.sleep(0.01)
        assert isinstance(journal._failure, LeaseLost)
        owned(path, epoch=1)
        with pytest.raises(LeaseLost):
            await journal.commit(Batch(records=[record("/a", 1)]))


@pytest.mark.parametrize("lease_s", [0, -1.0, float("nan")])
async def test_a_lease_of_no_time(tmp_path: Path, lease_s: float) -> None:
    """J7: it would be over before it begins."""
    with pytest.raises(ValueError, match="lease_s is more than 0"):
        open_sqlite(tmp_path / "journal.db", lease_s=lease_s)
