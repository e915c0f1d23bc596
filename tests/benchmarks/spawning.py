"""What an actor costs to make, beside a bare Trio task.

Ours: `await system.spawn(Sleeper)`, and until the actor waits for its first message; in the second row also a
`tell_nowait` to each, and until it has been handled. The peer: `nursery.start_soon` of a task that waits for ever, and
until it waits. Ending them is not timed.
"""

from __future__ import annotations

import attrs
import trio
from trio.lowlevel import checkpoint

import histrio
from tests.benchmarks.measure import Row, Stopwatch


@attrs.frozen
class Nudge:
    """The first message."""


@attrs.define
class Count:
    """How many have come so far."""

    number: int = 0


class Sleeper(histrio.Actor[Nudge]):
    """Waits for a message."""

    def __init__(self, nudged: Count) -> None:
        self.nudged = nudged

    @histrio.handler(Nudge)
    async def nudge(self, message: Nudge) -> None:
        self.nudged.number += 1


async def _a_few_rounds() -> None:
    """Let all who are new take their first steps."""
    for _ in range(3):
        await checkpoint()


def spawn(items: int) -> float:
    """Ours: actors that were never used."""

    async def main(system: histrio.System) -> float:
        nudged = Count()
        with Stopwatch() as watch:
            for _ in range(items):
                await system.spawn(Sleeper, nudged)
            await _a_few_rounds()
        return watch.us_per(items)

    return histrio.run(main)


def spawn_and_tell(items: int) -> float:
    """Ours: actors that have handled one message."""

    async def main(system: histrio.System) -> float:
        nudged, first = Count(), Nudge()
        with Stopwatch() as watch:
            refs = [await system.spawn(Sleeper, nudged) for _ in range(items)]
            for ref in refs:
                ref.tell_nowait(first)
            while nudged.number < items:
                await checkpoint()
            await _a_few_rounds()
        return watch.us_per(items)

    return histrio.run(main)


def start_tasks(items: int) -> float:
    """The peer: tasks that wait for ever."""
    begun = Count()

    async def sleeper() -> None:
        begun.number += 1
        await trio.sleep_forever()

    async def main() -> float:
        async with trio.open_nursery() as nursery:
            with Stopwatch() as watch:
                for _ in range(items):
                    nursery.start_soon(sleeper)
                await _a_few_rounds()
            assert begun.number == items
            nursery.cancel_scope.cancel()
        return watch.us_per(items)

    return trio.run(main)


_UNIT = "us/actor"
_MANY = 5_000
ROWS = (
    Row(
        name="spawn",
        unit=_UNIT,
        ours=spawn,
        peer=start_tasks,
        budget=2,
        higher_is_better=False,
        size=_MANY,
        peer_size=_MANY,
    ),
    Row(
        name="spawn and a first message",
        unit=_UNIT,
        ours=spawn_and_tell,
        peer=start_tasks,
        budget=5,
        higher_is_better=False,
        size=_MANY,
        peer_size=_MANY,
    ),
)
