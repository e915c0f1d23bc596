"""Group commit: 2000 tasks that append to one file at once, beside a write and an fsync for each record.

Ours: 2000 tasks that are there already, each of which appends five records to the real disk (E3), the next when the one
before is synced. The peer: a loop of `os.write` and `os.fsync`, with no Trio and no threads around it. Wall clock, as the disk does the work; on the disk
of the current directory, because a temporary directory may be memory.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import trio
import trio.testing

from histrio_kernel.real import RealDriver
from tests.benchmarks.measure import Row, Stopwatch, on_disk

WRITERS = 2000
RECORDS_EACH = 5
RECORD = b"a record of 128 bytes".ljust(128, b".")


def group_commit(writers: int) -> float:
    """Ours."""

    async def main(path: Path) -> float:
        async with RealDriver() as driver:
            file = await driver.disk.open(path)
            begin, end = trio.Event(), trio.Event()
            writing = writers

            async def write() -> None:
                nonlocal writing
                await begin.wait()
                for _ in range(RECORDS_EACH):
                    await driver.disk.append(file, RECORD)
                writing -= 1
                if not writing:
                    end.set()

            async with trio.open_nursery() as nursery:
                for _ in range(writers):
                    nursery.start_soon(write)
                await trio.testing.wait_all_tasks_blocked()
                with Stopwatch(time.perf_counter) as watch:
                    begin.set()
                    await end.wait()
            assert file.size == writers * RECORDS_EACH * len(RECORD)
        return watch.us_per(writers * RECORDS_EACH)

    with on_disk() as directory:
        return trio.run(main, Path(directory) / "log")


def one_by_one(records: int) -> float:
    """The peer."""
    with on_disk() as directory:
        file = os.open(Path(directory) / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            with Stopwatch(time.perf_counter) as watch:
                for _ in range(records):
                    os.write(file, RECORD)
                    os.fsync(file)
        finally:
            os.close(file)
    return watch.us_per(records)


ROWS = (
    Row(
        name="group commit, 2000 writers",
        unit="us/record, wall clock",
        ours=group_commit,
        peer=one_by_one,
        budget=10,
        size=WRITERS,
        peer_size=200,
        quick=1,
    ),
)
