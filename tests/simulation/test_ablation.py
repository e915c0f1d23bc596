"""D1 needs each of its remedies: with one of them switched off, the program made for it differs from run to run."""

import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import pytest
import trio
import trio.testing
from outcome import Value
from tests.effort import count
from tests.simulation.test_repeatable import other_heap

from histrio_kernel.simulation.choices import Fifo
from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.trio_run import REMEDIES

Program = Callable[[], Awaitable[object]]


async def cancel_many() -> None:
    """One scope that is cancelled has many tasks."""
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(trio.sleep_forever, name=f"task {number}")
        await trio.sleep(1)
        nursery.cancel_scope.cancel()


async def wake_many() -> None:
    """Many deadlines are equal."""
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(trio.sleep, 1, name=f"task {number}")


async def wait_for_one_event() -> None:
    """Many tasks wait for it."""
    event = trio.Event()
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(event.wait, name=f"task {number}")
        await trio.sleep(1)
        event.set()


async def wait_until_all_are_blocked() -> None:
    """Many tasks wait for that."""
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(trio.testing.wait_all_tasks_blocked, name=f"task {number}")


class Ring:
    """Part of a cycle, so only a collection frees it."""

    def __init__(self) -> None:
        self.myself = self


async def drop_cycles() -> int:
    """A task waits until Python has collected a cycle; after how many steps that was."""
    collected = trio.Event()
    kept: list[weakref.ref[Ring]] = []
    steps = 0
    while not collected.is_set() and steps < 1_000:
        kept.append(weakref.ref(Ring(), lambda _: collected.set()))
        await trio.lowlevel.checkpoint()
        steps += 1
    return steps


async def leave_generators() -> list[int]:
    """Asynchronous generators are left over, each of which notes when it is closed."""
    closed: list[int] = []

    async def generator(number: int) -> AsyncIterator[int]:
        try:
            yield number
        finally:
            closed.append(number)

    for number in range(8):
        LEFT.append(generator(number))
        await anext(LEFT[-1])
    return closed


LEFT: Final[list[AsyncIterator[int]]] = []
PROGRAMS: Final[dict[str, Program]] = {
    "cancel order": cancel_many,
    "deadline order": wake_many,
    "collection": drop_cycles,
    "event order": wait_for_one_event,
    "generators": leave_generators,
    "idle order": wait_until_all_are_blocked,
}


def runs(program: Program, without: frozenset[str]) -> int:
    """How many different runs there were among so many of one seed."""
    seen: set[object] = set()
    for number in range(count("ablation_runs")):
        kept = other_heap(number)
        gc.collect(0) if number % 2 else None
        ran = Simulation(Fifo(), without=without).run(program)
        assert isinstance(ran.outcome, Value)
        seen.add((ran.trace, repr(ran.outcome.value)))
        LEFT.clear()
        del kept
    return len(seen)


def test_each_remedy_has_its_program() -> None:
    """D1: none is forgotten."""
    assert PROGRAMS.keys() == REMEDIES


@pytest.mark.parametrize("remedy", sorted(REMEDIES))
def test_without_a_remedy_runs_of_one_seed_differ(remedy: str) -> None:
    """D1: so the check that they are the same can fail."""
    assert runs(PROGRAMS[remedy], frozenset({remedy})) > 1


@pytest.mark.parametrize("remedy", sorted(REMEDIES))
def test_with_all_remedies_they_are_the_same(remedy: str) -> None:
    """D1: each of the programs has one run, with all remedies."""
    assert runs(PROGRAMS[remedy], frozenset()) == 1
