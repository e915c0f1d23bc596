"""J5: the counter to ten million is killed, goes on where it was, and leaves as little as it began with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import trio
from tests.conftest import Show
from tests.effort import count
from tests.examples.serving import ENDS_S, ROOT

from histrio_kernel.journal.record import Record
from histrio_kernel.journal.sqlite import open_sqlite

GOAL: Final = 10_000_000
RECORDS_OF_A_LIFE: Final = 3  # its beginning, its wait, and the end of that


def command(path: Path) -> list[str]:
    """So many lives, as the effort says."""
    return [sys.executable, "-m", "examples.counter", str(path), str(GOAL), str(GOAL // count("counter_lives"))]


def kept(path: Path) -> list[Record]:
    """What the journal has of the counter."""

    async def read() -> list[Record]:
        async with open_sqlite(path, readonly=True) as journal:
            return list(await journal.records("/counter"))

    return trio.run(read)


@pytest.mark.slow
def test_it_counts_to_ten_million_whenever_it_is_killed(tmp_path: Path, show: Show) -> None:
    """J5: what is in the journal is not counted again; in the end there are a few records, and as few bytes as before.

    Real time: a process is killed when its journal says that it has come so far.
    """
    path, lives = tmp_path / "counter.db", count("counter_lives")
    ats: list[int] = []
    sizes: list[int] = []
    for part in range(1, 4):
        with subprocess.Popen(command(path), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            ats.append(int(process.stdout.readline().removeprefix("it is at ")))
            while kept(path)[-1].seq < part * lives // 4 * RECORDS_OF_A_LIFE:
                pass
            process.kill()
        assert len(kept(path)) < 10
        sizes.append(path.stat().st_size)

    done = subprocess.run(command(path), cwd=ROOT, capture_output=True, text=True, timeout=60 * ENDS_S, check=True)

    assert done.stdout.splitlines()[-1] == f"it has counted to {GOAL}"
    a_life = GOAL // lives
    assert all(at % a_life == 0 and at >= part * GOAL // 4 - 2 * a_life for part, at in enumerate(ats)), (
        ats
    )  # starts count, too
    assert len(kept(path)) < 10
    assert path.stat().st_size <= max(sizes) + 16_384
    show(f"J5: counted to {GOAL:,} in {lives:,} lives, gone on from {ats}; {path.stat().st_size:,} bytes")
