"""Telling: an inbox of 1000 and a handler that only counts, beside a memory channel of 1000 and a task that counts.

Ours: `tell_nowait`, a thousand at a time, each thousand closed by an ask that is answered when all have been handled;
and `await tell`, one after the other, closed by such an ask. The peer: `await send` in one task, `await receive` and a
count in another. In asyncio the peer is an `asyncio.Queue` of 1000, `await put` and `await get`, run by asyncio itself.
"""

from __future__ import annotations

import asyncio

import attrs
import trio

import histrio
from tests.benchmarks.measure import Row, Stopwatch

ROOM = 1000


@attrs.frozen
class Tick:
    """Counted."""


class Count(histrio.Request[int]):
    """How many have been counted?"""


class Counter(histrio.Actor[Tick | Count]):
    """Counts; never waits."""

    inbox_max = ROOM

    def __init__(self) -> None:
        self.seen = 0

    @histrio.handler(Tick)
    async def tick(self, message: Tick) -> None:
        self.seen += 1

    @histrio.handler(Count)
    async def count(self, message: Count) -> int:
        return self.seen


class Tally:
    """Where the peers count."""

    def __init__(self) -> None:
        self.seen = 0


def tell_nowait(items: int) -> float:
    """Ours, a thousand at a time."""

    async def main(system: histrio.System) -> float:
        counter = await system.spawn(Counter)
        tick, seen = Tick(), 0
        with Stopwatch() as watch:
            for _ in range(items // ROOM):
                for _ in range(ROOM):
                    counter.tell_nowait(tick)
                seen = await counter.ask(Count())
        assert seen == items
        return watch.us_per(items)

    return histrio.run(main)


def tell(items: int) -> float:
    """Ours, with `await`."""

    async def main(system: histrio.System) -> float:
        counter = await system.spawn(Counter)
        tick = Tick()
        with Stopwatch() as watch:
            for _ in range(items):
                await counter.tell(tick)
            seen = await counter.ask(Count())
        assert seen == items
        return watch.us_per(items)

    return histrio.run(main)


def channel(items: int) -> float:
    """The peer: a memory channel."""
    tally, tick = Tally(), Tick()

    async def main() -> float:
        sender, receiver = trio.open_memory_channel[Tick](ROOM)

        async def consume() -> None:
            for _ in range(items):
                await receiver.receive()
                tally.seen += 1

        with Stopwatch() as watch:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(consume)
                for _ in range(items):
                    await sender.send(tick)
        assert tally.seen == items
        return watch.us_per(items)

    return trio.run(main)


def asyncio_queue(items: int) -> float:
    """The peer of asyncio: its queue, run by itself."""
    tally, tick = Tally(), Tick()

    async def main() -> float:
        queue = asyncio.Queue[Tick](ROOM)

        async def consume() -> None:
            for _ in range(items):
                await queue.get()
                tally.seen += 1

        with Stopwatch() as watch:
            consumer = asyncio.create_task(consume())
            for _ in range(items):
                await queue.put(tick)
            await consumer
        assert tally.seen == items
        return watch.us_per(items)

    return asyncio.run(main())


_UNIT = "us/message"
_MANY = 400_000
ROWS = (
    Row(name="tell_nowait", unit=_UNIT, ours=tell_nowait, peer=channel, budget=12, size=_MANY, peer_size=30_000),
    Row(name="await tell", unit=_UNIT, ours=tell, peer=channel, budget=10, size=_MANY, peer_size=30_000),
    Row(
        name="tell_nowait, beside asyncio",
        unit=_UNIT,
        ours=tell_nowait,
        peer=asyncio_queue,
        budget=1.3,
        size=_MANY,
        peer_size=300_000,
    ),
    Row(
        name="await tell, beside asyncio",
        unit=_UNIT,
        ours=tell,
        peer=asyncio_queue,
        budget=1.15,
        size=_MANY,
        peer_size=300_000,
    ),
)
