"""`both` and `either` of two futures that are pending, beside the same by a nursery of two tasks.

Both sides wait in a plain Trio task, one pair after the other, and what they wait for is made before and not timed.
Ours: two promises of an actor, one combinator and one await. The peer: a nursery with a task for each of two boxes
with an `Event`; for `either` the task that is done first cancels the nursery. On both sides, when both operands are
waited for, a task outside is woken, once for each pair, and completes both (for `either`: the left one).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar

import attrs
import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

import histrio
from tests.benchmarks.measure import Row, Side, Stopwatch

T = TypeVar("T")

BATCH = 500
"""How many pairs are made at a time."""


class Completer:
    """A task that completes what it is given."""

    def __init__(self) -> None:
        self._task: Task | None = None
        self._completions: tuple[Callable[[], None], ...] = ()

    def give(self, *completions: Callable[[], None]) -> None:
        """Call these in the next round of the scheduler."""
        assert self._task is not None
        self._completions = completions
        reschedule(self._task)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        self._task = current_task()
        task_status.started()
        while True:
            await wait_task_rescheduled(lambda _: Abort.SUCCEEDED)
            for complete in self._completions:
                complete()


Wait = Callable[[T, T, Completer], Awaitable[None]]
"""Waits for a pair, which the completer completes."""


@attrs.frozen
class Make(histrio.Request[list["histrio.Promise[int]"]]):
    """Make so many promises."""

    number: int


class Maker(histrio.Actor[Make]):
    """Makes promises for others."""

    @histrio.handler(Make)
    async def make(self, message: Make) -> list[histrio.Promise[int]]:
        return [self.promise() for _ in range(message.number)]


async def both(left: histrio.Promise[int], right: histrio.Promise[int], completer: Completer) -> None:
    """Ours."""
    pair = histrio.both(left, right)
    completer.give(partial(left.set, 1), partial(right.set, 2))
    assert await pair == (1, 2)


async def either(left: histrio.Promise[int], right: histrio.Promise[int], completer: Completer) -> None:
    """Ours."""
    pair = histrio.either(left, right)
    completer.give(partial(left.set, 1))
    winner = await pair
    assert isinstance(winner, histrio.Left)
    assert winner.value == 1


@attrs.define
class Box:
    """The peer's future."""

    over: trio.Event = attrs.field(factory=trio.Event)
    value: int = 0

    def set(self, value: int) -> None:
        """Complete it."""
        self.value = value
        self.over.set()


async def both_by_nursery(left: Box, right: Box, completer: Completer) -> None:
    """The peer: a task for each."""
    waited_for = 0

    async def wait(box: Box) -> None:
        nonlocal waited_for
        waited_for += 1
        if waited_for == 2:
            completer.give(partial(left.set, 1), partial(right.set, 2))
        await box.over.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, left)
        nursery.start_soon(wait, right)
    assert (left.value, right.value) == (1, 2)


async def either_by_nursery(left: Box, right: Box, completer: Completer) -> None:
    """The peer: a task for each, and the first cancels the other."""
    waited_for = 0
    winner: Box | None = None

    async def wait(box: Box, nursery: trio.Nursery) -> None:
        nonlocal waited_for, winner
        waited_for += 1
        if waited_for == 2:
            completer.give(partial(left.set, 1))
        await box.over.wait()
        winner = box
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, left, nursery)
        nursery.start_soon(wait, right, nursery)
    assert winner is left
    assert left.value == 1


async def _time(pairs: Iterable[tuple[T, T]], wait: Wait[T], completer: Completer, watch: Stopwatch) -> None:
    with watch:
        for left, right in pairs:
            await wait(left, right, completer)


def ours(wait: Wait[histrio.Promise[int]]) -> Side:
    """With promises of an actor."""

    async def main(items: int) -> float:
        completer, watch = Completer(), Stopwatch()
        async with trio.open_nursery() as nursery, histrio.open_system() as system:
            await nursery.start(completer.run)
            maker = await system.spawn(Maker)
            for _ in range(items // BATCH):
                promises = await maker.ask(Make(2 * BATCH))
                await _time(zip(promises[::2], promises[1::2], strict=True), wait, completer, watch)
            nursery.cancel_scope.cancel()
        return watch.us_per(items)

    return lambda items: trio.run(main, items)


def peer(wait: Wait[Box]) -> Side:
    """With boxes."""

    async def main(items: int) -> float:
        completer, watch = Completer(), Stopwatch()
        async with trio.open_nursery() as nursery:
            await nursery.start(completer.run)
            for _ in range(items // BATCH):
                boxes = [Box() for _ in range(2 * BATCH)]
                await _time(zip(boxes[::2], boxes[1::2], strict=True), wait, completer, watch)
            nursery.cancel_scope.cancel()
        return watch.us_per(items)

    return lambda items: trio.run(main, items)


_UNIT = "us/pair"
_MANY = 15_000
ROWS = (
    Row(name="both", unit=_UNIT, ours=ours(both), peer=peer(both_by_nursery), budget=3, size=_MANY, peer_size=_MANY),
    Row(
        name="either",
        unit=_UNIT,
        ours=ours(either),
        peer=peer(either_by_nursery),
        budget=5,
        size=_MANY,
        peer_size=_MANY,
    ),
)
