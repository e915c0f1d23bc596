"""J3: a step that failed never happened, but that its input is used up."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
import trio
from tests.durable.worlds import double, in_virtual_time, open_world, told

import histrio
from histrio.durable import DurableActor
from histrio_kernel.journal.stored import Stored
from histrio_kernel.signals import Kind


@attrs.frozen
class Add(histrio.Request[int]):
    """Add to the sum; a poisonous one fails after that, at once or after an effect."""

    number: int
    fails: str = ""


@attrs.frozen
class Total(histrio.Request[int]):
    """The sum."""


class Sum(DurableActor[Add | Total], behaviour="sum"):
    """Adds up."""

    restarts_max = 3

    def __init__(self) -> None:
        self.total = 0

    @histrio.handler(Add)
    async def add(self, add: Add) -> int:
        self.total += add.number
        if add.fails == "at once":
            raise ZeroDivisionError(add.number)
        if add.fails:
            await self.io(double, 1)
            self.total += 1_000
            raise ZeroDivisionError(add.number)
        return self.total

    @histrio.handler(Total)
    async def sum_up(self, total: Total) -> int:
        return self.total


def test_what_a_failed_step_did_is_undone() -> None:
    """J3: the asker is told of the failure, what was added in that step is gone, and what was before is there."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await tree.spawn(Sum, name="sum")
            assert await ref.ask(Add(1)) == 1
            with pytest.raises(histrio.ActorFailed, match="ZeroDivisionError: 5"):
                await ref.ask(Add(5, "at once"))
            assert await ref.ask(Total()) == 1
            with pytest.raises(histrio.ActorFailed, match="ZeroDivisionError: 7"):
                await ref.ask(Add(7, "later"))
            assert await ref.ask(Total()) == 8, "the step before the effect has happened"

    in_virtual_time(main)


def test_each_message_is_handled_once_beside_failures() -> None:
    """J3: the input of a failed step is used up, and what comes while the object is made again is taken once.

    Trio draws the order of the host's tasks, so it is done often.
    """

    class Failing(Sum, behaviour="failing"):
        restarts_max = 1_000

    stored = Stored()

    async def main() -> int:
        async with open_world(stored) as tree:
            ref = await tree.spawn(Failing, name="failing")
            for number in range(50):
                with pytest.raises(histrio.ActorFailed, match=f"ZeroDivisionError: {number}"):
                    await ref.ask(Add(number, "at once"))
                await ref.tell(Add(1))
            return await ref.ask(Total())

    assert in_virtual_time(main) == 50
    assert Counter(each.kind for each in stored.read("/failing", 0))[Kind.CRASH] == 50


def test_it_is_the_same_after_a_crash_of_the_process() -> None:
    """J3: the past with its failures is done again, twice."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await tree.spawn(Sum, name="sum")
            await ref.ask(Add(1))
            for fails in ("at once", "later"):
                with pytest.raises(histrio.ActorFailed):
                    await ref.ask(Add(7, fails))

    async def again() -> None:
        async with open_world(stored) as tree:
            assert tree.states() == {"/sum": "live"}
            assert await (await tree.spawn(Sum, name="sum")).ask(Total()) == 8

    in_virtual_time(main)
    before = told(stored, "/sum")
    for _ in range(2):
        in_virtual_time(again)
    assert told(stored, "/sum")[: len(before)] == before


def test_others_go_on_where_they_were() -> None:
    """J3: a handler that waits while another one fails is there afterwards, and its effect has its outcome."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await tree.spawn(Sum, name="sum")
            waits = ref.ask(Add(10, ""))
            slow = ref.ask(Add(100, "later"))
            with pytest.raises(histrio.ActorFailed):
                await ref.ask(Add(1, "at once"))
            assert await waits == 10
            with pytest.raises(histrio.ActorFailed):
                await slow
            assert await ref.ask(Total()) == 110

    in_virtual_time(main)


def test_too_many_failures_end_it() -> None:
    """J3, S3: at most `restarts_max` times in `restarts_s` seconds; then its parent has the failure."""

    async def main() -> None:
        async with open_world(Stored()) as tree:
            ref = await tree.spawn(Sum, name="sum")
            for _ in range(3):
                with pytest.raises(histrio.ActorFailed):
                    await ref.ask(Add(1, "at once"))
            await ref.tell(Add(1, "at once"))
            await trio.sleep(1)

    with pytest.raises(histrio.SystemFailed, match=r"has failed 4 times within 5\.0 s, and may 3 times"):
        in_virtual_time(main)


def test_a_failure_in_started_fails_the_spawn() -> None:
    """J3: what never began is not in the journal."""

    class Stillborn(DurableActor[str], behaviour="stillborn"):
        async def started(self) -> None:
            raise ValueError("no")

    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            await tree.spawn(Stillborn, name="still")

    with pytest.raises(BaseException):  # noqa: B017 - it fails its system, too
        in_virtual_time(main)
    assert stored.read("/still", 0) == []
