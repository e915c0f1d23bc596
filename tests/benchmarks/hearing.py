"""Signals that nobody hears: a system whose last reader has gone, beside one that never had one.

Both sides tell and ask the counter of the mail benchmarks. A reader that is gone must leave nothing behind: no closed gate,
no lowered limit of an inbox, nothing remembered. (That signals cost next to nothing at all where nobody listens is in the
budgets of the rows of telling and asking.)
"""

from __future__ import annotations

import histrio
from tests.benchmarks.mail import ROOM, Count, Counter, Tick
from tests.benchmarks.measure import Row, Stopwatch

__all__ = ["ROWS"]


def _tells(items: int, *, was_heard: bool) -> float:
    async def main(system: histrio.System) -> float:
        counter = await system.spawn(Counter)
        if was_heard:
            detach = system.listen(lambda signal: None)
            for _ in range(ROOM):
                await counter.tell(Tick())
            await counter.ask(Count())
            detach()
        tick = Tick()
        with Stopwatch() as watch:
            for _ in range(items // ROOM):
                for _ in range(ROOM):
                    counter.tell_nowait(tick)
                await counter.ask(Count())
        return watch.us_per(items)

    return histrio.run(main)


def no_reader_any_more(items: int) -> float:
    """Ours: it was listened to."""
    return _tells(items, was_heard=True)


def never_a_reader(items: int) -> float:
    """The peer: it never was."""
    return _tells(items, was_heard=False)


ROWS = (
    Row(
        name="tell_nowait, after the last reader of signals has gone",
        unit="us/message",
        ours=no_reader_any_more,
        peer=never_a_reader,
        budget=1.03,
        higher_is_better=False,
        size=400_000,
        peer_size=400_000,
    ),
)
