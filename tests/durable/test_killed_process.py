"""S7, J2, J3: a durable process in a real program that is killed: what was seen of it is so afterwards."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest
from tests.conftest import Show
from tests.durable.killed_process import Outputs, Stage
from tests.effort import count
from tests.examples.serving import ENDS_S, ROOT

NAMES: Final = tuple(stage.name for stage in Stage)
PAUSE_S: Final = 0.02
OUTPUTS: Final = repr(Outputs(NAMES, "yes"))


class Trip:
    """The program, on one journal and one world outside.

    Attributes:
        seen: the last state that it has printed, by its number.
        is_answered: whether it has said that the value is in.
    """

    def __init__(self, folder: Path) -> None:
        self.db = folder / "trip.db"
        self.ledger = folder / "ledger"
        self.seen = 0
        self.is_answered = False

    def command(self) -> list[str]:
        """How it is started."""
        arguments = [str(self.db), str(self.ledger), str(PAUSE_S), *(["answered"] if self.is_answered else [])]
        return [sys.executable, "-m", "tests.durable.killed_process", *arguments]

    def reads(self, lines: list[str]) -> None:
        """What one run has printed: no state is before one that was seen, and none is left out while it is watched."""
        states = [Stage[line].value for line in lines if line in NAMES]
        if states:
            assert states == list(range(states[0], states[-1] + 1))
            assert states[0] >= self.seen, f"{Stage(states[0])} after {Stage(self.seen)}"
            self.seen = states[-1]
        self.is_answered = self.is_answered or "answered" in lines

    def killed(self, seconds: float) -> list[str]:
        """Run it, until so long after its first line; what it has printed, or was about to."""
        with subprocess.Popen(self.command(), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(seconds)
            process.kill()
            return [line.rstrip() for line in (first, *process.stdout) if line.endswith("\n")]


@pytest.mark.slow
@pytest.mark.alarm(1_800)
def test_what_was_seen_of_it_is_so_after_a_kill(tmp_path: Path, show: Show) -> None:
    """S7, J2, J3: no state comes before one that was printed, the value is handed over once, each effect keeps its key.

    Real time: a process is killed after some milliseconds, wherever it is then.
    """
    draw = random.Random(7)
    kills = in_the_middle = rounds = 0
    while kills < count("process_kills"):
        rounds += 1
        folder = tmp_path / str(rounds)
        folder.mkdir()
        trip = Trip(folder)
        lines: list[str] = []
        while OUTPUTS not in lines and kills < count("process_kills"):
            lines = trip.killed(draw.random() * 8 * PAUSE_S)
            trip.reads(lines)
            kills += 1
            in_the_middle += OUTPUTS not in lines

        done = subprocess.run(trip.command(), cwd=ROOT, capture_output=True, text=True, timeout=ENDS_S, check=True)
        assert done.stdout.splitlines()[-1] == OUTPUTS
        keys = dict(line.split() for line in trip.ledger.read_text(encoding="utf-8").splitlines())
        assert sorted(keys.values()) == sorted(NAMES)  # an effect that was tried again has the key of before
    show(
        f"S7: {kills} kills of a durable process, {in_the_middle} before its end, in {rounds} lives; nothing seen was lost"
    )
    assert in_the_middle >= min(2, count("process_kills"))
