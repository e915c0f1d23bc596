"""What a simulated run costs, and a step of one: beside simloom, the simulator of asyncio programs.

simloom needs Python 3.12, so it runs in an environment of its own, made by `uv` when the row is first measured.
"""

# Design note
# -----------
# What is asked for is a rate: 1,000 small runs and 80,000 steps of ten tasks in a second of CPU time, on the machine of
# the design, where one turn of the yardstick `u` takes 37 ns. Elsewhere a second is worth more or less, so these two
# rows are in `u`: at most 1 ms / 37 ns for a run, and 12.5 us / 37 ns for a step.

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache, partial
from pathlib import Path
from typing import Final

import trio

from histrio.testing import World, simulate
from tests.benchmarks.measure import Row, Side, Stopwatch, in_units

__all__ = ["ROWS"]

_ENVIRONMENT: Final = Path(sys.prefix) / "simloom"
_SCRIPT: Final = Path(__file__).with_name("simloom_peer.py")
_VERSIONS: Final = ("3.13", "3.12")
_MINUTES: Final = 24 * 60
U_US: Final = 0.037
"""Microseconds of one turn of the yardstick on the machine of the design."""


async def lost_update(world: World) -> int:
    """Three tasks that read, let others go first, and write; three times each."""
    count = 0

    async def increment() -> None:
        nonlocal count
        for _ in range(3):
            before = count
            await trio.lowlevel.checkpoint()
            count = before + 1

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(increment)
    return count


def small_runs(runs: int) -> None:
    """That, each time with another seed."""
    results = {simulate(lost_update, seed).value for seed in range(runs)}
    assert runs < 10 or len(results) > 1, "the seeds have not led to different schedules"


def us_of_small_runs(runs: int) -> float:
    """What one of them costs, in microseconds."""
    with Stopwatch() as watch:
        small_runs(runs)
    return watch.us_per(runs)


def ten_tasks(steps: int) -> None:
    """Ten tasks that only let each other go first."""
    each = max(1, steps // 10)

    async def main(world: World) -> None:
        async def go() -> None:
            for _ in range(each):
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(go)

    assert simulate(main).steps >= 10 * each


def a_day(days: int) -> float:
    """A day of virtual sleeps of a minute each; in seconds."""

    async def main(world: World) -> None:
        for _ in range(days * _MINUTES):
            await trio.sleep(60)

    with Stopwatch() as watch:
        run = simulate(main)
    assert run.virtual_seconds >= days * _MINUTES * 60
    return watch.seconds / days


def simloom(runs: int) -> float:
    """The same in simloom."""
    command = [_python_of_simloom(), str(_SCRIPT), str(runs)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@cache
def _python_of_simloom() -> str:
    """The Python of an environment that has simloom.

    Raises:
        RuntimeError: there is none and none can be made.
    """
    python = _ENVIRONMENT / "bin" / "python"
    if not python.exists():
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        if uv is None:
            raise RuntimeError("uv makes its environment: make setup")
        interpreter = _newer_python()
        commands = (
            [uv, "venv", "--quiet", "--python", interpreter, str(_ENVIRONMENT)],
            [uv, "pip", "install", "--quiet", "--python", str(python), "simloom>=0.5"],
        )
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                shutil.rmtree(_ENVIRONMENT, ignore_errors=True)
                raise RuntimeError(done.stderr.strip())
    return str(python)


def _newer_python() -> str:
    """A Python that simloom runs on: in the path, or one of pyenv's."""
    for version in _VERSIONS:
        found = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
        if found:
            return str(found[-1])
        on_path = shutil.which(f"python{version}")
        if on_path is not None:
            return on_path
    raise RuntimeError(f"simloom needs Python {' or '.join(_VERSIONS)}, and none is installed")


def _why_not() -> str | None:
    try:
        _python_of_simloom()
    except RuntimeError as error:
        return f"simloom is not there: {error}"
    return None


def _within(name: str, unit: str, ours: Side, limit: float, size: int) -> Row:
    return Row(
        name=f"simulation, {name}", unit=unit, ours=ours, limit=limit, higher_is_better=False, size=size, peer_size=1
    )


ROWS: Final = (
    Row(
        name="simulation, lost update beside simloom",
        unit="us/run",
        ours=us_of_small_runs,
        peer=simloom,
        budget=5,
        size=400,
        peer_size=200,
        why_not=_why_not,
    ),
    _within("a small run", "u/run", partial(in_units, small_runs), 1_000 / U_US, 900),
    _within("a step of 10 tasks", "u/step", partial(in_units, ten_tasks), 12.5 / U_US, 90_000),
    _within("24 h of sleeps", "s/day", a_day, 1, 1),
)
