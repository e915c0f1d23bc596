"""J2, J7 on real processes: one is killed in the middle of its commits, one is frozen until it is taken for dead, one is
out of room.
"""

# Real time, because the processes are real; nothing here depends on how fast they are.

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from tests.effort import count
from tests.journal.keepers import changed
from tests.journal.owner import TASKS, lines, owner, record

from histrio_kernel.journal.errors import JournalInUse
from histrio_kernel.journal.sqlite import open_sqlite
from histrio_kernel.journal.store import Batch

COMMITS_MAX = 400


def kill(process: subprocess.Popen[str]) -> None:
    """Kill it, and wait until it is dead and not buried: its number is not free."""
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def load_and_kill(path: Path, commits: int) -> dict[int, int]:
    """Kill a process that has said so many commits; what each of its tasks has said last, up to the end."""
    said = dict.fromkeys(range(TASKS), 0)
    with owner(path, "load") as process:
        next_line = lines(process)
        for _ in range(commits):
            number, seq = map(int, next_line().split())
            said[number] = seq
        kill(process)
        for line in (each for each in iter(next_line, "") if each.endswith("\n")):
            number, seq = map(int, line.split())
            said[number] = seq
        return said


@pytest.mark.parametrize("seed", range(count("journal_kills")))
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, seed: int) -> None:
    """J2: every acknowledged batch is there, none is there by half, and the next owner need not wait."""
    path = tmp_path / "journal.db"
    said = load_and_kill(path, random.Random(seed).randint(1, COMMITS_MAX))

    async with open_sqlite(path, lease_s=1_000) as journal:
        for number, seq in said.items():
            records, others = await journal.records(f"/{number}"), await journal.records(f"/{number}/child")
            assert seq <= len(records) <= seq + 1
            assert len(records) == len(others)
            assert [each.payload for each in records] == [b"%d" % each.seq * 200 for each in records]
        await journal.commit(Batch(records=[record("/after", 1)]))
        assert journal.epoch == 2


async def test_who_is_dead_and_not_buried_is_gone(tmp_path: Path) -> None:
    """J7: an owner that was killed and is not waited for yet does not keep the journal."""
    path = tmp_path / "journal.db"
    with owner(path, "wait", lease_s=1_000) as process:
        assert lines(process)() == "ready 1\n"
        with pytest.raises(JournalInUse, match=f"process {process.pid} on "):
            async with open_sqlite(path):
                pass
        kill(process)
        async with open_sqlite(path) as journal:
            assert journal.epoch == 2


@pytest.mark.parametrize("is_given_back", [False, True], ids=["while the other has it", "when the other is gone"])
async def test_a_frozen_owner_writes_nothing_afterwards(tmp_path: Path, is_given_back: bool) -> None:
    """J7: frozen for longer than its lease, a process finds that it is not the owner, before it has written anything."""
    path = tmp_path / "journal.db"
    with owner(path, "wait", lease_s=1_000) as process:
        next_line = lines(process)
        assert next_line() == "ready 1\n"
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(JournalInUse):
            async with open_sqlite(path):
                pass
        changed(path, "UPDATE owner SET expires = 1")  # a thousand seconds later

        async def is_refused() -> None:
            assert process.stdin is not None
            process.send_signal(signal.SIGCONT)
            process.stdin.write("go on\n")
            process.stdin.flush()
            assert next_line().startswith("LeaseLost ")
            assert next_line().startswith("LeaseLost ")
            assert process.wait() == 0

        async with open_sqlite(path) as journal:
            await journal.commit(Batch(records=[record("/a", 2, b"mine")]))
            if not is_given_back:
                await is_refused()
                await journal.commit(Batch(records=[record("/a", 3)]))
        if is_given_back:
            await is_refused()
    async with open_sqlite(path) as journal:
        assert [each.payload for each in await journal.records("/a")][:2] == [b"x", b"mine"]
        assert journal.epoch == 3


async def test_no_file_may_grow(tmp_path: Path) -> None:
    """J2: at a limit on the size of files the journal fails for good, also when there is room again; nothing is lost."""
    path = tmp_path / "journal.db"
    with owner(path, "fill") as process:
        next_line = lines(process)
        seq, why = next_line().split(maxsplit=1)
        assert int(seq) > 10
        assert "could not be written" in why
        assert next_line() == "still JournalFailed\n"
        assert process.wait() == 0

    async with open_sqlite(path) as journal:
        assert len(await journal.records("/a")) in (int(seq), int(seq) + 1)
