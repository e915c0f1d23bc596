"""One message goes round a ring of a thousand, two hundred times.

Ours: actors whose handler tells the next one. The peer: tasks that receive from one memory channel and send into the
next, with room for a message in each. Each hop counts down. Making the ring, and a first lap, are not timed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

import histrio
from tests.benchmarks.measure import Row, Stopwatch

MEMBERS = 1000
LAPS = 200


class Race:
    """Ends when the count of hops has come down to nothing."""

    def __init__(self) -> None:
        self.over = trio.Event()

    async def run(self, laps: int, begin: Callable[[int], Awaitable[None]]) -> None:
        """So many laps, from the first hop to the last."""
        self.over = trio.Event()
        await begin(laps * MEMBERS)
        await self.over.wait()

    async def time(self, laps: int, begin: Callable[[int], Awaitable[None]]) -> float:
        """Microseconds for each hop, after a first lap."""
        await self.run(1, begin)
        with Stopwatch() as watch:
            await self.run(laps, begin)
        return watch.us_per(laps * MEMBERS)


class Member(histrio.Actor[int]):
    """Passes on how many hops are left."""

    def __init__(self, race: Race, ring: list[histrio.Ref[int]], following: int) -> None:
        self.race = race
        self.ring = ring
        self.following = following

    async def receive(self, message: int) -> None:
        if message:
            await self.ring[self.following].tell(message - 1)
        else:
            self.race.over.set()


def actors(laps: int) -> float:
    """Ours."""

    async def main(system: histrio.System) -> float:
        race = Race()
        ring: list[histrio.Ref[int]] = []
        for place in range(MEMBERS):
            ring.append(await system.spawn(Member, race, ring, (place + 1) % MEMBERS))
        return await race.time(laps, ring[0].tell)

    return histrio.run(main)


def channels(laps: int) -> float:
    """The peer."""
    race = Race()
    ring = [trio.open_memory_channel[int](1) for _ in range(MEMBERS)]

    async def member(place: int, following: int) -> None:
        receive, send = ring[place][1].receive, ring[following][0].send
        while True:
            message = await receive()
            if message:
                await send(message - 1)
            else:
                race.over.set()

    async def main() -> float:
        async with trio.open_nursery() as nursery:
            for place in range(MEMBERS):
                nursery.start_soon(member, place, (place + 1) % MEMBERS)
            cost = await race.time(laps, ring[0][0].send)
            nursery.cancel_scope.cancel()
        return cost

    return trio.run(main)


ROWS = (
    Row(
        name="ring of 1000",
        unit="us/hop",
        ours=actors,
        peer=channels,
        budget=1.5,
        size=LAPS,
        peer_size=LAPS,
        quick=0.05,
    ),
)
