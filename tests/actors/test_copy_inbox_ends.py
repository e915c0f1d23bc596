"""S4: copies end with the child and with the parent's incarnation; they nest; drawn programs."""

from __future__ import annotations

import gc

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.hearing import (
    Do,
    Hearing,
    Leader,
    Mail,
    Word,
    child_of,
    settle,
    tell_all,
)
from tests.inside import cell_of
from trio.testing import MockClock

import histrio
from histrio import Ref
from histrio_kernel.inbox import Inbox

# -- ends and restarts -------------------------------------------------------------------------------------------------


def inboxes() -> int:
    """How many inboxes anybody still has."""
    gc.collect()
    return sum(isinstance(one, Inbox) for one in gc.get_objects())


@pytest.mark.parametrize("how", ["stop", "kill", "finish"])
async def test_a_child_that_has_ended_gets_nothing(how: str, autojump_clock: MockClock) -> None:
    """S4: the parent goes on, nothing is lost but what was the child's, and nobody keeps its inbox."""
    mine: list[str] = []
    heard: list[str] = []

    class Finishing(Hearing):
        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            self.heard.append(m.text)
            if m.text == "b":
                self.finish()
            return ""

    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        before = inboxes()
        child = await child_of(parent, Finishing if how == "finish" else Hearing, heard)
        await tell_all(parent, "ab")
        await settle()
        if how != "finish":
            await getattr(child.control, how)()
        await settle()
        assert child.control.is_done
        assert inboxes() == before + 1
        del child
        await tell_all(parent, "cd")
        await trio.sleep(2)  # until the watchdog has let it go, too

        assert (mine, heard) == (list("abcd"), list("ab"))
        assert inboxes() == before
        assert cell_of(system, parent).inbox.copies is None
        assert system.dead_letters.count == 0


async def test_a_child_that_is_stopping_gets_nothing(autojump_clock: MockClock) -> None:
    """S4: from the moment its intake is closed no copy is made, and the parent's mail goes on."""
    heard: list[str] = []

    class Lingering(Hearing):
        async def stopped(self, reason: histrio.Reason) -> None:
            await trio.sleep(2)

    async with histrio.open_system() as system:
        parent = await system.spawn(Leader)
        child = await child_of(parent, Lingering, heard)
        ended = child.control.stop()
        assert await parent.ask(Word("a")) == parent.path
        await ended

        assert heard == []


async def test_the_parent_ends_first_in_order() -> None:
    """S4: what the parent had accepted, the child has too, and both handle it before they end."""
    mine: list[str] = []
    heard: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Leader, mine)
        await child_of(parent, Hearing, heard)
        await tell_all(parent, "abc")
        await parent.control.stop()

        assert (mine, heard) == (list("abc"), list("abc"))


async def test_a_restart_of_the_parent(autojump_clock: MockClock) -> None:
    """S4: children end with the incarnation; the next one's child gets what its parent has not read yet, then the rest."""
    heard: list[tuple[int, str]] = []
    mine: list[tuple[int, str]] = []
    made: list[histrio.Actor[Word]] = []

    class Listener(histrio.Actor[Word]):
        def __init__(self, number: int) -> None:
            self.number = number

        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            heard.append((self.number, m.text))
            return ""

    class Parent(histrio.Actor[Word]):
        async def started(self) -> None:
            made.append(self)
            self.number = len(made)
            await self.spawn(Listener, self.number, copy_inbox=True)

        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            mine.append((self.number, m.text))
            if m.text == "fail":
                await self.io.clock.sleep(1)
                raise ValueError("told to fail")
            if m.text == "hold":
                await trio.sleep(2)  # so that the failure finds the rest unread
            return ""

    async with histrio.open_system() as system:
        spec = histrio.child("parent", Parent)
        supervisor = await system.spawn(histrio.Supervisor, spec)
        parent = supervisor.child(spec)
        for text in ("a", "fail", "hold", "b", "c"):
            await parent.tell(Word(text))
        await trio.sleep(10)
        await parent.tell(Word("d"))
        await settle()

    assert mine == [(1, "a"), (1, "fail"), (1, "hold"), (2, "b"), (2, "c"), (2, "d")]
    assert heard == [
        (1, "a"), (1, "fail"), (1, "hold"), (1, "b"), (1, "c"), (2, "b"), (2, "c"), (2, "d"),
    ]  # fmt: skip


async def test_a_redelivered_message_is_copied_once(autojump_clock: MockClock) -> None:
    """S4, S3: what a restart delivers again was copied when it came; the child of the new incarnation gets it as unread."""
    heard: list[tuple[int, str]] = []
    made: list[object] = []

    class Listener(histrio.Actor[Word]):
        def __init__(self, number: int) -> None:
            self.number = number

        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            heard.append((self.number, m.text))
            return ""

    class Parent(histrio.Actor[Word]):
        redeliver_max = 1

        async def started(self) -> None:
            made.append(self)
            await self.spawn(Listener, len(made), copy_inbox=True)

        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            if len(made) == 1:
                await self.io.clock.sleep(1)
                raise ValueError("the first time it fails")
            return ""

    async with histrio.open_system() as system:
        spec = histrio.child("parent", Parent)
        supervisor = await system.spawn(histrio.Supervisor, spec)
        await supervisor.child(spec).tell(Word("a"))
        await trio.sleep(10)

    assert heard == [(1, "a"), (2, "a")]


# -- nested ------------------------------------------------------------------------------------------------------------


async def test_copies_of_copies() -> None:
    """S4: a grandchild hears what its parent hears, copies too, also what waited when it was spawned."""
    child_heard: list[str] = []
    grand_heard: list[str] = []

    class Middle(Hearing):
        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            self.heard.append(m.text)
            if m.text == "b":
                await self.spawn(Hearing, grand_heard, copy_inbox=True)
            return ""

    async with histrio.open_system() as system:
        parent = await system.spawn(Leader)
        child = await child_of(parent, Middle, child_heard)
        await child.control.pause()
        await tell_all(parent, "abc")
        child.control.resume()
        await settle()
        await tell_all(parent, "d")
        await child.tell(Word("only below"))
        await settle()

        assert child_heard == ["a", "b", "c", "d", "only below"]
        assert grand_heard == ["c", "d", "only below"]


async def test_deep_and_wide() -> None:
    """S4: a tree of three levels, three children each: everybody hears everything once."""
    heard: dict[str, list[str]] = {}

    class Branching(histrio.Actor[Word]):
        def __init__(self, levels: int) -> None:
            self.levels = levels

        async def started(self) -> None:
            heard[self.ref.path] = []
            if self.levels:
                for _ in range(3):
                    await self.spawn(Branching, self.levels - 1, copy_inbox=True)

        @histrio.handler(Word)
        async def hear(self, m: Word) -> str:
            heard[self.ref.path].append(m.text)
            return ""

    async with histrio.open_system() as system:
        top = await system.spawn(Branching, 3)
        await tell_all(top, "abc")
        await settle()

    assert len(heard) == 1 + 3 + 9 + 27
    assert all(words == list("abc") for words in heard.values())


# -- drawn -------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Tell:
    """Tell the parent a word, by one of the ways."""

    ask: bool


@attrs.frozen
class Spawn:
    """Tell the parent to spawn one more child."""


@attrs.frozen
class Read:
    """Let the parent read so many messages."""

    count: int


@attrs.frozen
class End:
    """Kill one of the children."""

    which: int


ops = st.lists(
    st.one_of(
        st.builds(Tell, st.booleans()),
        st.just(Spawn()),
        st.builds(Read, st.integers(1, 3)),
        st.builds(End, st.integers(0, 5)),
    ),
    max_size=30,
)


def expected(program: list[object]) -> list[list[int]]:
    """What each child hears, by a parent that is a list."""
    queue: list[int | None] = []
    heard: list[list[int]] = []
    alive: list[bool] = []
    number = 0

    def copy(item: int | None, to: list[int]) -> None:
        if item is not None:
            to.append(item)

    def read(count: int) -> None:
        for _ in range(min(count, len(queue))):
            if queue.pop(0) is None:
                heard.append([])
                alive.append(True)
                for item in queue:
                    copy(item, heard[-1])

    for op in program:
        if isinstance(op, Tell | Spawn):
            item = None
            if isinstance(op, Tell):
                item, number = number, number + 1
            queue.append(item)
            for child, lives in zip(heard, alive, strict=True):
                if lives:
                    copy(item, child)
        elif isinstance(op, Read):
            read(op.count)
        elif isinstance(op, End) and op.which < len(alive):
            alive[op.which] = False
    read(len(queue))
    return heard


async def play(program: list[object]) -> list[list[int]]:
    """The same with actors."""
    lists: list[list[str]] = []
    refs: list[Ref[Mail]] = []

    async def spawn(parent: Hearing) -> None:
        lists.append([])
        refs.append(await parent.spawn(Hearing, lists[-1], copy_inbox=True))

    async with histrio.open_system() as system:
        parent = await system.spawn(Leader)
        await parent.control.pause()
        answers: list[histrio.Future[str]] = []
        number = 0
        for op in program:
            if isinstance(op, Tell):
                word, number = Word(str(number)), number + 1
                if op.ask:
                    answers.append(parent.ask(word))
                else:
                    parent.tell_nowait(word)
            elif isinstance(op, Spawn):
                parent.tell_nowait(Do(spawn))
            elif isinstance(op, Read):
                count = min(op.count, system.tree().children[0].queued)
                if count:
                    await parent.control.step(count)
            elif isinstance(op, End) and op.which < len(refs):
                await settle()  # it has handled what it had
                await refs[op.which].control.kill()
        parent.control.resume()
        await settle()
        assert [await answer for answer in answers] == [parent.path] * len(answers)
    return [[int(text) for text in heard] for heard in lists]


@given(ops)
def test_drawn_programs(program: list[object]) -> None:
    """S4: for drawn orders of sending, spawning, reading and ending, each child hears what a list of lists says."""
    assert trio.run(play, program) == expected(program)
