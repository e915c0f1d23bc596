"""J2, J3: what begins, ends and fails to begin: everybody who waits is told, before and after a crash."""

from __future__ import annotations

from functools import partial

import attrs
import pytest
import trio
from tests.durable.worlds import double, in_virtual_time, open_world, told, until_cut

import histrio
from histrio.durable import ContinueAs, DurableActor, DurableRef, DurableTree, open_tree
from histrio_kernel.journal.codec import shown
from histrio_kernel.journal.memory import MemoryJournal
from histrio_kernel.journal.stored import Stored
from histrio_kernel.signals import Kind


@attrs.frozen
class Do(histrio.Request[object]):
    """Do what the word says, with one's child."""

    word: str


class Child(DurableActor[Do], behaviour="ends.child"):
    """Begins well, or fails in its first step, or in a later one."""

    def __init__(self, begins: str) -> None:
        self.begins = begins

    async def started(self) -> None:
        if self.begins == "fails":
            raise LookupError("no beginning")
        if self.begins == "fails later":
            await self.io(double, 100)
            raise LookupError("no beginning")

    @histrio.handler(Do)
    async def do(self, do: Do) -> object:
        if do.word == "end":
            self.finish("the end")
        return do.word


class Parent(DurableActor[Do], behaviour="ends.parent"):
    """Spawns, joins, asks, and goes on anew."""

    @histrio.handler(Do)
    async def do(self, do: Do) -> object:
        match do.word.split("/"):
            case ["spawn", begins]:
                child = await self.spawn(Child, begins)
                return child.path
            case ["join", begins]:
                child = await self.spawn(Child, begins)
                try:
                    return await child.join()
                except histrio.ActorFailed as failure:
                    return str(failure.reason.cause)
            case ["ask ended"]:
                child = await self.spawn(Child, "well")
                await child.ask(Do("end"))
                await child.join()
                try:
                    return await child.ask(Do("hello"))
                except histrio.ActorStopped:
                    return f"nobody, and {await child.join()}"
            case ["named"]:
                child = await self.spawn(Child, "well", name="anna")
                await child.ask(Do("end"))
                return await child.join()
            case ["spawn and leave"]:
                await self.spawn(Child, "well")
                self.finish("left")
                return None
            case _:
                return ContinueAs(Parent)


@pytest.mark.parametrize("begins", ["fails", "fails later"])
def test_a_child_that_fails_to_begin_ends_with_that_error(begins: str) -> None:
    """J3: whoever joins it has the error, its parent lives on, and all of that is so after a crash."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            parent = await tree.spawn(Parent, name="parent")
            assert await parent.ask(Do(f"join/{begins}")) == "no beginning"
            assert tree.states() == {"/parent": "live", "/parent/child#1": "ended"}

    async def again() -> None:
        async with open_world(stored) as tree:
            assert tree.states() == {"/parent": "live", "/parent/child#1": "ended"}
            with pytest.raises(histrio.ActorFailed, match="LookupError: no beginning"):
                await tree.ref("/parent/child#1").join()
            parent = await tree.spawn(Parent, name="parent")
            assert await parent.ask(Do("spawn/well")) == "/parent/child#2"

    in_virtual_time(main)
    in_virtual_time(again)


def test_an_end_with_open_questions_is_known_tomorrow() -> None:
    """J3: whoever joins after a restart has the result, also if the actor ended while somebody waited for an answer.

    The answers that say that it has ended are behind its STOP, and `join` took it for one that had never lived.
    """
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            parent = await tree.spawn(Parent, name="parent")
            waits = parent.ask(Do("join/well"))
            await parent.ask(Do("spawn and leave"))
            with pytest.raises(histrio.ActorStopped):
                await waits

    async def again() -> object:
        async with open_world(stored) as tree:
            return await tree.ref("/parent").join()

    in_virtual_time(main)
    assert in_virtual_time(again) == "left"


def test_who_joins_is_told_that_the_journal_is_closed() -> None:
    """J3, A10: an actor that lives when its tree is closed has not ended; whoever joins it, then or later, has that error.

    `join` has waited for ever: nobody told it.
    """

    async def main() -> list[str]:
        said: list[str] = []

        async def join(ref: DurableRef[Do]) -> None:
            with pytest.raises(histrio.ActorStopped) as caught:
                await ref.join()
            said.append(str(caught.value))

        async with trio.open_nursery() as nursery:
            async with open_world(Stored()) as tree:
                parent = await tree.spawn(Parent, name="parent")
                nursery.start_soon(join, parent)
                await trio.sleep(1)
            await join(parent)
        return said

    with_reason = "/parent has ended: stopped (its journal has been closed; it goes on when that is opened again)"
    assert in_virtual_time(main) == [with_reason, with_reason]


def test_a_beginning_that_fails_after_a_wait_ends_the_actor() -> None:
    """J3: the spawn has succeeded, for the first step was stored; who joins has the error, today and tomorrow."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            child = await tree.spawn(Child, "fails later", name="child")
            with pytest.raises(histrio.ActorFailed, match="LookupError: no beginning"):
                await child.join()

    for _ in range(2):
        in_virtual_time(main)
    assert stored.read("/child", 0)[-1].kind is Kind.STOP


def test_whoever_asks_one_that_has_ended_is_told() -> None:
    """J2: a message to one that has ended is a dead letter, its asker has an answer, and `join` has the result still."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            parent = await tree.spawn(Parent, name="parent")
            assert await parent.ask(Do("ask ended")) == "nobody, and the end"
            with pytest.raises(histrio.ActorStopped, match="no durable actor lives there"):
                tree.ref("/parent/child#1").ask(Do("hello"))

    in_virtual_time(main)
    (letter,) = stored.dead
    assert (letter.to, letter.sender) == ("/parent/child#1", "/parent")
    assert letter.why == "no durable actor lives there"


def test_mail_to_one_that_has_ended_is_buried_after_a_crash() -> None:
    """J2: the power is cut after each commit, also with that message on its way: the asker is answered all the same."""

    async def ask(tree: DurableTree) -> None:
        parent = await tree.spawn(Parent, name="parent")
        await parent.ask(Do("ask ended"))

    async def go_on() -> None:
        async with open_world(stored):
            await trio.sleep(1)

    on_the_way = 0
    for commits in range(2, 20):
        stored = Stored()
        in_virtual_time(partial(until_cut, stored, commits, ask))
        child = stored.row("/parent/child#1")
        on_the_way += child is not None and child.state == "ended" and bool(stored.mail_of("/parent/child#1"))
        if stored.mail or len(stored.read("/parent", 0)) > 1:
            in_virtual_time(go_on)
            assert told(stored, "/parent")[-1] == "SEND ?! Value('nobody, and the end')", commits
            assert len(stored.dead) == 1
    assert on_the_way


def test_a_child_that_begins_in_the_last_step_of_its_parent_has_ended() -> None:
    """J2: nobody is left over when an actor spawns and ends at once."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            parent = await tree.spawn(Parent, name="parent")
            await parent.tell(Do("spawn and leave"))
            assert await parent.join() == "left"
            assert set(tree.states().values()) == {"ended"}

    async def again() -> dict[str, str]:
        async with open_world(stored) as tree:
            return tree.states()

    in_virtual_time(main)
    assert in_virtual_time(again) == {"/parent": "ended", "/parent/child#1": "ended"}


def test_a_past_is_rolled_up_without_the_children_that_have_ended() -> None:
    """J5: a loop of `ContinueAs` that has a child each time stays small, and the results can be had still."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            parent = await tree.spawn(Parent, name="parent")
            for _ in range(5):
                await parent.ask(Do("ask ended"))
                await parent.ask(Do("go on"))
            await parent.ask(Do("spawn/well"))
            await parent.ask(Do("go on"))

    async def again() -> object:
        async with open_world(stored) as tree:
            return await tree.ref("/parent/child#3").join()

    in_virtual_time(main)
    (beginning,) = stored.read("/parent", 0)
    assert "children=('/parent/child#6',), born=(('child', 6),)" in shown(beginning.payload)
    assert in_virtual_time(again) == "the end"


def test_a_name_is_given_once() -> None:
    """J5: also when the child has ended, and the past with it is rolled up: its records are there still."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            parent = await tree.spawn(Parent, name="parent")
            assert await parent.ask(Do("named")) == "the end"
            await parent.ask(Do("go on"))
            with pytest.raises(histrio.ActorFailed, match="/parent has a child called 'anna' already"):
                await parent.ask(Do("named"))

    in_virtual_time(main)


@pytest.mark.parametrize(
    "error", [LookupError("mine"), ExceptionGroup("mine", [LookupError("1"), LookupError("2")]), KeyboardInterrupt()]
)
def test_what_the_block_raises_leaves_it_as_it_is(error: BaseException) -> None:
    """J3: the scope of a tree puts no error into a group, and stops its actors first."""
    stored = Stored()
    closed: list[str] = []

    async def main() -> None:
        async with histrio.open_system() as system, MemoryJournal(stored) as journal:
            refs: list[DurableRef[Do]] = []
            try:
                async with open_tree(system, journal) as tree:
                    refs.append(await tree.spawn(Parent, name="p"))
                    raise error
            finally:
                try:
                    await refs[0].join()
                except histrio.ActorStopped as stopped:
                    closed.append(str(stopped))

    with pytest.raises(type(error)) as caught:
        in_virtual_time(main)
    assert caught.value is error
    assert len(closed) == 1


def test_what_the_block_raises_is_not_lost_when_all_is_cancelled() -> None:
    """J3: an error of the block leaves it also if the scope around is cancelled while the actors stop."""

    async def main() -> None:
        async with histrio.open_system() as system, MemoryJournal(Stored()) as journal:
            with trio.CancelScope() as scope:
                async with open_tree(system, journal) as tree:
                    await tree.spawn(Parent, name="p")
                    scope.cancel()
                    raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        in_virtual_time(main)
