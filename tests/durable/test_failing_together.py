"""J3, J6: that one handler fails costs the others nothing: no outcome, no effect twice, nothing uncertain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio
from tests.durable.worlds import OUTSIDE, double, in_virtual_time, open_world

import histrio
from histrio.durable import DurableActor, DurableRef, DurableTree, Mode
from histrio_kernel.futures import Future
from histrio_kernel.journal.stored import Stored


@attrs.frozen
class Wait(histrio.Request[int]):
    """Wait for what was begun at the beginning; one that fails does so when it has come."""

    fails: bool = False


@attrs.frozen
class Once(histrio.Request[int]):
    """Have something done that may happen at most once."""


@attrs.frozen
class Fail(histrio.Request[None]):
    """Fail at once."""


@attrs.frozen
class Total(histrio.Request[int]):
    """What has come, altogether."""


class Shared(DurableActor[Wait | Once | Fail | Total], behaviour="shared"):
    """Several of its handlers wait for one effect."""

    restarts_max = 10

    def __init__(self) -> None:
        self.total = 0
        self.begun: Future[int | None] | None = None

    async def started(self) -> None:
        self.begun = self.io(double, 300)
        await self.begun

    @histrio.handler(Wait)
    async def wait(self, wait: Wait) -> int:
        assert self.begun is not None
        number = await self.begun
        self.total += number or 0
        if wait.fails:
            raise ZeroDivisionError("it has come")
        return self.total

    @histrio.handler(Once)
    async def once(self, once: Once) -> int:
        number = await self.io(double, 400, mode=Mode.AT_MOST_ONCE)
        self.total += number or 0
        return self.total

    @histrio.handler(Fail)
    async def fail(self, fail: Fail) -> None:
        raise ZeroDivisionError("at once")

    @histrio.handler(Total)
    async def sum_up(self, total: Total) -> int:
        return self.total


def run(stored: Stored, body: Callable[[DurableTree, DurableRef[Wait | Once | Fail | Total]], Awaitable[None]]) -> None:
    """With the actor, in virtual time."""

    async def main() -> None:
        async with open_world(stored) as tree:
            await body(tree, await tree.spawn(Shared, name="shared"))

    in_virtual_time(main)


@pytest.mark.parametrize("order", [(False, True, False), (True, False, True), (True, True, False)])
def test_others_who_wait_for_the_same_have_its_outcome(order: tuple[bool, ...]) -> None:
    """J3: whoever fails on an outcome takes it from nobody, in whatever order they wait, and the past says the same."""
    stored = Stored()
    total = 600 * order.count(False)

    async def ask(tree: DurableTree, shared: DurableRef[Wait | Once | Fail | Total]) -> None:
        answers = [shared.ask(Wait(fails)) for fails in order]
        for fails, answer in zip(order, answers, strict=True):
            if fails:
                with pytest.raises(histrio.ActorFailed, match="it has come"):
                    await answer
            else:
                assert await answer <= total
        assert await shared.ask(Total()) == total

    async def again(tree: DurableTree, shared: DurableRef[Wait | Once | Fail | Total]) -> None:
        assert tree.states() == {"/shared": "live"}
        assert await shared.ask(Total()) == total

    OUTSIDE.done.clear()
    run(stored, ask)
    for _ in range(2):
        run(stored, again)
    assert set(OUTSIDE.done.values()) == {1}


def test_effects_go_on_while_the_object_is_made_again() -> None:
    """J6: that a handler fails is no reason to do anything twice, and leaves nothing uncertain."""
    stored = Stored()

    async def body(tree: DurableTree, shared: DurableRef[Wait | Once | Fail | Total]) -> None:
        once = shared.ask(Once())
        await trio.sleep(1)
        for _ in range(3):
            with pytest.raises(histrio.ActorFailed, match="at once"):
                await shared.ask(Fail())
        assert await once == 800

    OUTSIDE.done.clear()
    run(stored, body)
    assert sorted(OUTSIDE.done.values()) == [1, 1], "one of the beginning, and the one that may happen at most once"
