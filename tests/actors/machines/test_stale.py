"""A7: `with self.unchanged("field", Download.fetching)` raises `StaleState` if the state has ticked during a wait."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from tests.actors.machines.crew import Do, Work, Worker
from trio.testing import MockClock

import histrio


def change_the_field(worker: Worker) -> None:
    """Another object."""
    worker.field = object()


def change_both(worker: Worker) -> None:
    """The state, and the field in place."""
    worker.states.add(Work.on)
    worker.touch("field")


CHANGES: dict[str, tuple[Callable[[Worker], object], tuple[str, ...]]] = {
    "nothing": (lambda _: None, ()),
    "the state": (lambda w: w.states.add(Work.on), ("on",)),
    "the state, back and forth": (lambda w: (w.states.add(Work.on), w.states.remove(Work.on)), ("on",)),
    "another state": (lambda w: w.states.add(Work.again), ()),
    "the field": (change_the_field, ("field",)),
    "both": (change_both, ("field", "on")),
    "the state, refused": (lambda w: w.states.can_add(Work.on), ()),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_moved_is_named(change: str, autojump_clock: MockClock) -> None:
    """A7: the names of the fields, then of the states; nothing is raised if none of them has moved."""
    do, expected = CHANGES[change]

    async def guarded(worker: Worker) -> tuple[str, ...]:
        try:
            with worker.unchanged("field", Work.on):
                await worker.io(trio.sleep, 2)
        except histrio.StaleState as stale:
            return stale.names
        return ()

    async def change_it(worker: Worker) -> None:
        do(worker)

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker)
        asked = ref.ask(Do(guarded))
        await trio.sleep(1)
        await ref.ask(Do(change_it))

        assert await asked == expected


async def test_a_state_that_a_task_moves(autojump_clock: MockClock) -> None:
    """A7, A17: what moves it need not have the turn."""

    async def task(worker: Worker) -> None:
        await trio.sleep(1)
        worker.states.add(Work.again)

    async def guarded(worker: Worker) -> float:
        worker.states.add(Work.on)
        with pytest.raises(histrio.StaleState, match="again changed"), worker.unchanged(Work.again):
            await worker.io(trio.sleep, 2)
        with worker.unchanged(Work.again):
            await worker.io(trio.sleep, 2)
        return trio.current_time()

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker, task)

        assert await ref.ask(Do(guarded)) == 4


async def test_a_wait_of_the_machine_is_guarded_too(autojump_clock: MockClock) -> None:
    """A7, M6: the transition that ends the wait may be the one that moved what is guarded."""

    async def guarded(worker: Worker) -> tuple[str, ...]:
        try:
            with worker.unchanged(Work.idle):
                await worker.states.when(Work.on)
        except histrio.StaleState as stale:
            return stale.names
        return ()

    async def change_it(worker: Worker) -> None:
        worker.states.add(Work.on)

    async def first(worker: Worker) -> None:
        worker.states.add(Work.again)

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker)
        await ref.ask(Do(first))
        asked = ref.ask(Do(guarded))
        await ref.ask(Do(change_it))

        assert await asked == ("idle",)
