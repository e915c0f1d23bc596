"""A process that owns a journal, and says on its output what it was told: for tests that kill, freeze or starve it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trio

from histrio_kernel.journal.errors import JournalFailed
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.sqlite import SqliteJournal, open_sqlite
from histrio_kernel.journal.store import Batch
from histrio_kernel.signals import Kind

__all__ = ["TASKS", "lines", "owner", "record"]

TASKS: Final = 8
"""So many tasks commit at once, each to two paths of its own."""


def record(path: str, seq: int, payload: bytes = b"x") -> Record:
    """A record that is like its neighbours."""
    return Record(path, seq, 1, Kind.USE, "", payload, 0.0)


def say(*words: object) -> None:
    """One line, at once; whoever is killed later has said it."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def commit_for_ever(journal: SqliteJournal, number: int) -> None:
    """Say each batch when it is acknowledged."""
    seq = 0
    while True:
        seq += 1
        payload = b"%d" % seq * 200
        await journal.commit(Batch(records=[record(f"/{number}", seq, payload), record(f"/{number}/child", seq)]))
        say(number, seq)


async def load(journal: SqliteJournal) -> None:
    """Many tasks commit until the process is killed."""
    async with trio.open_nursery() as nursery:
        for number in range(TASKS):
            nursery.start_soon(commit_for_ever, journal, number)


async def wait(journal: SqliteJournal) -> None:
    """Commit once, and once more when it is told to; say what became of that."""
    await journal.commit(Batch(records=[record("/a", 1)]))
    say("ready", journal.epoch)
    await trio.to_thread.run_sync(sys.stdin.readline)
    for _ in range(2):
        try:
            await journal.commit(Batch(records=[record("/a", 2)]))
            say("stored")
        except JournalFailed as error:
            say(type(error).__name__, error)


async def fill(journal: SqliteJournal) -> None:
    """Commit until no file may grow any more; say how much was acknowledged, and why it was over."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, resource.RLIM_INFINITY))
    seq = 0
    try:
        while True:
            await journal.commit(Batch(records=[record("/a", seq + 1, bytes(5_000))]))
            seq += 1
    except JournalFailed as error:
        say(seq, error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        await journal.commit(Batch(records=[record("/a", seq + 1)]))
        say("stored")
    except JournalFailed as error:
        say("still", type(error).__name__)


PROGRAMS: Final = {"load": load, "wait": wait, "fill": fill}
ROOT: Final = Path(__file__).resolve().parent.parent.parent


async def main(path: str, name: str, lease_s: str) -> None:
    """Run one of the programs above."""
    async with open_sqlite(path, lease_s=float(lease_s)) as journal:
        await PROGRAMS[name](journal)


@contextmanager
def owner(path: Path, name: str, lease_s: float = 10.0) -> Generator[subprocess.Popen[str]]:
    """A process that runs one of them; it is killed at the end."""
    command = [sys.executable, "-m", "tests.journal.owner", str(path), name, str(lease_s)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str]) -> Callable[[], str]:
    """The next line that it says, each time."""
    assert process.stdout is not None
    return process.stdout.readline


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
