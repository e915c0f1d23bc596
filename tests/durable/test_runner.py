"""A2, A4: in whose task a durable handler runs, and that nothing of that task is seen by another handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar

import attrs
import pytest
import trio
from tests.durable.worlds import in_virtual_time, open_world

import histrio
from histrio.durable import DurableActor, DurableRef, DurableTree
from histrio_kernel.combine import Rest
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import Batch
from histrio_kernel.journal.stored import Stored

NAME: ContextVar[str] = ContextVar("NAME", default="nobody")
GATES: dict[str, trio.Event] = {}
SEEN: list[str] = []


@attrs.frozen
class Look(histrio.Request[str]):
    """In which task is this handled, and whose context is it? After so many seconds."""

    seconds: float = 0.0
    name: str = ""


@attrs.frozen
class Within(histrio.Request[bool]):
    """Wait within a cancel scope and a nursery; whether they were as they are to be when that was over."""

    seconds: float


@attrs.frozen
class Hang(histrio.Request[None]):
    """Wait for what no journal knows of."""


class Hosted(DurableActor[Look | Within | Hang], behaviour="runner.hosted"):
    """Tells where its handlers run."""

    @histrio.handler(Look)
    async def look(self, look: Look) -> str:
        before = NAME.get()
        if look.name:
            NAME.set(look.name)
        if look.seconds:
            await self.sleep(look.seconds)
        assert NAME.get() == (look.name or before)
        return f"{id(trio.lowlevel.current_task())} {before}"

    @histrio.handler(Within)
    async def within(self, within: Within) -> bool:
        helped: list[int] = []

        async def help_out() -> None:
            await trio.lowlevel.checkpoint()
            helped.append(1)

        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(help_out)
                await self.sleep(within.seconds)
        return helped == [1] and not scope.cancel_called

    @histrio.handler(Hang)
    async def hang(self, _: Hang) -> None:
        try:
            await GATES["hang"].wait()
        finally:
            SEEN.append("the handler was ended")


def in_a_tree(main: Callable[[DurableTree, DurableRef[Look | Within | Hang]], Awaitable[None]]) -> None:
    """With one actor."""

    async def run() -> None:
        async with open_world(Stored()) as tree:
            await main(tree, await tree.spawn(Hosted, name="hosted"))

    in_virtual_time(run)


def test_handlers_that_do_not_wait_need_no_task_of_their_own() -> None:
    """A5: one task runs all of them; one that waits keeps its task, and another one goes on."""

    async def main(tree: DurableTree, hosted: DurableRef[Look | Within | Hang]) -> None:
        tasks = {await hosted.ask(Look()) for _ in range(10)}
        assert len(tasks) == 1
        slow = hosted.ask(Look(1.0))
        meanwhile = {await hosted.ask(Look()) for _ in range(10)}
        assert len(meanwhile) == 1
        assert {await slow} == tasks
        assert meanwhile.isdisjoint(tasks)
        tasks_now = tasks_of_handlers()
        for _ in range(5):  # they are used again
            first, second = hosted.ask(Look(1.0)), hosted.ask(Look(2.0))
            await first
            await second
        assert tasks_of_handlers() <= tasks_now + 1

    in_a_tree(main)


def tasks_of_handlers() -> int:
    """How many there are."""
    task = trio.lowlevel.current_task()
    while task.parent_nursery is not None:
        task = task.parent_nursery.parent_task
    todo, count = [task], 0
    while todo:
        one = todo.pop()
        count += one.name.endswith(": handler")
        todo.extend(child for nursery in one.child_nurseries for child in nursery.child_tasks)
    return count


def test_scopes_of_handlers_that_overlap_do_not_mix() -> None:
    """A4: handlers that begin within each other, and end in any order, leave their own cancel scopes and nurseries."""

    async def main(_: DurableTree, hosted: DurableRef[Look | Within | Hang]) -> None:
        outcomes = [hosted.ask(Within(seconds)) for seconds in (3.0, 1.0, 2.0, 1.0, 3.0)]
        assert [await each for each in outcomes] == [True] * 5

    in_a_tree(main)


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_what_a_handler_sets_in_its_context_ends_with_it(seconds: float) -> None:
    """A4: no other handler sees it, whether or not this one waits; and those that begin meanwhile do not, either."""

    async def main(_: DurableTree, hosted: DurableRef[Look | Within | Hang]) -> None:
        setting = hosted.ask(Look(seconds, "somebody"))
        await trio.sleep(0.5)
        assert (await hosted.ask(Look())).endswith(" nobody")
        assert (await setting).endswith(" nobody")
        assert (await hosted.ask(Look(1.0))).endswith(" nobody")
        assert (await hosted.ask(Look())).endswith(" nobody")

    in_a_tree(main)


def test_a_handler_that_hangs_in_the_task_of_the_life_ends_with_the_actor() -> None:
    """A4: it holds the actor up, as it did in a task of its own, and its clean-up runs when the actor is killed."""
    GATES["hang"] = trio.Event()
    SEEN.clear()

    async def main(tree: DurableTree, hosted: DurableRef[Look | Within | Hang]) -> None:
        waiting = hosted.ask(Look(1.0))
        hanging = hosted.ask(Hang())
        await trio.sleep(5)
        assert not waiting.is_done
        ref: histrio.Ref[object] | None = tree.system.ref_at("/hosted")
        assert ref is not None
        await ref.control.kill()
        for each in (waiting, hanging):
            with pytest.raises(histrio.ActorStopped):
                await each
        assert SEEN == ["the handler was ended"]

    in_a_tree(main)


@attrs.define
class Basket(histrio.Request[int]):
    """A message that its sender can change."""

    apples: int


class Counts(DurableActor[Basket], behaviour="runner.counts"):
    """Counts what was in the basket when it was sent."""

    @histrio.handler(Basket)
    async def count(self, basket: Basket) -> int:
        basket.apples += 1
        return basket.apples


def test_a_message_is_what_it_was_when_it_was_stored() -> None:
    """J3: a handler gets no object that somebody else can change, and changes none of theirs; a frozen one may be the same."""

    async def run() -> None:
        async with open_world(Stored()) as tree:
            counts = await tree.spawn(Counts, name="counts")
            basket = Basket(1)
            assert await counts.ask(basket) == 2
            assert basket.apples == 1

    in_virtual_time(run)


class Asked(DurableActor[Look], behaviour="runner.asked"):
    """Says whether Ctrl-C may come in its handlers."""

    @histrio.handler(Look)
    async def look(self, look: Look) -> str:
        before = trio.lowlevel.currently_ki_protected()
        await self.sleep(look.seconds)
        return f"{before} {trio.lowlevel.currently_ki_protected()}"


def test_ctrl_c_comes_in_a_handler_and_not_in_the_life_around_it() -> None:
    """A4: the steps of an actor are not interrupted between two lines of Histrio's; a handler's own code is."""
    protected: list[bool] = []

    async def run() -> None:
        async with open_world(Stored()) as tree:
            asked = await tree.spawn(Asked, name="asked")
            real = tree.journal.commit

            async def commit(batch: Batch, rest: Rest | None = None) -> Sequence[Record]:
                protected.append(trio.lowlevel.currently_ki_protected())
                return await real(batch, rest)

            tree.journal.commit = commit  # type: ignore[method-assign]
            assert await asked.ask(Look(1.0)) == "False False"
            assert protected == [True, True]

    in_virtual_time(run)
