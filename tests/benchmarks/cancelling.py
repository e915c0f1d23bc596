"""What it costs to cancel one of 8,000 standing waits, beside one of 500.

Three kinds: tasks that all wait for one promise; tasks that each wait for an ask in the inbox of a busy actor; futures
of operations that queue for a place, cancelled from the last to the first. All are cancelled, and the time is taken
until the last has gone. Both sides do the same, as often in all: 8,000 at once, or 500 again and again. If cancelling
one looked through the others, one of 8,000 would cost sixteen times as much.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio
from trio.lowlevel import checkpoint

import histrio
from tests.benchmarks.measure import Row, Side, Stopwatch

FEW = 500
MANY = 8_000


class Promise(histrio.Request[histrio.Future[None]]):
    """Give out a promise."""


class Hold(histrio.Request[None]):
    """Hold the turn, for ever."""


@attrs.frozen
class Operate(histrio.Request[None]):
    """Start so many operations, and cancel them."""

    number: int
    watch: Stopwatch


class Host(histrio.Actor[Promise | Hold | Operate]):
    """Owns what is waited for."""

    inbox_max = MANY + 1
    io_max = 1

    @histrio.handler(Promise)
    async def promise_one(self, message: Promise) -> histrio.Future[None]:
        promised: histrio.Promise[None] = self.promise()
        return promised

    @histrio.handler(Hold)
    async def hold(self, message: Hold) -> None:
        await trio.sleep_forever()

    @histrio.handler(Operate)
    async def operate(self, message: Operate) -> None:
        operations = [self.io(trio.sleep_forever) for _ in range(message.number)]
        await checkpoint()
        with message.watch:
            for operation in reversed(operations):
                operation.cancel()


Way = Callable[[histrio.Ref[Promise | Hold | Operate], int, Stopwatch], Awaitable[None]]


async def waits_for_a_promise(host: histrio.Ref[Promise], number: int, watch: Stopwatch) -> None:
    """All wait for the same."""
    promised = await host.ask(Promise())
    await _cancel_tasks(lambda: promised, number, watch)


async def asks(host: histrio.Ref[Hold], number: int, watch: Stopwatch) -> None:
    """Each waits for its own, which is queued behind the first."""
    await host.tell(Hold())
    await checkpoint()
    await _cancel_tasks(lambda: host.ask(Hold()), number, watch)


async def operations(host: histrio.Ref[Operate], number: int, watch: Stopwatch) -> None:
    """One runs, the others queue."""
    await host.ask(Operate(number, watch))


async def _cancel_tasks(make: Callable[[], Awaitable[None]], number: int, watch: Stopwatch) -> None:
    """So many tasks, each of which waits for what `make` gives, are cancelled all at once."""

    async def wait() -> None:
        await make()

    gone = trio.Event()
    tasks = trio.CancelScope()

    async def all_tasks() -> None:
        with tasks:
            async with trio.open_nursery() as nursery:
                for _ in range(number):
                    nursery.start_soon(wait)
        gone.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(all_tasks)
        for _ in range(4):
            await checkpoint()
        with watch:
            tasks.cancel()
            await gone.wait()


def cancelling(way: Way, at_once: int) -> Side:
    """Microseconds for each of so many waits, `at_once` of which stand at a time."""

    async def round_of(system: histrio.System, watch: Stopwatch) -> None:
        host = await system.spawn(Host)
        await way(host, at_once, watch)
        await host.control.kill()

    async def main(system: histrio.System, items: int) -> float:
        watch = Stopwatch()
        for _ in range(items // at_once):
            await round_of(system, watch)
        return watch.us_per(items)

    return lambda items: histrio.run(main, items)


def _row(name: str, way: Way) -> Row:
    return Row(
        name=name,
        unit="us/wait",
        ours=cancelling(way, MANY),
        peer=cancelling(way, FEW),
        budget=1.3,
        higher_is_better=False,
        size=MANY,
        peer_size=MANY,
        quick=1,
    )


ROWS = (
    _row("cancel a wait for a promise, 8000 beside 500", waits_for_a_promise),
    _row("cancel an ask, 8000 beside 500", asks),
    _row("cancel an operation, 8000 beside 500", operations),
)
