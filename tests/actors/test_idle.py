"""`step_until_idle` lets all go as far as they can, and tells DONE, WAITING and DEADLOCK apart."""

from __future__ import annotations

import math
from typing import Final

import pytest
import trio
from tests.actors.standing import (
    Do,
    Doing,
    One,
    Serial,
    Tiny,
    asking,
    asking_each_other,
    awaiting,
    holding,
    nothing,
    sleeping,
)
from trio.testing import MockClock

import histrio
from histrio import Idle, IdleState, Ref

DONE: Final = IdleState.DONE
WAITING: Final = IdleState.WAITING
DEADLOCK: Final = IdleState.DEADLOCK


async def pair(system: histrio.System, kind: type[Doing] = Serial) -> tuple[Ref[Do], Ref[Do]]:
    """Two actors."""
    return await system.spawn(kind, name="a"), await system.spawn(kind, name="b")


def shown(idle: Idle) -> list[tuple[str, str]]:
    """Who waits for what."""
    return [(one.path, one.waits_for) for one in idle.waits]


# -- done --------------------------------------------------------------------------------------------------------------


async def test_nothing_is_left() -> None:
    """DONE: without actors; with idle ones; and when all that was begun has been done, however long the chain was."""
    async with histrio.open_system() as system:
        assert await system.step_until_idle() == Idle(DONE)
        refs = [await system.spawn(Doing) for _ in range(50)]
        assert await system.step_until_idle() == Idle(DONE)
        do = nothing()
        for ref in refs:
            do = asking(ref, do)
        answer = refs[0].ask(do)
        idle = await system.step_until_idle()

        assert idle == Idle(DONE)
        assert answer.is_done
        assert str(idle) == "done"


async def test_no_time_passes(autojump_clock: MockClock) -> None:
    """Actors go as far as they can without time; an autojump clock does not jump, and tells when it would."""
    async with histrio.open_system() as system:
        a, _ = await pair(system, Doing)
        began = trio.current_time()
        await a.tell(sleeping(5))
        await a.tell(sleeping(3))
        idle = await system.step_until_idle()

        assert trio.current_time() == began
        assert idle.state is WAITING
        assert idle.stuck == ()
        assert [one.until for one in idle.waits] == [began + 5, began + 3]
        assert idle.until == began + 3
        await trio.sleep(4)
        assert [one.until for one in (await system.step_until_idle()).waits] == [began + 5]
        await trio.sleep(4)
        assert (await system.step_until_idle()).state is DONE


async def test_a_run_that_receives_has_nothing_to_do() -> None:
    """DONE: a `run()` in `receive_next` rests as an actor with handlers does; one that selects waits."""

    class Hand(histrio.Actor[int]):
        async def run(self) -> None:
            await self.receive_next()
            await self.select(str)
            await self.receive_next()

    async with histrio.open_system() as system:
        hand = await system.spawn(Hand, name="hand")
        assert await system.step_until_idle() == Idle(DONE)
        await hand.tell(1)
        idle = await system.step_until_idle()

        assert (idle.state, shown(idle)) == (WAITING, [("/hand", "a message that it selects")])
        await hand.tell(2)
        idle = await system.step_until_idle()
        assert ("/hand", "/hand to take it (its run() does not ask for it)") in shown(idle)


# -- deadlocks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Serial, One])
async def test_two_that_ask_each_other(kind: type[Doing]) -> None:
    """DEADLOCK: who waits for whom is told, with the place in the code, and the circle is named."""
    async with histrio.open_system() as system:
        a, b = await pair(system, kind)
        answer = a.ask(asking_each_other(a, b))
        idle = await system.step_until_idle()

        why = "its turn is held" if kind is Serial else "in_flight_max of its handlers wait"
        assert idle.state is DEADLOCK
        assert idle.cycle == ("/a", "/b", "/a")
        assert shown(idle) == [
            ("/a", "the answer of /b to Do(name='ask'), which it has in hand"),
            ("/a", f"/a to take it ({why})"),
            ("/b", f"the answer of /a to Do(name='nothing') ({why})"),
        ]
        assert [one.on for one in idle.waits] == [("/b",), ("/a",), ("/a",)]
        assert idle.waits[0].what.startswith("Doing.receive at ")
        assert "standing.py:" in idle.waits[0].what
        assert idle.stuck == idle.waits
        assert idle.until is None
        assert str(idle).startswith("deadlock: /a -> /b -> /a\n  /a: Doing.receive at ")
        assert not answer.is_done
        system.kill()


async def test_the_same_two_without_serial() -> None:
    """DONE: waiting gives the turn away, so the same messages lead nowhere bad."""
    async with histrio.open_system() as system:
        a, b = await pair(system, Doing)
        await a.tell(asking_each_other(a, b))

        assert await system.step_until_idle() == Idle(DONE)


async def test_a_long_ring() -> None:
    """DEADLOCK: a ring of 1,000 is named from one end to the other."""
    async with histrio.open_system() as system:
        refs = [await system.spawn(Serial, name=str(number)) for number in range(1_000)]
        do = asking(refs[0])
        for ref in reversed(refs[1:]):
            do = asking(ref, do)
        await refs[0].tell(do)
        idle = await system.step_until_idle()

        assert idle.state is DEADLOCK
        assert idle.cycle == (*(f"/{number}" for number in range(1_000)), "/0")
        system.kill()


async def test_telling_through_full_inboxes() -> None:
    """DEADLOCK: two serial actors whose inboxes are full wait for room at each other; others are let go on."""

    def telling(other: Ref[Do]) -> Do:
        async def tell(_: Doing) -> None:
            for _number in range(3):
                await other.tell(nothing())

        return Do("tell", tell)

    for kind, state in ((Tiny, DEADLOCK), (Doing, DONE)):
        async with histrio.open_system() as system:
            a, b = await pair(system, kind)
            for one in (a, b):
                await one.control.pause()
            await a.tell(telling(b))
            await b.tell(telling(a))
            for one in (a, b):
                one.control.resume()
            idle = await system.step_until_idle()

            assert idle.state is state
            if state is DEADLOCK:
                assert idle.cycle == ("/a", "/b", "/a")
                assert ("/a", "room in the inbox of /b (its turn is held)") in shown(idle)
            system.kill()


async def test_runs_that_ask_each_other() -> None:
    """DEADLOCK: coroutines that ask each other, and none of them receives."""

    class Hand(histrio.Actor[Do]):
        other: Ref[Do] | None = None

        async def run(self) -> None:
            await self.receive_next()
            assert self.other is not None
            await self.other.ask(nothing())

    async with histrio.open_system() as system:
        one = await system.spawn(Hand, name="one")
        other = await system.spawn(Hand, name="other")
        for ref, peer in ((one, other), (other, one)):
            cell = system.find_cell(ref.path, ref._inbox)
            assert cell is not None
            assert isinstance(cell.actor, Hand)
            cell.actor.other = peer
            await ref.tell(nothing())
        idle = await system.step_until_idle()

        assert idle.state is DEADLOCK
        assert idle.cycle == ("/one", "/other", "/one")
        assert ("/one", "the answer of /other to Do(name='nothing') (its run() does not ask for it)") in shown(idle)
        system.kill()


async def test_a_parent_that_joins_who_asks_it() -> None:
    """DEADLOCK: an end that can only come after an answer of the one who waits for the end."""

    async def join(actor: Doing) -> None:
        await (await actor.spawn(Asking, actor.ref, name="child")).join()

    class Asking(histrio.Actor[Do]):
        def __init__(self, parent: Ref[Do]) -> None:
            self.above = parent

        async def run(self) -> None:
            await trio.lowlevel.checkpoint()
            await self.above.ask(nothing())

    for kind, state in ((Serial, DEADLOCK), (Doing, DONE)):
        async with histrio.open_system() as system:
            a = await system.spawn(kind, name="a")
            await a.tell(Do("join", join))
            idle = await system.step_until_idle()

            assert idle.state is state
            if state is DEADLOCK:
                assert idle.cycle == ("/a", "/a/child", "/a")
                assert ("/a", "the end of /a/child") in shown(idle)
            system.kill()


async def test_a_child_that_asks_who_starts_it() -> None:
    """DEADLOCK: `started()` without a deadline, in an actor whose parent waits for its start."""

    class Asking(histrio.Actor[Do]):
        start_s = math.inf

        def __init__(self, parent: Ref[Do]) -> None:
            self.above = parent

        async def started(self) -> None:
            await self.above.ask(nothing())

    class Hasty(Asking):
        start_s = 10

    async def spawn(actor: Doing) -> None:
        await actor.spawn(Asking, actor.ref, name="child")

    async def spawn_hasty(actor: Doing) -> None:
        await actor.spawn(Hasty, actor.ref, name="child")

    async with histrio.open_system() as system:
        a, b = await pair(system)
        await a.tell(Do("spawn", spawn))
        idle = await system.step_until_idle()
        assert (idle.state, idle.cycle) == (DEADLOCK, ("/a", "/a/child", "/a"))
        assert ("/a", "the start of /a/child") in shown(idle)
        await b.tell(Do("spawn", spawn_hasty))
        idle = await system.step_until_idle()

        assert idle.state is WAITING
        assert {one.path for one in idle.stuck} == {"/a", "/a/child"}
        assert idle.until is not None
        assert 9 < idle.until - trio.current_time() <= 10
        system.kill()


async def test_both_and_either() -> None:
    """DEADLOCK: whatever of two futures would be enough, none can come."""
    async with histrio.open_system() as system:
        a, b = await pair(system)
        c = await system.spawn(Serial, name="c")
        how = awaiting(lambda _: histrio.both(histrio.either(b.ask(nothing()), c.ask(nothing())), c.ask(nothing())))
        await a.tell(how)
        await b.tell(asking(a))
        await c.tell(asking(a))
        idle = await system.step_until_idle()

        assert (idle.state, idle.cycle) == (DEADLOCK, ("/a", "/b", "/a"))
        assert idle.waits[0].waits_for == (
            "(the answer of /b to Do(name='nothing') (its turn is held) or the answer of /c to Do(name='nothing') (its"
            " turn is held)) and the answer of /c to Do(name='nothing') (its turn is held)"
        )
        assert set(idle.waits[0].on) == {"/b", "/c"}
        system.kill()


async def test_all_ways_are_shut() -> None:
    """DEADLOCK: an `either` of which both sides wait for its own actor; one open way makes it WAITING."""
    for ways, state in (("bc", DEADLOCK), ("bp", WAITING), ("bs", WAITING)):
        async with histrio.open_system() as system:
            a, b = await pair(system)
            c = await system.spawn(Serial, name="c")
            back = asking(a)

            def make(
                actor: Doing, ways: str = ways, b: Ref[Do] = b, c: Ref[Do] = c, back: Do = back
            ) -> histrio.Future[object]:
                if ways == "bp":
                    actor.promises.append(actor.promise())
                    return histrio.either(b.ask(back), actor.promises[0])
                return histrio.either(b.ask(back), c.ask(back) if ways == "bc" else actor.io.clock.sleep(10))

            await a.tell(awaiting(make))
            idle = await system.step_until_idle()

            assert idle.state is state
            assert {one.path for one in idle.stuck} == ({"/a", "/b", "/c"} if ways == "bc" else set())
            wait = idle.waits[0].waits_for
            assert wait.startswith("the answer of /b to Do(name='ask'), which it has in hand or ")
            system.kill()


async def test_an_operation_that_asks() -> None:
    """DEADLOCK: an operation that waits for an answer waits as its handler does."""

    async def ask_by_io(actor: Doing) -> None:
        async def fetch() -> None:
            await b.ask(asking(a))

        await actor.io(fetch)

    async with histrio.open_system() as system:
        a, b = await pair(system)
        await a.tell(Do("io", ask_by_io))
        idle = await system.step_until_idle()

        assert (idle.state, idle.cycle) == (DEADLOCK, ("/a", "/b", "/a"))
        assert idle.waits[0].waits_for == (
            "its operation test_an_operation_that_asks.<locals>.ask_by_io.<locals>.fetch, which waits for the answer of"
            " /b to Do(name='ask'), which it has in hand"
        )
        assert idle.waits[0].on == ("/b",)
        system.kill()


async def test_a_queue_before_operations() -> None:
    """DEADLOCK: an operation that has no place because one that is stuck has it."""

    class Narrow(Serial):
        io_max = 1

    async def ask_by_io(actor: Doing) -> None:
        async def fetch() -> None:
            await b.ask(asking(a))

        actor.background(fetch)
        await actor.io(trio.lowlevel.checkpoint)

    async with histrio.open_system() as system:
        a, b = await pair(system, Narrow)
        await a.tell(Do("io", ask_by_io))
        idle = await system.step_until_idle()

        assert idle.state is DEADLOCK
        assert idle.waits[0].waits_for.startswith(
            "a place for its operation checkpoint, which waits for the answer of /b"
        )
        system.kill()


# -- pauses ------------------------------------------------------------------------------------------------------------


async def test_a_handler_that_waits_for_a_paused_actor() -> None:
    """DEADLOCK without a circle: only somebody outside can resume it; then all goes on."""
    async with histrio.open_system() as system:
        a, b = await pair(system, Doing)
        await b.control.pause()
        assert await system.step_until_idle() == Idle(DONE, paused=("/b",))
        await a.tell(asking(b))
        idle = await system.step_until_idle()

        assert (idle.state, idle.cycle, idle.paused) == (DEADLOCK, (), ("/b",))
        assert shown(idle) == [
            ("/a", "the answer of /b to Do(name='nothing') (paused)"),
            ("/b", "/b to take it (paused)"),
        ]
        assert str(idle).startswith("deadlock (paused: /b)\n")
        b.control.resume()
        assert await system.step_until_idle() == Idle(DONE)


async def test_mail_of_a_paused_actor() -> None:
    """WAITING: no handler waits, and somebody has to resume it; stepping takes one message after the other."""
    async with histrio.open_system() as system:
        a, _ = await pair(system)
        await a.control.pause()
        for _ in range(2):
            await a.tell(nothing())
        idle = await system.step_until_idle()

        assert (idle.state, idle.paused) == (WAITING, ("/a",))
        assert [(one.what, one.is_stuck) for one in idle.waits] == [("mail (2 queued)", True)]
        a.control.step()
        assert [one.what for one in (await system.step_until_idle()).waits] == ["mail (1 queued)"]


async def test_a_paused_run() -> None:
    """A `run()` that is paused rests where it is; what waits in its inbox is told."""

    class Hand(histrio.Actor[int]):
        async def run(self) -> None:
            while True:
                await self.receive_next()

    async with histrio.open_system() as system:
        hand = await system.spawn(Hand, name="hand")
        await system.step_until_idle()
        await hand.control.pause()
        assert await system.step_until_idle() == Idle(DONE, paused=("/hand",))
        await hand.tell(1)
        idle = await system.step_until_idle()
        assert (idle.state, [one.what for one in idle.waits]) == (WAITING, ["mail (1 queued)"])
        hand.control.step()
        assert await system.step_until_idle() == Idle(DONE, paused=("/hand",))
        hand.control.resume()

        assert await system.step_until_idle() == Idle(DONE)


# -- who calls ---------------------------------------------------------------------------------------------------------


async def test_a_handler_cannot_wait_for_idleness() -> None:
    """A handler is part of what has to become idle, so it is refused, and told who may."""

    async def step(actor: Doing) -> None:
        with pytest.raises(histrio.HistrioError, match=r"called by a handler of /a, which cannot be idle meanwhile"):
            await actor.system.step_until_idle()

    async with histrio.open_system() as system:
        a, _ = await pair(system)
        await a.ask(Do("step", step))


async def test_each_system_for_itself() -> None:
    """What waits in another system is not told; what is asked of it comes from outside."""
    async with histrio.open_system("one") as one, histrio.open_system("two") as two:
        a = await one.spawn(Doing, name="a")
        b = await two.spawn(Doing, name="b")
        await b.tell(holding())
        await a.tell(asking(b))

        idle = await one.step_until_idle()
        assert (idle.state, shown(idle)) == (WAITING, [("/a", "the answer of /b to Do(name='nothing')")])
        assert [one.path for one in (await two.step_until_idle()).waits] == ["/b", "/b"]
        two.kill()
        one.kill()
