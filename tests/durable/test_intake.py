"""A2, J2: what comes to a durable actor while it waits, is paused, is full of handlers, or is to stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
import trio
from tests.durable.worlds import hear_reports, in_virtual_time, open_world

import histrio
from histrio.durable import DurableActor, DurableRef, DurableTree
from histrio_kernel.bounds import bound
from histrio_kernel.combine import Rest
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import Batch
from histrio_kernel.journal.stored import Stored

IN_FLIGHT_MAX = bound("in_flight_max")
INBOX_MAX = bound("inbox_max")


class Sleeper(DurableActor[float], behaviour="intake.sleeper"):
    """Sleeps as long as it is told, any number of times at once."""

    def __init__(self) -> None:
        self.over: list[float] = []

    @histrio.handler(float)
    async def sleep_so_long(self, seconds: float) -> None:
        await self.sleep(seconds)
        self.over.append(seconds)
        if seconds == 0.5:
            self.finish(self.over)


async def spawned(tree: DurableTree) -> tuple[DurableRef[float], histrio.Ref[float]]:
    """A sleeper, and the ref of it that has a control."""
    sleeper = await tree.spawn(Sleeper, name="sleeper")
    ref: histrio.Ref[float] | None = tree.system.ref_at("/sleeper")
    assert ref is not None
    return sleeper, ref


def test_what_ends_while_it_is_paused_is_not_lost() -> None:
    """J2: an outcome that comes while the actor is paused, in a wait or before one, is taken at the latest when it goes on."""

    async def main() -> None:
        stored = Stored()
        async with open_world(stored) as tree:
            sleeper, ref = await spawned(tree)
            await sleeper.tell(1.0)
            await sleeper.tell(2.0)
            await trio.sleep(0.1)
            await ref.control.pause()
            await trio.sleep(5)
            ref.control.resume()
            await trio.sleep(1)
            outcomes = [each for each in stored.read("/sleeper", 0) if each.kind is histrio.Kind.RESOLVED]
            assert len(outcomes) == 2
            await sleeper.tell(0.5)
            assert await sleeper.join() == [1.0, 2.0, 0.5]

    in_virtual_time(main)


def test_as_many_handlers_as_may_be_and_a_full_inbox() -> None:
    """A2: no more messages are taken, and whatever ends makes room for the next; nothing is lost."""
    many = IN_FLIGHT_MAX + INBOX_MAX + 50

    async def main() -> None:
        stored = Stored()
        async with open_world(stored) as tree:
            sleeper, _ = await spawned(tree)
            async with trio.open_nursery() as nursery:
                for number in range(many):
                    nursery.start_soon(sleeper.tell, 1 + number / many)
                await trio.sleep(0.9)
                received = [each for each in stored.read("/sleeper", 0) if each.kind is histrio.Kind.RECEIVE]
                assert len(received) == IN_FLIGHT_MAX
            await trio.sleep(30)
            await sleeper.tell(0.5)
            over = cast("list[float]", await sleeper.join())
            assert len(over) == many + 1

    in_virtual_time(main)


@pytest.mark.parametrize("more", [10, INBOX_MAX])
def test_it_stops_though_it_is_full_of_handlers(more: int) -> None:
    """J2: it does not wait for handlers that wait themselves, and what they left no room for is told, or a dead letter."""

    async def main() -> None:
        async with open_world(Stored()) as tree:
            sleeper, ref = await spawned(tree)
            for _ in range(IN_FLIGHT_MAX + more):
                await sleeper.tell(1_000.0)
            await trio.sleep(1)
            ref.control.stop()
            before = trio.current_time()
            await ref.join()
            assert trio.current_time() - before < 0.1
            assert sum(each.path == "/sleeper" for each in tree.system.dead_letters) == more

    in_virtual_time(main)


def test_a_commit_that_takes_long_is_nobodys_fault() -> None:
    """J2: an actor that waits for its journal is not reported as one that holds its turn."""
    reports: list[histrio.HistrioError] = []

    async def main() -> None:
        async with open_world(Stored()) as tree:
            hear_reports(tree, reports.append)
            real = tree.journal.commit

            async def commit(batch: Batch, rest: Rest | None = None) -> Sequence[Record]:
                await trio.sleep(10)
                return await real(batch, rest)

            tree.journal.commit = commit  # type: ignore[method-assign]
            sleeper, _ = await spawned(tree)
            await sleeper.tell(0.5)
            assert await sleeper.join() == [0.5]

    in_virtual_time(main)
    assert reports == []
