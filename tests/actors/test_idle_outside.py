"""`step_until_idle` tells WAITING for whatever may come from outside, and never a deadlock where something may."""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import trio
from tests.actors.standing import (
    Do,
    Doing,
    Serial,
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


async def pair(system: histrio.System) -> tuple[Ref[Do], Ref[Do]]:
    """Two serial actors, which stand still as soon as one asks the other to ask it."""
    return await system.spawn(Serial, name="a"), await system.spawn(Serial, name="b")


# -- what may come -----------------------------------------------------------------------------------------------------


async def test_plain_trio() -> None:
    """WAITING: what a handler awaits of Trio is not ours to know; its deadline is, where it has one."""
    async with histrio.open_system() as system:
        a, b = await pair(system)
        now = trio.current_time()
        await a.tell(holding())
        await b.tell(holding(1_000))
        idle = await system.step_until_idle()

        assert idle.state is WAITING
        assert [(one.path, one.waits_for) for one in idle.waits] == [
            ("/a", "something that is not Histrio's"),
            ("/b", "something that is not Histrio's"),
        ]
        assert idle.waits[0].what.startswith("Doing.receive at ")
        assert idle.waits[0].until is None
        assert idle.waits[1].until == pytest.approx(now + 1_000, abs=10)
        system.kill()


async def test_promises() -> None:
    """WAITING: whoever has a promise may complete it, and who that is, nobody knows."""

    def make(actor: Doing) -> histrio.Future[object]:
        actor.promises.append(actor.promise())
        return actor.promises[-1]

    async with histrio.open_system() as system:
        a, _ = await pair(system)
        await a.tell(awaiting(make))
        idle = await system.step_until_idle()

        assert idle.state is WAITING
        assert idle.waits[0].waits_for == "a promise, which whoever has it may complete"
        assert idle.waits[0].on == ()
        system.kill()


async def test_select() -> None:
    """WAITING: anybody may send what is selected; whoever waits to be heard meanwhile is not stuck either."""
    async with histrio.open_system() as system:
        a = await system.spawn(Doing, name="a")
        b = await system.spawn(Serial, name="b")
        await a.tell(Do("select", lambda actor: actor.select(lambda m: m.name == "wanted")))
        await b.tell(asking(a))
        idle = await system.step_until_idle()

        assert (idle.state, idle.stuck) == (WAITING, ())
        assert [(one.path, one.waits_for) for one in idle.waits] == [
            ("/a", "a message that it selects"),
            ("/a", "/a to take it (it selects another message)"),
            ("/b", "the answer of /a to Do(name='nothing') (it selects another message)"),
        ]
        await a.tell(Do("wanted", nothing().what))
        assert await system.step_until_idle() == Idle(DONE)


async def test_answers_that_are_owed() -> None:
    """WAITING: who has the envelope of an ask may answer it, also when no handler is about it any more."""
    kept: list[histrio.Envelope[Do]] = []

    async def take(actor: Doing) -> None:
        kept.append(await actor.select(Do, envelope=True))

    async with histrio.open_system() as system:
        a, b = await pair(system)
        await a.tell(Do("take", take))
        await b.tell(asking(a))
        idle = await system.step_until_idle()

        assert (idle.state, idle.stuck) == (WAITING, ())
        assert (idle.waits[0].path, idle.waits[0].what) == ("/a", "an ask that it has taken")
        assert idle.waits[1].waits_for == "the answer of /a to Do(name='nothing'), which it has taken"
        kept[0].reply(None)
        assert await system.step_until_idle() == Idle(DONE)


async def test_what_was_put_by() -> None:
    """WAITING: mail in the stash is mail."""

    class Stashing(Doing):
        stash_max = 2

        async def receive(self, message: Do) -> object:
            if message.name == "unstash":
                return self.unstash()
            if message.name == "later" and not self.promises:
                self.promises.append(self.promise())
                self.stash(message)
            return None

    async with histrio.open_system() as system:
        a = await system.spawn(Stashing, name="a")
        b = await system.spawn(Serial, name="b")
        later = Do("later", nothing().what)
        await b.tell(asking(a, later))
        idle = await system.step_until_idle()

        assert (idle.state, idle.stuck) == (WAITING, ())
        assert idle.waits[0].what == "mail (1 put by)"
        await a.tell(Do("unstash", nothing().what))
        assert await system.step_until_idle() == Idle(DONE)


async def test_operations_and_timers_and_tasks(autojump_clock: MockClock) -> None:
    """WAITING: what runs beside the handlers, with the time at which it is over, if that is known."""

    async def begin(actor: Doing) -> None:
        actor.background(trio.sleep, 7)
        actor.background(trio.sleep_forever)
        actor.timers.after(5, nothing(), key="once")
        actor.timers.every(3, nothing())

    async with histrio.open_system() as system:
        now = trio.current_time()
        a = await system.spawn(Doing, name="a")
        await a.ask(Do("begin", begin))
        idle = await system.step_until_idle()

        assert (idle.state, idle.until) == (WAITING, now + 3)
        assert [(one.what, one.waits_for, one.until) for one in idle.waits] == [
            ("the actor", "its operation sleep", now + 7),
            ("the actor", "its operation sleep_forever", None),
            ("timer <timer 2> and 1 more", "its time", now + 3),
        ]
        await trio.sleep(6)
        (_, timer) = (await system.step_until_idle()).waits[-2:]
        assert (timer.what, timer.until) == ("timer <timer 2>", now + 9)
        await a.control.stop()
        assert await system.step_until_idle() == Idle(DONE)


async def test_a_timer_that_is_stuck_in_line(autojump_clock: MockClock) -> None:
    """A timer whose message stands in line is mail, and no time."""

    class Small(Serial):
        inbox_max = 1

    async with histrio.open_system() as system:
        a = await system.spawn(Small, name="a")
        await a.ask(Do("set", lambda actor: _set(actor, 1)))
        await a.control.pause()
        await a.tell(nothing())
        await trio.sleep(2)
        idle = await system.step_until_idle()

        assert (idle.state, idle.until) == (WAITING, None)
        assert [one.what for one in idle.waits] == ["mail (1 queued and 1 in line)"]


async def _set(actor: Doing, seconds: float) -> None:
    actor.timers.after(seconds, nothing())


async def test_backoffs(autojump_clock: MockClock) -> None:
    """WAITING: an actor that waits to be started again is told, with the time."""

    class Failing(Doing):
        async def receive(self, message: Do) -> object:
            raise ValueError("told to fail")

    async with histrio.open_system() as system:
        spec = histrio.child("a", Failing)
        sup = await system.spawn(
            histrio.child("sup", histrio.Supervisor, spec, backoff=histrio.Backoff(first_s=4, jitter=0))
        )
        b = await system.spawn(Serial, name="b")
        now = trio.current_time()
        await sup.child(spec).tell(nothing())
        await system.step_until_idle()
        await b.tell(asking(sup.child(spec)))
        idle = await system.step_until_idle()

        assert (idle.state, idle.stuck, idle.until) == (WAITING, (), now + 4)
        assert ("/sup/a", "it is restarting and") in [(one.path, one.what) for one in idle.waits]
        assert ("/b", "the answer of /sup/a to Do(name='nothing') (restarting)") in [
            (one.path, one.waits_for) for one in idle.waits
        ]
        system.kill()


async def test_a_nudge() -> None:
    """WAITING: a process that is to be nudged has something to do; one that is paused is told among the paused."""

    class Place(enum.Enum):
        HERE = 1

    class Walk(histrio.Process[Place, int]):
        initial = Place.HERE

        async def advance(self) -> histrio.Done[int]:
            return histrio.Done(1)

    async with histrio.open_system() as system:
        walk = await system.spawn(Walk, name="walk")
        idle = await system.step_until_idle()
        assert (idle.state, [one.waits_for for one in idle.waits]) == (WAITING, ["a nudge"])
        await walk.control.pause()
        idle = await system.step_until_idle()
        assert idle == Idle(DONE, paused=("/walk",))
        walk.control.resume()
        await walk.control.nudge()

        assert await system.step_until_idle() == Idle(DONE)


# -- deadlines ---------------------------------------------------------------------------------------------------------


Wrap = Callable[[Callable[[], Awaitable[object]]], Awaitable[object]]


async def _move_on(ask: Callable[[], Awaitable[object]]) -> object:
    with trio.move_on_after(5):
        return await ask()
    return "late"


async def _fail(ask: Callable[[], Awaitable[object]]) -> object:
    try:
        with trio.fail_after(5):
            return await ask()
    except trio.TooSlowError:
        return "late"


async def _by_nursery(ask: Callable[[], Awaitable[object]]) -> object:
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 5
        return await ask()
    return "late"


@pytest.mark.parametrize("wrap", [_move_on, _fail, _by_nursery])
async def test_a_deadline_around_a_wait(wrap: Wrap, autojump_clock: MockClock) -> None:
    """WAITING: a handler that gives up after a while is not stuck, nor is who waits for it; and so it comes."""

    async def patiently(_: Doing) -> object:
        return await wrap(lambda: b.ask(asking(a)))

    async with histrio.open_system() as system:
        a, b = await pair(system)
        now = trio.current_time()
        await a.tell(Do("patiently", patiently))
        idle = await system.step_until_idle()

        assert (idle.state, idle.stuck, idle.cycle, idle.until) == (WAITING, (), (), now + 5)
        assert idle.waits[0].waits_for == "the answer of /b to Do(name='ask'), which it has in hand"
        await trio.sleep(6)
        assert await system.step_until_idle() == Idle(DONE)


async def test_a_deadline_of_an_operation(autojump_clock: MockClock) -> None:
    """WAITING: `timeout_s` of an operation ends its wait, and with it that of the handler."""

    async def patiently(actor: Doing) -> None:
        async def fetch() -> None:
            await b.ask(asking(a))

        with pytest.raises(trio.TooSlowError):
            await actor.io(fetch, timeout_s=3)

    async with histrio.open_system() as system:
        a, b = await pair(system)
        now = trio.current_time()
        await a.tell(Do("patiently", patiently))
        idle = await system.step_until_idle()

        assert (idle.state, idle.stuck, idle.until) == (WAITING, (), now + 3)
        await trio.sleep(4)
        assert await system.step_until_idle() == Idle(DONE)


async def test_a_deadline_that_is_over(autojump_clock: MockClock) -> None:
    """DEADLOCK: a scope that was left before does not help; one around the whole system is nobody's way on."""

    async def impatiently(_: Doing) -> None:
        with trio.move_on_after(1_000) as scope:
            await b.ask(nothing())
        assert not scope.cancelled_caught
        await b.ask(asking(a))

    with trio.fail_after(10_000):
        async with histrio.open_system() as system:
            a, b = await pair(system)
            await a.tell(Do("impatiently", impatiently))
            idle = await system.step_until_idle()

            assert (idle.state, idle.cycle) == (DEADLOCK, ("/a", "/b", "/a"))
            system.kill()


async def test_the_deadline_of_a_stop(autojump_clock: MockClock) -> None:
    """WAITING: an actor that stops is cancelled at `shutdown_s`, which frees those who wait for it."""
    async with histrio.open_system() as system:
        a, b = await pair(system)
        now = trio.current_time()
        await a.tell(asking_each_other(a, b))
        assert (await system.step_until_idle()).state is DEADLOCK
        a.control.stop(grace_s=2)
        idle = await system.step_until_idle()

        assert (idle.state, idle.stuck, idle.until) == (WAITING, (), now + 2)
        system.kill()


async def test_a_stop_without_a_deadline() -> None:
    """DEADLOCK: what is to be drained never will be."""

    class Patient(Serial):
        shutdown_s = math.inf

    async with histrio.open_system() as system:
        a = await system.spawn(Patient, name="a")
        b = await system.spawn(Patient, name="b")
        await a.tell(asking_each_other(a, b))
        await system.step_until_idle()
        a.control.stop()
        idle = await system.step_until_idle()

        assert (idle.state, idle.cycle) == (DEADLOCK, ("/a", "/b", "/a"))
        system.kill()


async def test_what_ignores_cancellation(autojump_clock: MockClock) -> None:
    """WAITING: an actor that was killed and does not end is told as what it does."""

    async def hold(_: Doing) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(9)

    async with histrio.open_system() as system:
        a, b = await pair(system)
        now = trio.current_time()
        await a.tell(Do("hold", hold))
        await b.tell(Do("join", lambda _: a.join()))
        await system.step_until_idle()
        a.control.kill()
        idle = await system.step_until_idle()

        assert (idle.state, idle.stuck, idle.until) == (WAITING, (), now + 9)
        assert ("/b", "the end of /a") in [(one.path, one.waits_for) for one in idle.waits]
        system.kill()


# -- tasks of one's own ------------------------------------------------------------------------------------------------


async def test_a_nursery_in_a_handler() -> None:
    """WAITING: a task that runs beside a handler may end its wait; one that has none is stuck."""

    async def ask_beside(beside: bool, _: Doing) -> None:
        async with trio.open_nursery() as nursery:
            if beside:
                nursery.start_soon(trio.sleep_forever)
            await b.ask(asking(a))

    for beside, state in ((True, WAITING), (False, DEADLOCK)):
        async with histrio.open_system() as system:
            a, b = await pair(system)
            await a.tell(Do("ask", functools.partial(ask_beside, beside)))

            assert (await system.step_until_idle()).state is state
            system.kill()


async def test_visits() -> None:
    """A task that stands in line for the turn waits for whoever holds it; one that has it may keep others from it."""

    async def visit(actor: Doing) -> None:
        async def work() -> None:
            async with actor.turn():
                await trio.sleep_forever()

        actor.background(work)
        actor.background(work)

    async with histrio.open_system() as system:
        a, b = await pair(system)
        await a.ask(Do("visit", visit))
        await b.tell(asking(a))
        idle = await system.step_until_idle()

        assert (idle.state, idle.stuck) == (WAITING, ())
        waits = {(one.path, one.waits_for) for one in idle.waits}
        assert waits >= {
            ("/a", "something that is not Histrio's"),
            ("/a", "the turn of /a"),
            ("/b", "the answer of /a to Do(name='nothing') (its turn is held)"),
        }
        system.kill()


async def test_a_visit_that_is_stuck() -> None:
    """DEADLOCK: a visitor that waits in its visit for somebody who waits for the turn."""

    async def visit(actor: Doing) -> None:
        async def work() -> None:
            async with actor.turn():
                await b.ask(asking(a))

        actor.background(work)

    async with histrio.open_system() as system:
        a, b = await pair(system)
        await a.ask(Do("visit", visit))
        idle = await system.step_until_idle()

        assert (idle.state, idle.cycle) == (DEADLOCK, ("/a", "/b", "/a"))
        system.kill()


# -- stuck beside what moves -------------------------------------------------------------------------------------------


async def test_stuck_beside_what_moves(autojump_clock: MockClock) -> None:
    """WAITING with `stuck`: what moves may still kill what cannot; when it has ended, it is a DEADLOCK."""
    async with histrio.open_system() as system:
        a, b = await pair(system)
        await a.tell(asking_each_other(a, b))
        c = await system.spawn(Doing, name="c")
        await c.tell(sleeping(5))
        idle = await system.step_until_idle()

        assert (idle.state, idle.cycle) == (WAITING, ("/a", "/b", "/a"))
        assert {one.path for one in idle.stuck} == {"/a", "/b"}
        assert str(idle.stuck[0]).endswith(" (stuck)")
        await trio.sleep(6)
        idle = await system.step_until_idle()

        assert (idle.state, idle.cycle) == (DEADLOCK, ("/a", "/b", "/a"))
        system.kill()


async def test_joining() -> None:
    """WAITING: an actor that rests may be stopped by anybody, or told to finish."""
    async with histrio.open_system() as system:
        a, b = await pair(system)
        await a.tell(Do("join", lambda _: b.join()))
        idle = await system.step_until_idle()

        assert (idle.state, idle.stuck, idle.waits[0].waits_for) == (WAITING, (), "the end of /b")
        await b.control.stop()
        assert await system.step_until_idle() == Idle(DONE)
