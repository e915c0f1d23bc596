"""J5: `ContinueAs` rolls the past up, in one transaction; snapshots do the same by themselves."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import attrs
import pytest
import trio
from tests.durable.worlds import double, hear_reports, in_virtual_time, open_world, told, until_cut

import histrio
from histrio.durable import ContinueAs, DurableActor, DurableTree, PastTooLong
from histrio_kernel.errors import ActorFailed
from histrio_kernel.journal.stored import Stored
from histrio_kernel.signals import Kind


@attrs.frozen
class Next(histrio.Request[object]):
    """Go on as the next one."""


@attrs.frozen
class Which(histrio.Request[int]):
    """Which one is it?"""


class Counter(DurableActor[Next | Which], behaviour="counter"):
    """Is another one each time."""

    def __init__(self, number: int) -> None:
        self.number = number

    @histrio.handler(Next)
    async def next(self, message: Next) -> object:
        return ContinueAs(Counter, self.number + 1)

    @histrio.handler(Which)
    async def which(self, message: Which) -> int:
        return self.number


class Loop(DurableActor[str], behaviour="loop"):
    """Counts down by itself, without a wait."""

    def __init__(self, left: int) -> None:
        self.left = left

    async def started(self) -> object:
        if self.left:
            return ContinueAs(Loop, self.left - 1)
        self.finish("done")
        return None


def test_the_past_is_rolled_up() -> None:
    """J5: what is kept begins with the last beginning, and after a crash the actor is that one."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            counter = await tree.spawn(Counter, 0, name="counter")
            for _ in range(100):
                await counter.ask(Next())
            assert await counter.ask(Which()) == 100

    async def again() -> None:
        async with open_world(stored) as tree:
            assert await (await tree.spawn(Counter, 0, name="counter")).ask(Which()) == 100

    in_virtual_time(main)
    records = stored.read("/counter", 0)
    assert records[0].kind is Kind.TRANSITION
    assert len(records) == 3
    in_virtual_time(again)


def test_a_chain_without_a_wait_takes_no_room() -> None:
    """J5: tail recursion runs in constant space: a thousand in a row leave one record and the end."""
    stored = Stored()

    async def main() -> object:
        async with open_world(stored) as tree:
            return await (await tree.spawn(Loop, 1_000, name="loop")).join()

    assert in_virtual_time(main) == "done"
    assert [each.kind for each in stored.read("/loop", 0)] == [Kind.TRANSITION, Kind.STOP]


class Chain(DurableActor[str], behaviour="chain"):
    """Is another one again and again, without a wait, and notes that it runs."""

    runs: ClassVar[list[int]] = []

    def __init__(self, number: int, last: int) -> None:
        self.number = number
        self.last = last

    async def started(self) -> object:
        self.runs.append(self.number)
        if self.number < self.last:
            return ContinueAs(Link if self.number % 2 else Chain, self.number + 1, self.last)
        self.finish(self.number)
        return None


class Link(Chain, behaviour="link"):
    """The same, by another name."""


async def go_along(tree: DurableTree) -> object:
    """To the end of the chain."""
    return await (await tree.spawn(Chain, 0, 20, name="chain")).join()


def test_each_life_of_a_chain_is_in_the_journal_before_the_next_but_one() -> None:
    """J5: killed after each commit of a chain, it goes on where it was: at most one life is lived again."""

    async def to_the_end(stored: Stored) -> object:
        async with open_world(stored) as tree:
            return await go_along(tree)

    commits = 0
    while True:
        commits += 1
        stored = Stored()
        Chain.runs.clear()
        in_virtual_time(partial(until_cut, stored, commits, go_along))
        before = list(Chain.runs)
        if before == list(range(21)):
            break
        kept = stored.read("/chain", 0)
        assert len(kept) == 1
        Chain.runs.clear()
        assert in_virtual_time(partial(to_the_end, stored)) == 20
        assert Chain.runs == list(range(Chain.runs[0], 21))
        assert before[-1] - 1 <= Chain.runs[0] <= before[-1] + 1
    assert commits > 15


def test_a_life_of_a_chain_that_cannot_begin_is_the_end() -> None:
    """J5: its beginning is in the journal, and its step never happened: the actor has failed, and stays so."""

    class Breaks(DurableActor[str], behaviour="breaks"):
        def __init__(self, number: int) -> None:
            self.number = number

        async def started(self) -> object:
            if self.number == 5:
                raise LookupError("no five")
            return ContinueAs(Breaks, self.number + 1)

    stored = Stored()

    async def main() -> str:
        async with open_world(stored) as tree:
            with pytest.raises(ActorFailed) as caught:
                await (await tree.spawn(Breaks, 0, name="b")).join()
            return repr(caught.value.__cause__)

    assert in_virtual_time(main) == in_virtual_time(main) == "LookupError('no five')"
    assert [each.kind for each in stored.read("/b", 0)] == [Kind.TRANSITION, Kind.CRASH, Kind.STOP]


def test_a_chain_without_end_can_be_stopped() -> None:
    """J5: between two lives it sees that its tree is closed, long before its time to stop is over, and goes on next time."""
    stored = Stored()

    async def main() -> float:
        async with open_world(stored) as tree:
            await tree.spawn(Chain, 0, 1_000_000_000, name="chain")
            for _ in range(100):
                await trio.lowlevel.checkpoint()
        return trio.current_time()

    Chain.runs.clear()
    assert in_virtual_time(main) == 0
    assert in_virtual_time(main) == 0
    assert Chain.runs[-1] > 10
    assert Chain.runs == sorted(Chain.runs)


def test_children_and_names_go_over() -> None:
    """J5: children live on, are made again with the new past, and their names do not come again."""

    class Parent(DurableActor[str], behaviour="parent"):
        def __init__(self, generation: int) -> None:
            self.generation = generation

        async def receive(self, message: str) -> object:
            if message == "spawn":
                await self.spawn(Counter, self.generation)
                return None
            return ContinueAs(Parent, self.generation + 1)

    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            parent = await tree.spawn(Parent, 0, name="parent")
            for word in ("spawn", "go on", "spawn", "go on"):
                await parent.tell(word)
            await trio.sleep(1)
            assert "args=(2,)" in told(stored, "/parent")[0]

    async def again() -> dict[str, str]:
        async with open_world(stored) as tree:
            assert await tree.ref("/parent/counter#2").ask(Which()) == 1
            return tree.states()

    in_virtual_time(main)
    assert in_virtual_time(again) == {"/parent": "live", "/parent/counter#1": "live", "/parent/counter#2": "live"}


def test_nobody_goes_on_with_something_pending() -> None:
    """J5: an effect without an outcome cannot be rolled up: that handler fails, and the text names it."""

    class Hasty(DurableActor[int], behaviour="hasty"):
        async def receive(self, message: int) -> object:
            number = message
            if number == 0:
                return ContinueAs(Hasty)
            await self.io(double, number)
            return None

    reports: list[str] = []

    async def main() -> None:
        async with open_world(Stored()) as tree:
            hear_reports(tree, lambda error: reports.append(str(error)))
            hasty = await tree.spawn(Hasty, name="hasty")
            await hasty.tell(500)
            await hasty.tell(0)
            await trio.sleep(1)

    in_virtual_time(main)
    assert any("has begun what has no outcome yet: handler" in text and "double" in text for text in reports)


class Ledger(DurableActor[int], behaviour="ledger"):
    """Has snapshots."""

    snapshot_every = 10

    def __init__(self) -> None:
        self.sum = 0

    def snapshot(self) -> object:
        return self.sum

    async def restore(self, snapshot: object) -> None:
        assert isinstance(snapshot, int)
        self.sum = snapshot

    @histrio.handler(int)
    async def add(self, number: int) -> None:
        self.sum += number
        if number == 0:
            self.finish(self.sum)


def test_snapshots_bound_the_past() -> None:
    """J5, J7: after so many records there is a snapshot, from which the actor is made again."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ledger = await tree.spawn(Ledger, name="ledger")
            for number in range(1, 101):
                await ledger.tell(number)
            await trio.sleep(1)

    async def again() -> object:
        async with open_world(stored) as tree:
            ledger = await tree.spawn(Ledger, name="ledger")
            await ledger.tell(0)
            return await ledger.join()

    in_virtual_time(main)
    assert len(stored.read("/ledger", 0)) <= 11
    assert in_virtual_time(again) == 5_050


class Snap(DurableActor[int], behaviour="snap"):
    """A method of its snapshots fails, or gives what cannot be stored."""

    snapshot_every = 4
    fails = ""

    def __init__(self) -> None:
        self.sum = 0

    def snapshot(self) -> object:
        if Snap.fails == "snapshot()":
            raise LookupError(Snap.fails)
        return object() if Snap.fails == "what it returns" else self.sum

    async def restore(self, snapshot: object) -> None:
        assert isinstance(snapshot, int)
        if Snap.fails == "restore()":
            raise LookupError(Snap.fails)
        self.sum = snapshot

    @histrio.handler(int)
    async def add(self, number: int) -> None:
        self.sum += number
        if number == 0:
            self.finish(self.sum)


@pytest.mark.parametrize("fails", ["snapshot()", "what it returns", "restore()"])
def test_a_snapshot_that_fails_costs_nothing(fails: str) -> None:
    """J5: it is told once, the past stays whole, and the actor goes on; the mended method rolls up the next time."""
    stored = Stored()
    reports: list[str] = []

    async def run(*numbers: int) -> None:
        async with open_world(stored) as tree:
            hear_reports(tree, lambda error: reports.append(str(error)))
            snap = await tree.spawn(Snap, name="snap")
            for number in numbers:
                await snap.tell(number)
                await trio.sleep(1)
            if numbers[-1] == 0:
                assert await snap.join() == 55

    Snap.fails = fails
    in_virtual_time(partial(run, *range(1, 8)))
    Snap.fails = ""
    assert sum("Its past is whole and grows" in text for text in reports) == 1
    assert stored.read("/snap", 0)[0].kind is Kind.START
    in_virtual_time(partial(run, 8, 9))
    assert stored.read("/snap", 0)[0].kind is Kind.TRANSITION
    in_virtual_time(partial(run, 10, 0))


def test_a_past_that_grows_is_told_and_then_stopped() -> None:
    """J7: a warning first, the wall later; the journal is whole, and better code goes on with it."""

    class Grows(DurableActor[int], behaviour="grows"):
        records_warn = 10
        records_max = 20

        @histrio.handler(int)
        async def take(self, number: int) -> None:
            """Nothing."""

    stored = Stored()
    reports: list[PastTooLong] = []

    async def main() -> None:
        async with open_world(stored) as tree:
            hear_reports(tree, lambda error: reports.append(error) if isinstance(error, PastTooLong) else None)
            grows = await tree.spawn(Grows, name="grows")
            for number in range(30):
                await grows.tell(number)
            await trio.sleep(1)
            assert tree.states() == {"/grows": "quarantined"}

    in_virtual_time(main)
    assert len(reports) == 2
    assert "has 10 records since its beginning; at 20 it will be stopped" in str(reports[0])
    assert len(stored.read("/grows", 0)) == 20
