"""Publishing: a topic with a thousand actors, beside a loop of `tell_nowait` over the same thousand.

Ten rounds are sent, and timed; then the actors count what they got, which is not. The message is one object.
"""

from __future__ import annotations

import attrs
import trio

import histrio
from tests.benchmarks.measure import Row, Stopwatch

ACTORS = 1000
ROUNDS = 10


@attrs.frozen
class Tick:
    """Counted."""


class Counter(histrio.Actor[Tick]):
    """Counts; never waits."""

    seen = 0

    @histrio.handler(Tick)
    async def tick(self, message: Tick) -> None:
        Counter.seen += 1


async def all_counted(messages: int) -> None:
    """Let the actors run until they have counted all."""
    while Counter.seen < messages:
        await trio.lowlevel.checkpoint()


def publish(messages: int) -> float:
    """Ours."""

    async def main(system: histrio.System) -> float:
        topic = histrio.Topic[Tick](system, "ticks")
        for _ in range(ACTORS):
            topic.subscribe(await system.spawn(Counter))
        tick, Counter.seen, watch = Tick(), 0, Stopwatch()
        for done in range(0, messages, ROUNDS * ACTORS):
            with watch:
                for _ in range(ROUNDS):
                    topic.publish_nowait(tick)
            await all_counted(done + ROUNDS * ACTORS)
        return watch.us_per(messages)

    return histrio.run(main)


def tell_each(messages: int) -> float:
    """The peer: the loop that one would write without topics."""

    async def main(system: histrio.System) -> float:
        refs = [await system.spawn(Counter) for _ in range(ACTORS)]
        tick, Counter.seen, watch = Tick(), 0, Stopwatch()
        for done in range(0, messages, ROUNDS * ACTORS):
            with watch:
                for _ in range(ROUNDS):
                    for ref in refs:
                        ref.tell_nowait(tick)
            await all_counted(done + ROUNDS * ACTORS)
        return watch.us_per(messages)

    return histrio.run(main)


ROWS = (
    Row(
        name="topic, fan-out to 1000",
        unit="us/message",
        ours=publish,
        peer=tell_each,
        budget=0.8,
        size=200_000,
        peer_size=200_000,
    ),
)
