"""What an idle actor weighs: one never used, and one that has handled a message with a wait in it and is quiet again.

All of it, by `tracemalloc`: the difference that thousands of actors make to what is allocated, so Trio's task, the
coroutine, the contexts and the ref that the program holds are in it.
"""

# Design note
# -----------
# "Quiet" is when the watchdog has let the spare tasks go, some time after the last message. The row runs on a virtual
# clock and waits for that. The clock is Trio's own for tests, which jumps when nothing else runs.

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import attrs
import trio
import trio.testing
from trio.lowlevel import checkpoint

import histrio
from tests.benchmarks.measure import Row, Side

QUIET_AFTER_S = 10.0
KB = 1024


@attrs.frozen
class Fetch:
    """Handled with a wait in the middle."""


class Idle(histrio.Actor[Fetch]):
    """Does nothing until it is told to."""

    @histrio.handler(Fetch)
    async def fetch(self, message: Fetch) -> None:
        await self.io(checkpoint)


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def weigh(use: Callable[[histrio.Ref[Fetch]], None]) -> Side:
    """KB of one of so many actors, each of them used by `use`."""

    async def main(system: histrio.System, items: int) -> float:
        use(await system.spawn(Idle, name="first"))  # whatever is made once is made before
        await trio.sleep(QUIET_AFTER_S)
        before = _allocated()
        refs = [await system.spawn(Idle) for _ in range(items)]
        await trio.sleep(QUIET_AFTER_S)
        for ref in refs:
            use(ref)
        await trio.sleep(QUIET_AFTER_S)
        return (_allocated() - before) / items / KB

    def side(items: int) -> float:
        tracemalloc.start()
        try:
            return histrio.run(main, items, clock=trio.testing.MockClock(autojump_threshold=0))
        finally:
            tracemalloc.stop()

    return side


def _not_at_all(ref: histrio.Ref[Fetch]) -> None:
    assert not ref.control.is_done


def _once(ref: histrio.Ref[Fetch]) -> None:
    ref.tell_nowait(Fetch())


_UNIT = "KB/actor"
_MANY = 2_000
ROWS = (
    Row(
        name="memory of an actor never used",
        unit=_UNIT,
        ours=weigh(_not_at_all),
        limit=4.0,
        higher_is_better=False,
        size=_MANY,
        peer_size=1,
    ),
    Row(
        name="memory of an actor used and quiet",
        unit=_UNIT,
        ours=weigh(_once),
        limit=6.0,
        higher_is_better=False,
        size=_MANY,
        peer_size=1,
    ),
)
