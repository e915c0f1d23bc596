"""What supervision costs: a restart beside a spawn, a monitor beside a tell.

- Restart: one child of a supervisor with 1,000 is killed and is up again, one after the other. The peer: `spawn` of the
  same class below a system with 1,000, and until the new actor waits for its first message. Both wait two rounds of
  Trio's loop, which is enough for either.
- Monitor: each of many actors is monitored by one task, ends, and the task has awaited what the monitor tells; timed is
  all but the end itself: making the monitor, the telling, the await. The peer: `await tell` of one message, until it has
  been handled.
"""

from __future__ import annotations

from typing import Final

import attrs
from trio.lowlevel import checkpoint

import histrio
from tests.benchmarks.measure import Row, Stopwatch

_SIBLINGS: Final = 1_000
_ROUNDS: Final = 2


@attrs.frozen
class Tick:
    """The message."""


class Quiet(histrio.Actor[Tick]):
    """Does nothing with a message."""

    @histrio.handler(Tick)
    async def tick(self, message: Tick) -> None:
        pass


# -- a restart ---------------------------------------------------------------------------------------------------------


def restart(items: int) -> float:
    """Ours: the same child, again and again."""

    async def main(system: histrio.System) -> float:
        children = [histrio.child(f"quiet{index}", Quiet) for index in range(_SIBLINGS)]
        rules = histrio.child("all", histrio.Supervisor, *children, restarts_max=items)
        child = (await system.spawn(rules)).child(children[_SIBLINGS // 2])
        control = child.control
        with Stopwatch() as watch:
            for _ in range(items):
                control.kill()
                for _ in range(_ROUNDS):
                    await checkpoint()
        assert control.inspect().incarnation == items + 1
        return watch.us_per(items)

    return histrio.run(main)


def spawn(items: int) -> float:
    """The peer: new siblings."""

    async def main(system: histrio.System) -> float:
        for _ in range(_SIBLINGS):
            await system.spawn(Quiet)
        with Stopwatch() as watch:
            for _ in range(items):
                await system.spawn(Quiet)
                for _ in range(_ROUNDS):
                    await checkpoint()
        return watch.us_per(items)

    return histrio.run(main)


# -- a monitor ---------------------------------------------------------------------------------------------------------


def monitor(items: int) -> float:
    """Ours: all monitors of one actor."""

    async def main(system: histrio.System) -> float:
        quiet = await system.spawn(Quiet)
        with Stopwatch() as watch:
            downs = [quiet.monitor() for _ in range(items)]
            quiet.control.kill()
            for down in downs:
                await down
        return watch.us_per(items)

    return histrio.run(main)


def tell(items: int) -> float:
    """The peer: the same number of messages to one actor."""

    async def main(system: histrio.System) -> float:
        quiet, tick = await system.spawn(Quiet), Tick()
        with Stopwatch() as watch:
            for _ in range(items):
                await quiet.tell(tick)
            while quiet.control.inspect().queued:
                await checkpoint()
        return watch.us_per(items)

    return histrio.run(main)


ROWS = (
    Row(
        name="restart one child among 1000, beside a spawn",
        unit="us/actor",
        ours=restart,
        peer=spawn,
        budget=2,
        higher_is_better=False,
        size=5_000,
        peer_size=5_000,
    ),
    Row(
        name="a monitor's Down, beside a tell",
        unit="us/each",
        ours=monitor,
        peer=tell,
        budget=3,
        higher_is_better=False,
        size=50_000,
        peer_size=50_000,
    ),
)
