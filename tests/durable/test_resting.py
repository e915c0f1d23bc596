"""J2, A4: an actor that would only wait for mail when its step is stored is not woken for that, and misses nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
from tests.durable.worlds import double, in_virtual_time
from trio.testing import wait_all_tasks_blocked

import histrio
from histrio.durable import DurableActor, DurableRef, DurableTree, life, open_tree
from histrio_kernel.journal.memory import MemoryJournal
from histrio_kernel.journal.stored import Stored
from histrio_kernel.signals import Kind


@attrs.frozen
class Add(histrio.Request[int]):
    """Add so much, and say the sum."""

    amount: int


@attrs.frozen
class AddLater(histrio.Request[int]):
    """Add the double when an effect has it, and say the sum."""

    amount: int


@attrs.frozen
class Pass(histrio.Request[int]):
    """Have another one add."""

    to: DurableRef[Add]
    amount: int


@attrs.frozen
class Finish(histrio.Request[int]):
    """End, and say the sum."""


@attrs.frozen
class Die(histrio.Request[None]):
    """Begin an effect that ends the task that it runs in."""


class Death(BaseException):
    """Nobody catches it."""


async def die() -> None:
    """An effect that ends badly, after the next commit has begun."""
    await trio.sleep(1.5)
    raise Death


Asked = Add | AddLater | Pass | Finish | Die


class Sum(DurableActor[Asked], behaviour="resting.sum"):
    """Adds up."""

    snapshot_every = 40

    def __init__(self) -> None:
        self.total = 0

    async def restore(self, snapshot: object) -> None:
        assert isinstance(snapshot, int)
        self.total = snapshot

    def snapshot(self) -> object:
        return self.total

    @histrio.handler(Add)
    async def add(self, add: Add) -> int:
        self.total += add.amount
        return self.total

    @histrio.handler(AddLater)
    async def add_later(self, add: AddLater) -> int:
        doubled = await self.io(double, add.amount)
        self.total += doubled or 0
        return self.total

    @histrio.handler(Pass)
    async def pass_on(self, message: Pass) -> int:
        return await message.to.ask(Add(message.amount))

    @histrio.handler(Finish)
    async def finish_now(self, _: Finish) -> int:
        self.finish(self.total)
        return self.total

    @histrio.handler(Die)
    async def begin_to_die(self, _: Die) -> None:
        await self.io(die)


Sums = list[DurableRef[Asked]]


class Steps(trio.abc.Instrument):
    """Counts the steps of tasks, by their names."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.of[task.name] += 1


def with_sums(main: Callable[[DurableTree, Sums], Awaitable[None]], stored: Stored | None = None) -> None:
    """With five of them, whose messages come at the same time: one makes the trip, and four ride along."""

    async def run() -> None:
        async with (
            histrio.open_system() as system,
            MemoryJournal(stored) as journal,
            open_tree(system, journal) as tree,
        ):
            await main(tree, [await tree.spawn(Sum, name=f"sum-{number}") for number in range(5)])

    in_virtual_time(run)


def slow_trips(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """A trip to a journal that is made from now on takes that long."""
    real = MemoryJournal._travel

    async def travel(journal: MemoryJournal, trip: Any) -> None:
        await trio.sleep(seconds)
        await real(journal, trip)

    patch.setattr(MemoryJournal, "_travel", travel)


async def ask_all(sums: Sums, message: Add | AddLater | Finish) -> list[int]:
    """Each the same, at the same time."""
    futures = [each.ask(message) for each in sums]
    return [await future for future in futures]


async def tell_all(sums: Sums, message: Add) -> None:
    """Each the same, at the same time."""
    async with trio.open_nursery() as nursery:
        for each in sums:
            nursery.start_soon(each.tell, message)


def test_it_is_not_woken_when_its_step_is_stored() -> None:
    """J2: a message costs one step of a task of its actor, and each trip one more of who makes it."""

    async def main(_: DurableTree, sums: Sums) -> None:
        await ask_all(sums, Add(1))
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        for count in range(2, 10):
            assert await ask_all(sums, Add(1)) == [count] * 5
        trio.lowlevel.remove_instrument(steps)
        assert sum(count for name, count in steps.of.items() if name.endswith(": handler")) == 8 * 5 + 8

    with_sums(main)


def test_whatever_comes_to_one_that_rests_is_taken() -> None:
    """J2: a message, one of a durable actor, and the outcome of an effect, in any order, none twice."""

    async def main(_: DurableTree, sums: Sums) -> None:
        assert await ask_all(sums, Add(1)) == [1] * 5
        assert await ask_all(sums, AddLater(3)) == [7] * 5
        assert await ask_all(sums, Add(1)) == [8] * 5
        passed = [one.ask(Pass(another, 1)) for one, another in zip(sums, [*sums[1:], sums[0]], strict=True)]
        assert [await future for future in passed] == [9] * 5
        later = [each.ask(AddLater(3)) for each in sums]
        assert await ask_all(sums, Add(1)) == [10] * 5
        assert [await future for future in later] == [16] * 5

    with_sums(main)


def test_a_message_that_was_told_is_done_with() -> None:
    """A10: what one that rests has handled is no dead letter when it is killed."""

    async def main(tree: DurableTree, sums: Sums) -> None:
        await tell_all(sums, Add(1))
        await wait_all_tasks_blocked()
        for each in sums:
            ref = tree.system.ref_at(each.path)
            assert ref is not None
            await ref.control.kill()
        assert not tree.system.dead_letters

    stored = Stored()
    with_sums(main, stored)
    assert [each.kind for each in stored.read("/sum-3", 0)] == [Kind.START, Kind.RECEIVE]


def test_one_that_rests_rolls_its_past_up_in_time() -> None:
    """J7: `snapshot_every` is kept though no further message comes."""
    stored = Stored()

    async def main(_: DurableTree, sums: Sums) -> None:
        for _count in range(20):
            await ask_all(sums, Add(1))
        await wait_all_tasks_blocked()
        assert [stored.read(each.path, 0)[0].kind for each in sums] == [Kind.TRANSITION] * 5

    with_sums(main, stored)


def test_what_comes_while_its_step_is_stored_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """J2: an outcome that comes then, and nothing after it."""
    slow_trips(monkeypatch, 1.0)

    async def main(_: DurableTree, sums: Sums) -> None:
        later = [each.ask(AddLater(150)) for each in sums]
        await trio.sleep(2.0)  # the effects run, and take 1.5 s
        assert await ask_all(sums, Add(1)) == [1] * 5
        with trio.fail_after(5):
            assert [await future for future in later] == [301] * 5

    with_sums(main)


def test_a_letter_that_comes_while_its_step_is_stored_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """J2: a message of a durable actor, and nothing after it."""
    slow_trips(monkeypatch, 1.0)

    async def main(_: DurableTree, sums: Sums) -> None:
        passed = sums[0].ask(Pass(sums[4], 1))
        await trio.sleep(0.5)
        more = [each.ask(Add(1)) for each in sums[1:]]  # their trip begins when the letter comes
        with trio.fail_after(10):
            assert await passed == 2
        assert [await future for future in more] == [1] * 4

    with_sums(main)


def test_one_that_has_finished_ends() -> None:
    """J2: it has more to do when that is stored."""

    async def main(tree: DurableTree, sums: Sums) -> None:
        await ask_all(sums, Add(1))
        assert await ask_all(sums, Finish()) == [1] * 5
        with trio.fail_after(1):
            assert [await each.join() for each in sums] == [1] * 5
        assert set(tree.states().values()) == {"ended"}
        await wait_all_tasks_blocked()
        assert [tree.system.ref_at(each.path) for each in sums] == [None] * 5

    with_sums(main)


def test_no_more_is_begun_than_may_be_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A6: one that has as many handlers as it may takes no message, wherever it waits."""
    monkeypatch.setattr(life, "IN_FLIGHT_MAX", 1)

    async def main(_: DurableTree, sums: Sums) -> None:
        later = [each.ask(AddLater(100)) for each in sums]
        await trio.sleep(0.1)
        more = [each.ask(Add(1)) for each in sums]
        await trio.sleep(0.1)
        assert not any(future.is_done for future in more)
        assert [await future for future in later] == [200] * 5
        assert [await future for future in more] == [201] * 5

    with_sums(main)


def test_one_that_is_paused_while_its_step_is_stored_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """P1: nor is that forgotten when the step is stored."""
    slow_trips(monkeypatch, 1.0)

    async def main(tree: DurableTree, sums: Sums) -> None:
        first = [each.ask(Add(1)) for each in sums]
        await trio.sleep(0.5)
        refs = [ref for each in sums if (ref := tree.system.ref_at(each.path)) is not None]
        paused = [ref.control.pause() for ref in refs]
        assert [await future for future in first] == [1] * 5
        for future in paused:
            await future
        more = [each.ask(Add(1)) for each in sums]
        await trio.sleep(5)
        assert not any(future.is_done for future in more)
        for ref in refs:
            ref.control.resume()
        assert [await future for future in more] == [2] * 5

    with_sums(main)


@pytest.mark.parametrize("when", ["while its step is stored", "while it rests"])
def test_cancelled_by_its_own_it_ends(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A4: an effect that ends its task cancels the life, wherever that waits."""
    stored = Stored()
    if when == "while its step is stored":
        slow_trips(monkeypatch, 1.0)

    systems: list[histrio.System] = []

    async def main(tree: DurableTree, sums: Sums) -> None:
        systems.append(tree.system)
        dying = [each.ask(Die()) for each in sums]
        await trio.sleep(1.0 if when == "while it rests" else 2.0)
        await tell_all(sums, Add(1))  # half a second before the effects end
        for future in dying:
            with pytest.raises(histrio.HistrioError):
                await future

    with pytest.raises(Death):
        with_sums(main, stored)
    assert not [each for each in systems[0].dead_letters if each.message == Add(1)]
    assert [each.kind for each in stored.read("/sum-4", 0)][:2] == [Kind.START, Kind.RECEIVE]


@pytest.mark.parametrize("when", ["while its step is stored", "while it rests"])
def test_one_that_is_to_stop_does_so_at_once(when: str) -> None:
    """A8: with what was accepted before handled, and all of it in the journal."""
    stored = Stored()

    async def main(tree: DurableTree, sums: Sums) -> None:
        await ask_all(sums, Add(1))
        if when == "while it rests":
            await tree.stop()
        else:
            futures = [each.ask(Add(1)) for each in sums]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tree.stop)
            assert [await future for future in futures] == [2] * 5
        with pytest.raises(histrio.ActorStopped):
            await sums[0].ask(Add(1))

    with_sums(main, stored)
    receives = [each for each in stored.read("/sum-4", 0) if each.kind is Kind.RECEIVE]
    assert len(receives) == (1 if when == "while it rests" else 2)


@pytest.mark.parametrize("when", ["while its step is stored", "while it rests"])
def test_one_whose_task_is_cancelled_ends(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A4: a cancellation that comes too early for its wait is not forgotten when that is over."""
    stored = Stored()
    if when == "while its step is stored":
        slow_trips(monkeypatch, 1.0)

    async def main(tree: DurableTree, sums: Sums) -> None:
        await ask_all(sums, Add(1))
        await tell_all(sums, Add(1))
        await trio.sleep(0.5)
        for each in sums:
            outermost_nursery_of(f"{each.path}: handler").cancel_scope.cancel()
        await trio.sleep(2)
        assert [tree.system.ref_at(each.path) for each in sums] == [None] * 5
        assert not tree.system.dead_letters, "it has handled them"

    with_sums(main, stored)
    assert [each.kind for each in stored.read("/sum-4", 0)][1:] == [Kind.RECEIVE, Kind.SEND, Kind.RECEIVE]


def outermost_nursery_of(name: str) -> trio.Nursery:
    """Of the actor whose task has that name."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    tasks = [root]
    for task in tasks:
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    (found,) = (task.parent_nursery for task in tasks if task.name == name)
    assert found is not None
    return found.parent_task.child_nurseries[0]


@pytest.mark.parametrize("rounds", range(8))
def test_cancelled_anywhere_it_ends_and_nothing_is_lost(rounds: int) -> None:
    """A4, J2: by whoever runs the system: whatever was answered is in the journal, and it goes on from there."""
    stored = Stored()
    answered: list[int] = []

    async def ask_on(one: DurableRef[Asked]) -> None:
        with pytest.raises((histrio.ActorStopped, trio.Cancelled)):  # noqa: PT012
            while True:
                answered.append(await one.ask(Add(1)))

    async def main(_: DurableTree, sums: Sums) -> None:
        async with trio.open_nursery() as nursery:
            for each in sums:
                nursery.start_soon(ask_on, each)
            for _count in range(12 + rounds):
                await trio.lowlevel.checkpoint()
            raise KeyError(rounds)

    with pytest.raises(BaseExceptionGroup) as raised:
        with_sums(main, stored)
    assert raised.group_contains(KeyError)
    assert answered

    async def again() -> None:
        async with (
            histrio.open_system() as system,
            MemoryJournal(stored) as journal,
            open_tree(system, journal) as tree,
        ):
            now = [await tree.ref(f"/sum-{number}").ask(Add(0)) for number in range(5)]
            assert sum(now) >= len(answered)

    in_virtual_time(again)
