"""Futures cost no task where none is needed (F7)."""

from collections.abc import Awaitable, Callable

import trio
from tests.actors.lab import Do, Lab
from tests.inside import Spawned
from trio.testing import MockClock

import histrio


async def reply(_: Lab) -> str:
    """Answers at once."""
    return "reply"


async def tasks_made_by(work: Callable[[], Awaitable[None]]) -> int:
    """How many tasks *work* makes."""
    spawned = Spawned()
    trio.lowlevel.add_instrument(spawned)
    try:
        await work()
    finally:
        trio.lowlevel.remove_instrument(spawned)
    return spawned.tasks


async def test_asks_and_combinators_cost_no_task(autojump_clock: MockClock) -> None:
    """F7: once an actor runs, asks, pending and done combinators, promises and cancelled awaits make no task."""
    async with histrio.open_system() as system:
        one, two = await system.spawn(Lab), await system.spawn(Lab)

        async def promise(lab: Lab) -> histrio.Promise[int]:
            made: histrio.Promise[int] = lab.promise()
            return made

        async def work() -> None:
            for _ in range(10):
                await one.ask(Do(reply))
                await histrio.both(one.ask(Do(reply)), two.ask(Do(reply)))
                await histrio.either(one.ask(Do(reply)), two.ask(Do(reply)))
                await histrio.all_of(*(one.ask(Do(reply)) for _ in range(10)))
                await histrio.first_of(histrio.either(one.ask(Do(reply)), two.ask(Do(reply))), one.ask(Do(reply)))
                pending = await one.ask(Do(promise))
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await histrio.both(pending, pending)

        await work()  # the actors open their nurseries
        assert await tasks_made_by(work) == 0


async def test_a_handler_that_asks_costs_no_task(autojump_clock: MockClock) -> None:
    """F7: an actor that asks another in each of its handlers uses its workers again."""
    async with histrio.open_system() as system:
        other = await system.spawn(Lab)
        lab = await system.spawn(Lab)

        async def handler(_: Lab) -> str:
            return await other.ask(Do(reply))

        async def work() -> None:
            for _ in range(10):
                await histrio.all_of(*(lab.ask(Do(handler)) for _ in range(20)))

        await work()
        assert await tasks_made_by(work) == 0
