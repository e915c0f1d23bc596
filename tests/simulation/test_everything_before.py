"""D1, D2: what was built before runs in the simulator unchanged: its own tests do, under schedules that are drawn.

The tests are those of virtual time in other folders; see `in_simulation`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.conftest import Show
from tests.effort import count

ROOT: Final = Path(__file__).resolve().parent.parent.parent

QUICK: Final = (
    "tests/actors/test_turn.py",
    "tests/actors/test_select.py",
    "tests/actors/test_io.py",
    "tests/actors/machines",
)
WHOLE: Final = ("tests/actors", "tests/kernel", "tests/machine/shell", "tests/machine/around")

# What does not hold there, with the reason.
LEFT_OUT: Final = {
    "tests/actors/machines/test_owner.py": "mutates from a real thread, which is refused in a simulation",
    "tests/actors/test_cli.py": "starts processes",
    "tests/actors/test_cli_tree.py": "starts processes",
    "tests/actors/supervision/test_wide.py": "measures CPU time",
    "tests/actors/supervision/test_storms.py": "measures CPU time and memory",
    "tests/actors/test_asks_cost.py": "counts steps of Trio's scheduler",
}


@pytest.mark.slow
@pytest.mark.alarm(3_000)
@pytest.mark.parametrize("seed", range(1, 1 + count("simulated_suites")))
def test_the_tests_of_before_pass_in_the_simulator(seed: int, show: Show) -> None:
    """D1: actors, supervisors, processes, machines, timers: their tests pass when the simulator owns every step."""
    quick = count("simulated_suites") == 1
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.simulation.in_simulation", "-p", "no:cacheprovider"]
    command += [f"--ignore={path}" for path in LEFT_OUT] + list(QUICK if quick else WHOLE)

    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "EFFORT": "quick", "SIMULATION_SEED": str(seed)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= (30 if quick else 3_500)
    show(f"D1: {passed[1]} tests of before pass in the simulator, seed {seed}")
