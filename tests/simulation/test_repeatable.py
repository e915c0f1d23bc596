"""D1: one seed gives one trace, byte for byte: in this process, in any other, and with every version of Trio."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.effort import count
from tests.simulation.everything import everything
from tests.simulation.plain_trio import plain_trio

from histrio.testing import explore, simulate
from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.strategies.random_walk import RandomWalk

GOLDEN: Final = Path(__file__).with_name("golden_trace.txt")
HASH_SEEDS: Final = ("0", "1", "2", "random", "random")


def other_heap(seed: int) -> list[object]:
    """Some objects, of which others have been freed again: what is made next lies elsewhere."""
    chance = random.Random(seed)
    made: list[object] = [[object() for _ in range(chance.randrange(9))] for _ in range(chance.randrange(2_000))]
    chance.shuffle(made)
    return made[: len(made) // 2]


def test_one_seed_is_one_trace_wherever_its_objects_lie() -> None:
    """D1: so many runs of one seed in one process, with other objects between them, have one trace and one value."""
    traces: set[bytes] = set()
    values: set[str] = set()
    for number in range(count("same_seed_runs")):
        kept = other_heap(number)
        run = simulate(everything, seed=7)
        traces.add(run.trace)
        values.add(repr(run.value))
        del kept

    assert len(traces) == 1
    assert len(values) == 1


def test_one_seed_is_one_trace_in_every_process() -> None:
    """D1: other processes, whatever their PYTHONHASHSEED, have the same bytes of trace as this one."""
    expected = simulate(everything, seed=7).trace.hex("\n", 32).splitlines()

    for hash_seed in HASH_SEEDS[: count("same_seed_processes")]:
        command = [sys.executable, "-W", "error", "-m", "tests.simulation.everything", "7"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert not ended.stderr
        assert ended.stdout.splitlines() == expected


def test_another_seed_is_another_schedule() -> None:
    """D1: twenty seeds, twenty traces, of runs that all come to their end."""
    assert len({simulate(everything, seed=seed).trace for seed in range(20)}) == 20


def test_the_hash_stands_for_the_trace() -> None:
    """D1: it has sixteen digits, the same for the same trace, and another one for another."""
    one, same, other = (simulate(everything, seed=seed) for seed in (1, 1, 2))

    assert one.trace_hash == same.trace_hash != other.trace_hash
    assert len(one.trace_hash) == 16
    int(one.trace_hash, 16)


def test_the_trace_of_every_version_of_trio_is_the_same() -> None:
    """D1: what is in `golden_trace.txt` was told by another version; .ci/run runs this with the oldest and the newest.

    If the format of the trace has changed: python -m tests.simulation.plain_trio > tests/simulation/golden_trace.txt
    """
    assert Simulation(RandomWalk(5)).run(plain_trio).trace_hash == GOLDEN.read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("strategy", ["random", "pct", "delay", "mix"])
def test_a_search_is_repeatable(strategy: str) -> None:
    """D1: the same search goes through the same schedules, and none of them differs when it is run twice."""
    reports = {str(explore(everything, schedules=5, seed=3, strategy=strategy)) for _ in range(2)}

    assert reports == {"5 schedules, none failed"}
