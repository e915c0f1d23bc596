"""Handlers that wait, a hundred in flight, beside a nursery task for each message.

Messages come a thousand at a time, without waiting, through an inbox or a memory channel of a thousand, and each
thousand is handled to the end. Ours: an actor with `in_flight_max = 100`, whose handler awaits a promise that a task
outside completes, or `self.io(checkpoint)`. The peer: a task that receives the messages and starts a task for each in
a nursery, behind a `Semaphore(100)` that is acquired before (or with no bound); they await an `Event` that the same
task outside sets, or a checkpoint. That task is woken when a hundred (with no bound: a thousand) wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import trio
from trio.lowlevel import checkpoint

import histrio
from tests.benchmarks.measure import Row, Side, Stopwatch

IN_FLIGHT = 100
ROUND = 1000


@attrs.frozen
class Job:
    """Worked on, with a wait in the middle."""


@attrs.define
class Desk:
    """What is waited for at present, and how many jobs of this round are done."""

    width: int
    open: list[Callable[[], None]] = attrs.field(factory=list[Callable[[], None]])
    full: trio.Event = attrs.field(factory=trio.Event)
    done: int = 0
    round_over: trio.Event = attrs.field(factory=trio.Event)

    def add(self, complete: Callable[[], None]) -> None:
        """One more waits."""
        self.open.append(complete)
        if len(self.open) == self.width:
            self.full.set()

    def finish(self) -> None:
        """One more is done."""
        self.done += 1
        if self.done == ROUND:
            self.done = 0
            self.round_over.set()

    async def complete(self, items: int) -> None:
        """Complete all that is waited for, again and again."""
        for _ in range(items // self.width):
            await self.full.wait()
            self.full = trio.Event()
            waits, self.open = self.open, []
            for complete in waits:
                complete()

    async def rest(self) -> None:
        """Wait for the end of a round."""
        await self.round_over.wait()
        self.round_over = trio.Event()


class Worker(histrio.Actor[Job]):
    """What the actors of this file share."""

    in_flight_max = IN_FLIGHT
    inbox_max = ROUND

    def __init__(self, desk: Desk) -> None:
        self.desk = desk


class Waiting(Worker):
    """Its handler waits for a promise."""

    @histrio.handler(Job)
    async def work(self, message: Job) -> None:
        promise: histrio.Promise[None] = self.promise()
        self.desk.add(partial(promise.set, None))
        await promise
        self.desk.finish()


class Operating(Worker):
    """Its handler waits for an operation."""

    @histrio.handler(Job)
    async def work(self, message: Job) -> None:
        await self.io(checkpoint)
        self.desk.finish()


async def wait_for_event(desk: Desk) -> None:
    """The peer's handler: wait for an event."""
    event = trio.Event()
    desk.add(event.set)
    await event.wait()
    desk.finish()


async def wait_for_checkpoint(desk: Desk) -> None:
    """The peer's handler: a checkpoint."""
    await checkpoint()
    desk.finish()


def ours(cls: Callable[[Desk], histrio.Actor[Job]], *, width: int, completes: bool) -> Side:
    """An actor of `cls`."""

    async def main(system: histrio.System, items: int) -> float:
        desk, job = Desk(width), Job()
        actor = await system.spawn(cls, desk)
        with Stopwatch() as watch:
            async with trio.open_nursery() as nursery:
                if completes:
                    nursery.start_soon(desk.complete, items)
                for _ in range(items // ROUND):
                    for _ in range(ROUND):
                        actor.tell_nowait(job)
                    await desk.rest()
        return watch.us_per(items)

    return lambda items: histrio.run(main, items)


def peer(handle: Callable[[Desk], Awaitable[None]], *, width: int, bounded: bool, completes: bool) -> Side:
    """A task for each message."""

    async def behind(semaphore: trio.Semaphore, desk: Desk) -> None:
        try:
            await handle(desk)
        finally:
            semaphore.release()

    async def receive(mail: trio.MemoryReceiveChannel[Job], desk: Desk) -> None:
        semaphore = trio.Semaphore(IN_FLIGHT)
        async with trio.open_nursery() as nursery:
            async for _ in mail:
                if bounded:
                    await semaphore.acquire()
                    nursery.start_soon(behind, semaphore, desk)
                else:
                    nursery.start_soon(handle, desk)

    async def main(items: int) -> float:
        desk, job = Desk(width), Job()
        post, mail = trio.open_memory_channel[Job](ROUND)
        with Stopwatch() as watch:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive, mail, desk)
                if completes:
                    nursery.start_soon(desk.complete, items)
                for _ in range(items // ROUND):
                    for _ in range(ROUND):
                        post.send_nowait(job)
                    await desk.rest()
                post.close()
        return watch.us_per(items)

    return lambda items: trio.run(main, items)


_UNIT = "us/message"
_MANY = 20_000
ROWS = (
    Row(
        name="100 wait for a future, beside bounded",
        unit=_UNIT,
        ours=ours(Waiting, width=IN_FLIGHT, completes=True),
        peer=peer(wait_for_event, width=IN_FLIGHT, bounded=True, completes=True),
        budget=1.5,
        size=_MANY,
        peer_size=_MANY,
    ),
    Row(
        name="100 wait for a future, beside unbounded",
        unit=_UNIT,
        ours=ours(Waiting, width=IN_FLIGHT, completes=True),
        peer=peer(wait_for_event, width=ROUND, bounded=False, completes=True),
        budget=1.15,
        size=_MANY,
        peer_size=_MANY,
    ),
    Row(
        name="100 in self.io(checkpoint)",
        unit=_UNIT,
        ours=ours(Operating, width=IN_FLIGHT, completes=False),
        peer=peer(wait_for_checkpoint, width=IN_FLIGHT, bounded=True, completes=False),
        budget=1.0,
        size=_MANY,
        peer_size=_MANY,
    ),
)
