"""One program of all that might make two runs of one seed differ; run as a script, it prints its trace.

python -m tests.simulation.everything SEED
"""

import logging
import sys
from collections.abc import AsyncIterator
from typing import Final

import attrs
import trio

import histrio
from histrio import Ref
from histrio.testing import World, simulate


@attrs.frozen
class Divide(histrio.Request[int]):
    """Ten by that; by 0 the worker fails, and is started again."""

    by: int


class Worker(histrio.Actor[Divide]):
    """Fails now and then."""

    @histrio.handler(Divide)
    async def divide(self, message: Divide) -> int:
        await self.io.clock.sleep(0.1)
        return 10 // message.by


@attrs.frozen
class Tick:
    """Time has passed."""


class Clockwork(histrio.Actor[Tick]):
    """Counts ticks, with others at the same moments."""

    def __init__(self) -> None:
        self.ticks = 0

    async def started(self) -> None:
        self.timers.every(1, Tick())

    async def receive(self, message: Tick) -> None:
        self.ticks += 1
        await self.io(trio.lowlevel.checkpoint)


LEFT_OVER: Final[list[AsyncIterator[int]]] = []
"""Generators that the program has not closed when it ends."""


async def numbers(upto: int) -> AsyncIterator[int]:
    """So many, with a wait behind each, and one at the end."""
    try:
        for number in range(upto):
            yield number
            await trio.lowlevel.checkpoint()
    finally:
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()


async def everything(world: World) -> list[str]:
    """Actors, timers, equal deadlines, cancellation, restarts, randomness, a disk, and generators that are left over."""
    seen: list[str] = []
    spec = histrio.child("worker", Worker)
    supervisor = await world.spawn(
        histrio.child("sup", histrio.Supervisor, spec, strategy=histrio.ONE_FOR_ONE, restarts_max=10)
    )
    worker: Ref[Divide] = supervisor.child(spec)
    clockworks = [await world.spawn(Clockwork, name=f"clockwork {number}") for number in range(4)]
    LEFT_OVER[:] = [numbers(3) for _ in range(4)]

    async def asker(by: int) -> None:
        try:
            with trio.move_on_after(0.25):
                seen.append(f"10 // {by} = {await worker.ask(Divide(by))}")
        except (histrio.ActorFailed, histrio.ActorStopped) as error:
            seen.append(f"{by}: {type(error).__name__}")

    async def sleeper(number: int) -> None:
        try:
            await trio.sleep(1)
            await trio.sleep_forever()
        finally:
            seen.append(f"sleeper {number}")

    async with trio.open_nursery() as nursery:
        for by in (1, 0, 2, 0, 5):
            nursery.start_soon(asker, by, name=f"asker {by}")
        for number in range(6):
            nursery.start_soon(sleeper, number, name=f"sleeper {number}")
        seen += [f"number {await anext(generator)}" for generator in LEFT_OVER]
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    file = await world.disk.open("/seen")
    await world.disk.append(file, "\n".join(seen).encode())
    await world.disk.sync(file)
    ticks = [actor.ticks for each in clockworks if isinstance(actor := world.peek(each), Clockwork)]
    return [*seen, f"ticks {ticks}", f"chance {world.simulation.random.random()}"]


if __name__ == "__main__":
    logging.disable()  # what fails is told there
    for line in simulate(everything, int(sys.argv[1])).trace.hex("\n", 32).splitlines():
        print(line)
