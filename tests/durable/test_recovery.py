"""J2, J3: what is in the journal was done, is not done again, and nothing else has left the actor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random

import attrs
import pytest
import trio
from tests.conftest import Show
from tests.durable.worlds import OUTSIDE, double, in_virtual_time, open_world, told, until_cut

import histrio
from histrio.durable import DurableActor, DurableTree
from histrio_kernel.combine import Rest
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import Batch
from histrio_kernel.journal.stored import Stored
from histrio_kernel.signals import Kind


@attrs.frozen
class Go(histrio.Request[list[object]]):
    """Do everything once."""

    number: int


@attrs.frozen
class Work(histrio.Request[int]):
    """Twice this and the next number, together."""

    number: int


@attrs.frozen
class Note:
    """Remember a word; "end" is the last one."""

    word: str


class Kid(DurableActor[Work | Note]):
    """Works, and takes notes."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.notes: list[str] = []

    async def started(self) -> None:
        self.first = await self.io(double, self.number)

    @histrio.handler(Work)
    async def work(self, work: Work) -> int:
        one, other = await histrio.both(self.io(double, work.number), self.io(double, work.number + 1))
        return (one or 0) + (other or 0)

    @histrio.handler(Note)
    async def note(self, note: Note) -> None:
        self.notes.append(note.word)
        if note.word == "end":
            self.finish(tuple(self.notes))


class Top(DurableActor[Go]):
    """Has a child work, loses a race on purpose, and hears of an end."""

    def __init__(self) -> None:
        self.log: list[object] = []

    @histrio.handler(Go)
    async def go(self, go: Go) -> list[object]:
        kid = await self.spawn(Kid, go.number)
        await kid.tell(Note("begin"))
        self.log.append(await kid.ask(Work(go.number)))
        winner = await histrio.either(self.io(double, 900), self.sleep(0.5))
        self.log.append(type(winner).__name__)
        try:
            await self.io(double, 13)
        except ValueError as error:
            self.log.append(str(error))
        await kid.tell(Note("end"))
        self.log.append(await kid.join())
        return self.log


ANSWER: list[object] = [2, "Right", "thirteen", ("begin", "end")]


async def ask_top(tree: DurableTree) -> list[object]:
    """The whole of it, or the rest of it if it was cut."""
    top = await tree.spawn(Top, name="top")
    if any(each.kind is Kind.RECEIVE for each in await tree.journal.records("/top")):
        while not any(each.key == "?!" for each in await tree.journal.records("/top")):  # noqa: ASYNC110 - no event
            await trio.sleep(0.1)
        return ANSWER
    return await top.ask(Go(1))


def run_whole(stored: Stored) -> list[object]:
    """To the end."""

    async def main() -> list[object]:
        async with open_world(stored) as tree:
            return await ask_top(tree)

    return in_virtual_time(main)


def commits_of(stored: Stored) -> int:
    """How many steps there are, about."""
    return sum(len(stored.read(path, 0)) for path in ("/top", "/top/kid#1"))


def test_what_is_promised_holds_without_a_crash() -> None:
    """J1: the answers are right, and each effect has happened once."""
    OUTSIDE.done.clear()
    stored = Stored()

    assert run_whole(stored) == ANSWER
    assert set(OUTSIDE.done.values()) == {1}
    assert len(OUTSIDE.done) == 5


def test_a_power_cut_after_any_commit_changes_nothing(show: Show) -> None:
    """J2, J3: cut after each commit, an actor goes on where it was: its records are those of a run that was not cut."""
    whole = Stored()
    run_whole(whole)
    commits = commits_of(whole)

    cuts = 0
    for number in range(1, commits):
        OUTSIDE.done.clear()
        stored = Stored()
        in_virtual_time(partial(until_cut, stored, number, ask_top))
        if told(stored, "/top") == told(whole, "/top"):
            break
        cuts += 1
        run_whole(stored)

        assert told(stored, "/top") == told(whole, "/top"), number
        assert sorted(told(stored, "/top/kid#1")) == sorted(told(whole, "/top/kid#1")), number
        assert max(OUTSIDE.done.values()) <= 2
    show(f"J3: a tree of two, cut after each of {cuts} commits")
    assert cuts >= 10


def test_two_cuts_in_one_run() -> None:
    """J3: what was made again is made again."""
    whole = Stored()
    run_whole(whole)
    random = Random(3)
    for _ in range(20):
        stored = Stored()
        for _ in range(3):
            in_virtual_time(partial(until_cut, stored, random.randrange(1, 6), ask_top))
        run_whole(stored)
        assert told(stored, "/top") == told(whole, "/top")


def test_nothing_leaves_before_it_is_in_the_journal() -> None:
    """J2: as long as the commit is not done, no effect has begun, no message has come, and nobody is answered."""

    async def main() -> None:
        stored = Stored()
        async with open_world(stored) as tree:
            top = await tree.spawn(Top, name="top")
            real = tree.journal.commit
            gate = trio.Event()

            async def commit(batch: Batch, rest: Rest | None = None) -> Sequence[Record]:
                await gate.wait()
                return await real(batch, rest)

            tree.journal.commit = commit  # type: ignore[method-assign]
            OUTSIDE.done.clear()
            answer = top.ask(Go(1))
            await trio.sleep(10)
            assert not OUTSIDE.done
            assert not answer.is_done
            assert "/top/kid#1" not in tree.states()
            gate.set()
            assert await answer == ANSWER

    in_virtual_time(main)


@pytest.mark.parametrize("number", [2, 13])
def test_none_and_errors_are_outcomes_like_any_other(number: int) -> None:
    """J3: an effect that gave None, and one that raised, are not asked again."""

    class Once(DurableActor[Work], behaviour=f"once {number}"):
        def __init__(self) -> None:
            self.seen = 0

        @histrio.handler(Work)
        async def work(self, work: Work) -> int:
            try:
                result = await self.io(double, work.number)
            except ValueError:
                result = -1
            self.seen += 1
            return -2 if result is None else result

    stored = Stored()

    async def first() -> None:
        async with open_world(stored) as tree:
            once = await tree.spawn(Once, name="once")
            assert await once.ask(Work(number)) == (-2 if number == 2 else -1)

    async def again() -> None:
        async with open_world(stored) as tree:
            assert tree.states() == {"/once": "live"}

    OUTSIDE.done.clear()
    in_virtual_time(first)
    for _ in range(3):
        in_virtual_time(again)
    assert set(OUTSIDE.done.values()) == {1}
