"""A pytest plugin that runs tests of virtual time in the simulator: `pytest -p tests.simulation.in_simulation`.

Every `trio.run` on a `MockClock` becomes a simulated run in which each step is drawn from SIMULATION_SEED. Time moves
only when nothing else can happen, as it does on a clock that jumps; so a test that holds under every schedule holds here.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Final

import pytest_trio.plugin  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
import trio
from trio.testing import MockClock

from histrio_kernel.simulation.choices import CLOCK
from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.strategies.random_walk import RandomWalk, run_seed

SEED: Final = int(os.environ.get("SIMULATION_SEED", "0"))
STEPS_MAX: Final = 1_000_000

_runs: Final = count()
_real: Final[Callable[..., Any]] = trio.run


class _Patient:
    """Draws who goes on; the clock waits."""

    def __init__(self, seed: int) -> None:
        self._walk: Final = RandomWalk(seed)

    def pick(self, options: Sequence[int]) -> int:
        """Any but the clock."""
        tasks = options[:-1] if options[-1] == CLOCK else options
        return self._walk.pick(tasks) if len(tasks) > 1 else 0

    def decide(self, ways: int) -> int:
        """No fault."""
        return 0


def _run(
    async_fn: Callable[..., Awaitable[object]], *args: object, clock: trio.abc.Clock | None = None, **named: Any
) -> object:
    """Instead of `trio.run`."""
    if trio.lowlevel.in_trio_run() or type(clock) is not MockClock or named.get("instruments"):
        return _real(async_fn, *args, clock=clock, **named)
    simulation = Simulation(_Patient(run_seed(SEED, next(_runs))), SEED, steps_max=STEPS_MAX)
    clock.current_time = lambda: simulation.clock.now  # type: ignore[method-assign]  # tests read it
    return simulation.run(lambda: async_fn(*args)).outcome.unwrap()


trio.run = _run  # type: ignore[assignment]
for _name in [name for name, value in vars(pytest_trio.plugin).items() if value is _real]:
    setattr(pytest_trio.plugin, _name, _run)
