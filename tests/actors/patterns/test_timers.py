"""S8: timers send messages later, on the system's clock, through the inbox, and die with the incarnation."""

from __future__ import annotations

import functools
import gc
import math
from collections.abc import Hashable
from typing import Any, cast

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.patterns.ticking import (
    Do,
    Hold,
    Last,
    Log,
    New,
    Old,
    Refusing,
    Scene,
    Tick,
    Ticking,
    Tiny,
    ticking,
)
from tests.actors.worlds import World
from tests.conftest import Show
from tests.inside import actor_of, cell_of
from trio.testing import MockClock

import histrio
from histrio import Kind, Signal


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


# -- once, and again and again -----------------------------------------------------------------------------------------


async def test_after_sends_once(autojump_clock: MockClock) -> None:
    """S8: the message comes after so many seconds of the system's clock, and then no more."""
    async with ticking() as scene:
        await scene.do(lambda a: a.timers.after(2.5, Tick()))

        assert await scene.until(2.4) == []
        assert await scene.until(100) == [(2.5, "tick")]


async def test_after_no_time_sends_at_once(autojump_clock: MockClock) -> None:
    """S8: 0 seconds are no time, and the handler that set it goes on first."""
    async with ticking() as scene:

        def set_it(actor: Ticking) -> None:
            actor.timers.after(0, Tick())
            actor.log.append((-1, "handler"))

        await scene.do(set_it)
        await settle()

        assert scene.log == [(-1, "handler"), (0, "tick")]


async def test_every_sends_again_and_again(autojump_clock: MockClock) -> None:
    """S8: the first message comes after one period, and then one each."""
    async with ticking() as scene:
        await scene.do(lambda a: a.timers.every(2, Tick()))

        assert await scene.until(7) == [(2, "tick"), (4, "tick"), (6, "tick")]


async def test_every_does_not_drift(autojump_clock: MockClock) -> None:
    """S8: each time is a multiple of the period, not the sum of the ones before it, whatever the handlers take."""
    async with ticking() as scene:
        await scene.do(lambda a: a.timers.every(0.1, Tick()))
        for _ in range(20):
            await scene.ref.tell(Hold(0.03))
            await trio.sleep(0.07)
        log = await scene.until(100.05)

        assert len(log) == 1000
        assert [at for at, _ in log[30:]] == [n * 0.1 for n in range(31, 1001)]


async def test_timers_fire_in_the_order_of_time_and_of_setting(autojump_clock: MockClock) -> None:
    """S8: of two that are due at one time the one that was set first comes first."""

    def set_them(actor: Ticking) -> None:
        actor.timers.after(2, Tick("c"))
        actor.timers.every(1, Tick("a"))
        actor.timers.after(1, Tick("b"))

    async with ticking() as scene:
        await scene.do(set_them)

        assert await scene.until(2) == [(1, "a"), (1, "b"), (2, "c"), (2, "a")]


async def test_an_earlier_one_is_not_late(autojump_clock: MockClock) -> None:
    """S8: one that is set later and due earlier comes in its time."""
    async with ticking() as scene:
        await scene.do(lambda a: a.timers.after(10, Tick("late")))
        await settle()  # the sleep until 10 has begun
        await scene.do(lambda a: a.timers.after(1, Tick("early")))

        assert await scene.until(10) == [(1, "early"), (10, "late")]


async def test_timers_of_started(autojump_clock: MockClock) -> None:
    """S8: `started()` may set timers; what they send waits until the actor has started."""

    async def slowly(actor: Ticking) -> None:
        actor.timers.after(1, Tick())
        await actor.io.clock.sleep(3)

    class Slow(Ticking):
        async def started(self) -> None:
            await slowly(self)

    async with ticking(Slow) as scene:
        await settle()

        assert scene.log == [(3, "tick")]


async def test_the_clock_is_that_of_the_system(autojump_clock: MockClock) -> None:
    """S8: the driver's clock says when it is time."""
    log: Log = []
    async with histrio.open_system(driver=World()) as system:
        ref = await system.spawn(Ticking, log)
        await ref.ask(Do(lambda a: a.timers.every(2, Tick())))
        await trio.sleep(5)

    assert log == [(2, "tick"), (4, "tick")]


async def test_never_is_a_time(autojump_clock: MockClock) -> None:
    """S8: infinitely many seconds are allowed, and harm no other timer."""
    async with ticking() as scene:
        await scene.do(lambda a: (a.timers.after(math.inf, Tick("never")), a.timers.every(10**400, Tick("neither"))))
        await scene.do(lambda a: a.timers.after(1, Tick()))

        assert await scene.until(1e9) == [(1, "tick")]


async def test_an_actor_without_timers_has_no_task_for_them(autojump_clock: MockClock) -> None:
    """S8: when the last timer has fired or was called off, nothing sleeps, so a virtual clock stands still."""
    async with ticking() as scene:
        nursery = cell_of(scene.system, scene.ref).nursery
        assert nursery is not None

        def tasks() -> list[str]:
            return [task.name for task in nursery.child_tasks]

        await scene.do(lambda a: (a.timers.after(1000, Tick(), key="far"), a.timers.after(1, Tick("near"))))
        await scene.until(2)
        assert "/clock: timers" in tasks()
        await scene.do(lambda a: a.timers.cancel("far"))
        await settle()
        assert "/clock: timers" not in tasks()
        await scene.do(lambda a: a.timers.after(1, Tick("again")))
        await scene.until(4)

        assert "/clock: timers" not in tasks()
        assert [name for _, name in scene.log] == ["near", "again"]


# -- keys --------------------------------------------------------------------------------------------------------------


async def test_a_key_replaces(autojump_clock: MockClock) -> None:
    """S8: one of the same key takes the place of the one before, whichever of them repeats."""

    def set_them(actor: Ticking) -> None:
        actor.timers.after(1, Tick("once"), key="k")
        actor.timers.every(2, Tick("often"), key="k")
        actor.timers.every(1, Tick("often"), key="j")
        actor.timers.after(3, Tick("once"), key="j")

    async with ticking() as scene:
        await scene.do(set_them)

        assert await scene.until(5) == [(2, "often"), (3, "once"), (4, "often")]


async def test_an_idle_timeout(autojump_clock: MockClock) -> None:
    """S8: set anew with each message, it comes when there was none for so long."""
    async with ticking() as scene:
        for _ in range(200):
            await scene.do(lambda a: a.timers.after(10, Tick("idle"), key="idle"))
            await trio.sleep(1)

        assert await scene.until(300) == [(209, "idle")]


async def test_the_key_is_given_back(autojump_clock: MockClock) -> None:
    """S8: the value is the given key, or one of its own, by which the timer is called off."""
    async with ticking() as scene:
        assert await scene.do(lambda a: a.timers.after(1, Tick(), key=("a", 1))) == ("a", 1)
        first = await scene.do(lambda a: a.timers.after(1, Tick("first")))
        second = await scene.do(lambda a: a.timers.every(1, Tick("second")))

        assert first != second
        assert await scene.do(lambda a: a.timers.cancel(first)) is True
        assert await scene.until(2) == [(1, "tick"), (1, "second"), (2, "second")]


async def test_cancel_tells_whether_there_was_one(autojump_clock: MockClock) -> None:
    """S8: an unknown key is no error; one that has fired is unknown."""
    async with ticking() as scene:
        await scene.do(lambda a: a.timers.after(1, Tick(), key="once"))
        await scene.do(lambda a: a.timers.every(1, Tick(), key="often"))
        await scene.until(1.5)

        assert await scene.do(lambda a: ["once" in a.timers, "often" in a.timers, len(a.timers)]) == [False, True, 1]
        assert [await scene.do(lambda a, k=key: a.timers.cancel(k)) for key in ("never", "once", "often", "often")] == [
            False, False, True, False,
        ]  # fmt: skip
        assert len(await scene.until(10)) == 2


async def test_what_waits_in_the_inbox_is_no_timer_any_more(autojump_clock: MockClock) -> None:
    """S8: `cancel` does not take back a message that was sent."""
    async with ticking() as scene:
        await scene.do(lambda a: a.timers.after(1, Tick(), key="k"))
        await scene.do(lambda a: a.timers.every(1, Tick("often"), key="often"))
        pausing = scene.ref.control.pause()
        await pausing
        await trio.sleep(1.5)
        assert len(scene.log) == 0
        done = scene.ref.ask(Do(lambda a: (a.timers.cancel("k"), a.timers.cancel("often"))))
        scene.ref.control.resume()

        assert await done == (False, True)
        assert await scene.until(10) == [(1.5, "tick"), (1.5, "often")]


# -- the inbox ---------------------------------------------------------------------------------------------------------


async def test_a_paused_actor_has_one_tick_to_catch_up_with(autojump_clock: MockClock) -> None:
    """S8: no second tick is sent while the last one waits; the times stay those of the first."""
    async with ticking() as scene:
        await scene.do(lambda a: a.timers.every(1, Tick()))
        await scene.until(1.5)
        await scene.ref.control.pause()
        await scene.until(100.5)
        assert scene.system.tree().children[0].queued == 1
        scene.ref.control.resume()

        assert await scene.until(102) == [(1, "tick"), (100.5, "tick"), (101, "tick"), (102, "tick")]


async def test_a_slow_actor_has_one_tick_to_catch_up_with(autojump_clock: MockClock) -> None:
    """S8: while a handler keeps the turn, ticks do not pile up."""
    async with ticking() as scene:
        await scene.do(lambda a: a.timers.every(1, Tick()))
        await scene.ref.tell(Hold(10.5))

        assert await scene.until(12) == [(10.5, "tick"), (11, "tick"), (12, "tick")]


async def test_an_equal_message_of_somebody_else_is_no_tick(autojump_clock: MockClock) -> None:
    """S8: the very object that a timer sends may be told by others too, and used for two timers."""
    tick = Tick()
    async with ticking() as scene:
        await scene.do(lambda a: (a.timers.every(1, tick, key=1), a.timers.every(1, tick, key=2)))
        await scene.ref.control.pause()
        await scene.ref.tell(tick)
        await scene.until(5.5)
        scene.ref.control.resume()
        await settle()

        assert scene.log == [(5.5, "tick")] * 3


async def test_a_full_inbox_is_waited_for(autojump_clock: MockClock) -> None:
    """S8: what there is no room for stands in line behind those who came before; nothing is lost or beyond the bound."""
    async with ticking(Tiny) as scene:
        await scene.do(lambda a: a.timers.after(1, Tick("mine")))
        await scene.do(lambda a: a.timers.every(1, Tick("often")))
        await scene.ref.control.pause()
        for name in "ab":
            await scene.ref.tell(Tick(name))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.ref.tell, Tick("c"))
            await scene.until(5.5)
            (node,) = scene.system.tree().children
            assert (node.queued, node.standing) == (2, 3)
            scene.ref.control.resume()
            await settle()

        assert [name for _, name in scene.log] == ["a", "b", "c", "mine", "often"]
        assert (await scene.until(6))[-1] == (6, "often")


@pytest.mark.parametrize(
    ("kind", "names", "dropped"),
    [
        (Refusing, ["a", "b", "once", "often"], 0),  # somebody has to wait, and there is nobody to refuse
        (New, ["a", "b"], 4),
        (Old, ["once", "often"], 2),
        (Last, ["a", "b", "once", "often"], 0),
    ],
)
async def test_policies(kind: type[Ticking], names: list[str], dropped: int, autojump_clock: MockClock) -> None:
    """S8: the overflow policy holds for timers as for everybody; under REFUSE theirs stand in line."""
    async with ticking(kind) as scene:
        await scene.do(lambda a: a.timers.after(1, Tick("once")))
        await scene.do(lambda a: a.timers.every(1, Tick("often"), key="often"))
        await scene.ref.control.pause()
        for name in "ab":
            await scene.ref.tell(Tick(name))
        await scene.until(3.5)
        node = scene.system.tree().children[0]
        scene.ref.control.resume()
        await settle()

        assert node.queued == 2
        assert node.dropped == dropped
        assert [name for _, name in scene.log] == names


async def test_latest_keeps_one_tick(autojump_clock: MockClock) -> None:
    """S8: in a LATEST inbox a tick that waits is not replaced by the next, so nothing is dropped; a fresher one stays."""
    async with ticking(Last) as scene:
        await scene.do(lambda a: a.timers.every(1, Tick("often")))
        await scene.ref.control.pause()
        await scene.until(3.5)
        assert scene.system.tree().children[0].dropped == 0
        await scene.ref.tell(Tick("often"))
        assert scene.system.tree().children[0].dropped == 1
        scene.ref.control.resume()

        assert await scene.until(4) == [(3.5, "often"), (4, "often")]


async def test_a_select_takes_what_a_timer_sends(autojump_clock: MockClock) -> None:
    """S8: a timeout of a select is a timer; ticks that match go straight to it."""

    async def wait_for_tick(actor: Ticking) -> object:
        actor.timers.every(1, Tick("a"))
        actor.timers.after(2, Tick("b"))
        first = await actor.select(Tick)
        second = await actor.select(lambda m: isinstance(m, Tick) and m.name == "b")
        return first, second, trio.current_time() - actor.born

    async with ticking() as scene:
        assert await scene.do(wait_for_tick) == (Tick("a"), Tick("b"), 2)
        assert await scene.until(3) == [(2, "a"), (3, "a")]


async def test_run_by_hand_gets_ticks_in_envelopes(autojump_clock: MockClock) -> None:
    """S8: `receive_next` gives what a timer sends; nobody asked it."""
    got: list[object] = []

    class Hand(histrio.Actor[Tick]):
        async def run(self) -> None:
            self.timers.every(1, Tick())
            for _ in range(3):
                envelope = await self.receive_next()
                got.append((trio.current_time() - self.born, envelope.message, envelope.is_ask))

        async def started(self) -> None:
            self.born = trio.current_time()

    async with histrio.open_system() as system:
        await (await system.spawn(Hand)).join()

    assert got == [(1, Tick(), False), (2, Tick(), False), (3, Tick(), False)]


async def test_stashed_and_stepped(autojump_clock: MockClock) -> None:
    """S8: a tick can be put by, and counts as a step, like any other message."""

    class Keeping(Ticking):
        stash_max = 4

        @histrio.handler(Tick)
        async def tick(self, m: Tick) -> None:
            if trio.current_time() - self.born < 3:
                self.stash(m)
            else:
                await super().tick(m)

    async with ticking(Keeping) as scene:
        await scene.do(lambda a: a.timers.every(1, Tick(), key="k"))
        await scene.until(2.5)
        await scene.ref.control.pause()
        await scene.until(5.5)
        await scene.ref.control.step()
        assert scene.log == [(5.5, "tick")]
        scene.ref.control.resume()
        await scene.do(lambda a: (a.timers.cancel("k"), a.unstash()))

        assert await scene.until(6) == [(5.5, "tick")] * 3


async def test_children_get_copies(autojump_clock: MockClock) -> None:
    """S8: a child with a copy of the inbox gets what a timer of its parent sends, each once."""

    class Nested(Tiny):
        overflow = histrio.LATEST(lambda m: id(type(m)))

    log: Log = []
    async with ticking(Tiny) as scene:
        await scene.do(lambda a: a.spawn(Nested, log, copy_inbox=True))
        await scene.do(lambda a: (a.timers.after(1, Tick("once")), a.timers.every(2, Tick("often"))))
        await scene.ref.control.pause()
        for name in "ab":
            await scene.ref.tell(Tick(name))
        await scene.until(2)  # both stand in line
        scene.ref.control.resume()
        await settle()

    assert [name for _, name in scene.log] == ["a", "b", "once", "often"]
    assert log == [(0, "a"), (0, "b"), (2, "once"), (2, "often")]


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_timers_die_with_the_incarnation(autojump_clock: MockClock) -> None:
    """S8: after a restart only the new incarnation's timers fire, also when they have the same keys."""
    log: Log = []
    made: list[Ticking] = []

    def at_start(actor: Ticking) -> None:
        made.append(actor)
        if len(made) == 1:
            actor.timers.every(1, Tick("old"))
            actor.timers.after(2.5, Tick("fail"))
            actor.timers.after(3, Tick("old once"), key="k")
        else:
            actor.timers.after(2, Tick("new"), key="k")

    async with histrio.open_system() as system:
        await system.spawn(histrio.Supervisor, histrio.child("clock", Ticking, log, at_start))
        await trio.sleep(10)

        assert log == [(1, "old"), (2, "old"), (2.5, "fail"), (2, "new")]
        assert made[0].timers.after(1, Tick("ghost")) is not None  # kept by somebody: it sets nothing
        await trio.sleep(10)

        assert len(log) == 4


async def test_what_stands_in_line_dies_too(autojump_clock: MockClock) -> None:
    """S8: what has not got into the inbox when the incarnation ends never does; what has, is mail for the next."""
    log: Log = []
    made: list[Ticking] = []

    def at_start(actor: Ticking) -> None:
        made.append(actor)
        if len(made) == 1:
            for name in ("in", "in", "line", "line"):
                actor.timers.after(1, Tick(name))
            actor.timers.every(1, Tick("line"))

    async with histrio.open_system(held_turn_s=1000) as system:
        spec = histrio.child("clock", Tiny, log, at_start)
        supervisor = await system.spawn(histrio.Supervisor, spec)
        ref = supervisor.child(spec)
        await ref.tell(Hold(5))
        await trio.sleep(2)
        assert system.tree().children[0].children[0].standing == 3
        ref.control.kill()
        await trio.sleep(10)

        assert [name for _, name in log] == ["in", "in"]
        assert len(made) == 2


async def test_a_stopping_actor_gets_no_ticks(autojump_clock: MockClock) -> None:
    """S8: from the moment it stops nothing is sent, nor set; whoever keeps the turn meanwhile changes nothing."""
    log: Log = []

    class Slow(Ticking):
        async def stopped(self, reason: histrio.Reason) -> None:
            assert self.timers.after(0, Tick("late")) is not None
            assert len(self.timers) == 0
            await trio.sleep(2)

    async with histrio.open_system() as system:
        ref = await system.spawn(Slow, log)
        await ref.ask(Do(lambda a: a.timers.every(1, Tick())))
        await trio.sleep(1.5)
        await ref.control.stop()

        assert log == [(1, "tick")]
        assert system.dead_letters.count == 0


async def test_what_stands_in_line_of_a_stopping_actor_is_no_dead_letter(autojump_clock: MockClock) -> None:
    """S8: it never was in the inbox; what was is handled."""
    async with ticking(Tiny) as scene:
        await scene.do(lambda a: [a.timers.after(1, Tick(name)) for name in "abcd"])
        await scene.ref.tell(Hold(3))
        await trio.sleep(2)
        await scene.ref.control.stop()

        assert [name for _, name in scene.log] == ["a", "b"]
        assert scene.system.dead_letters.count == 0


async def test_an_actor_with_timers_ends_at_once(autojump_clock: MockClock) -> None:
    """S8: nobody waits for a timer, and nothing is left of it."""
    async with histrio.open_system() as system:
        began = trio.current_time()
        ref = await system.spawn(Ticking, new_log())
        await ref.ask(Do(lambda a: a.timers.after(1000, Tick())))
        await ref.control.stop()

        assert trio.current_time() == began


# -- signals and errors ------------------------------------------------------------------------------------------------


async def test_timer_signals(autojump_clock: MockClock) -> None:
    """S8, J1: a TIMER with key and message tells that a timer fires; a time that is left out tells nothing."""
    heard: list[Signal] = []
    async with ticking() as scene:
        await scene.do(lambda a: a.timers.every(1, Tick(), key="k"))
        scene.system.listen(heard.append)
        await scene.until(1.5)
        await scene.ref.control.pause()
        await scene.until(4.5)
        mine = [one for one in heard if one.kind in (Kind.TIMER, Kind.RECEIVE)]

        assert [(one.kind, one.detail) for one in mine] == [
            (Kind.TIMER, ("k", Tick())),
            (Kind.RECEIVE, Tick()),
            (Kind.TIMER, ("k", Tick())),
        ]
        assert [one.seq for one in heard] == list(range(1, len(heard) + 1))


@pytest.mark.parametrize("listening", [False, True])
async def test_a_reader_may_stop_the_actor(listening: bool, autojump_clock: MockClock) -> None:
    """S8: an actor that is stopped at the very moment at which its timer fires just stops."""
    async with ticking() as scene:
        await scene.do(lambda a: (a.timers.after(1, Tick()), a.timers.every(1, Tick())))

        def stop(signal: Signal) -> None:
            if signal.kind is Kind.TIMER:
                scene.ref.control.stop()

        scene.system.listen(stop if listening else lambda _: None)
        await scene.until(3)

        assert bool(scene.log) is not listening
        assert scene.ref.control.is_done is listening


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, -math.inf, True, "1", None, 1j])
@pytest.mark.parametrize("name", ["after", "every"])
async def test_bad_seconds(name: str, seconds: Any) -> None:
    """S8: what is no time is refused at once, with the path and the value, and the timer of that key stays."""
    async with ticking() as scene:

        def try_it(actor: Ticking) -> None:
            actor.timers.after(1, Tick(), key="k")
            with pytest.raises(
                ValueError, match=rf"/clock: timers.{name}\(\): seconds is .*; it must be a number of"
            ) as no:
                getattr(actor.timers, name)(seconds, Tick(), key="k")
            assert repr(seconds) in str(no.value)
            assert "k" in actor.timers

        await scene.do(try_it)


async def test_every_needs_a_period() -> None:
    """S8: again and again after 0 seconds would never end."""
    async with ticking() as scene:

        def try_it(actor: Ticking) -> None:
            with pytest.raises(ValueError, match="seconds is 0; it must be a number of seconds, greater than 0"):
                actor.timers.every(0, Tick())

        await scene.do(try_it)


async def test_wrong_messages() -> None:
    """S8: what the actor does not take is refused when the timer is set, not when it fires."""
    async with ticking() as scene:

        def try_it(actor: Ticking) -> None:
            with pytest.raises(TypeError, match=r"/clock: it takes Tick \| Do \| Hold, not int; nothing was delivered"):
                actor.timers.after(1, cast(Tick, 7))
            with pytest.raises(TypeError, match=r"/clock: timers.every\(\): key is \[\]; it must be hashable"):
                actor.timers.every(1, Tick(), key=cast(Hashable, []))
            assert len(actor.timers) == 0

        await scene.do(try_it)


async def test_too_early() -> None:
    """S8: there are no timers in `__init__`, nor before the actor has run; both are told with what to do."""

    class Eager(Ticking):
        def __init__(self) -> None:
            super().__init__([])
            self.timers.after(1, Tick())

    with pytest.raises(histrio.NotStarted, match=r"Eager.timers was used before the actor had a place in a system"):
        Eager()
    async with histrio.open_system() as system:
        ref = await system.spawn(functools.partial(Bare))
        await settle()
        with pytest.raises(histrio.NotStarted, match=r"/bare#1: timers.after\(\) is for the actor's own code"):
            actor_of(system, Bare, ref).timers.after(1, Tick())


class Bare(histrio.Actor[Tick]):
    """It has no hooks."""


# -- many --------------------------------------------------------------------------------------------------------------


async def test_ten_thousand(show: Show, autojump_clock: MockClock) -> None:
    """S8: 10,000 timers of one actor need one task, and all fire in order; as many ticks of a paused one wait in line."""
    count = 10_000
    async with ticking(Tiny) as scene:
        before = trio.lowlevel.current_statistics().tasks_living
        await scene.do(lambda a: [a.timers.after(1 + n % 100, Tick(str(n))) for n in range(count)])
        await settle()
        assert trio.lowlevel.current_statistics().tasks_living <= before + 3
        await scene.until(200)

        assert [name for _, name in scene.log] == [str(n) for k in range(100) for n in range(k, count, 100)]

        scene.log.clear()
        await scene.do(lambda a: [a.timers.every(1, Tick(str(n))) for n in range(count)])
        await scene.ref.control.pause()
        await scene.until(203)
        (node,) = scene.system.tree().children
        assert (node.queued, node.standing) == (2, count - 2)
        scene.ref.control.resume()
        await settle()

        assert sorted(int(name) for _, name in scene.log) == list(range(count))
        show(f"timers: {count:,} of one actor, one task")


async def test_what_was_replaced_is_forgotten(autojump_clock: MockClock) -> None:
    """S8: a timer that is set anew 10,000 times keeps nothing of the times before."""
    async with ticking() as scene:

        def again(actor: Ticking) -> None:
            for _ in range(10_000):
                actor.timers.after(10, Tick("idle"), key="idle")

        await scene.do(again)
        gc.collect()

        assert sum(isinstance(one, Tick) for one in gc.get_objects()) < 200


async def test_a_thousand_actors_have_a_timer_each(autojump_clock: MockClock) -> None:
    """S8: timers of many actors do not hinder each other."""
    log: Log = []
    async with histrio.open_system() as system:
        for number in range(1_000):
            ref = await system.spawn(Ticking, log)
            await ref.tell(Do(lambda a, n=number: a.timers.after(1 + n % 10, Tick(str(n)))))
        await trio.sleep(20)

        assert len(log) == 1_000
        assert [at for at, _ in log] == sorted(at for at, _ in log)


# -- drawn -------------------------------------------------------------------------------------------------------------


@attrs.frozen
class Step:
    """What is done with a timer at a time, in tenths of a second."""

    at: int
    what: str
    key: int
    tenths: int


steps = st.builds(
    Step,
    st.integers(0, 60),
    st.sampled_from(["after", "every", "cancel"]),
    st.integers(0, 2),
    st.integers(1, 30),
)


def expected(program: list[Step], end: int) -> list[tuple[int, str]]:
    """What comes when, for an actor that is always quick: looked up tenth by tenth."""
    timers: dict[int, tuple[Step, int]] = {}
    found: list[tuple[int, str]] = []
    for now in range(end):
        due = [(order, step) for step, order in timers.values() if now > step.at and (now - step.at) % step.tenths == 0]
        for _, step in sorted(due, key=lambda one: one[0]):
            found.append((now, f"{step.what} {step.key}"))
            if step.what == "after":
                del timers[step.key]
        for order, step in enumerate(program):
            if step.at == now:
                timers.pop(step.key, None)
                if step.what != "cancel":
                    timers[step.key] = (step, order)
    return found


def do(step: Step, actor: Ticking) -> None:
    """Do it."""
    if step.what == "cancel":
        actor.timers.cancel(step.key)
    else:
        set_one = actor.timers.after if step.what == "after" else actor.timers.every
        set_one(step.tenths / 8, Tick(f"{step.what} {step.key}"), key=step.key)  # eighths are exact


async def play(program: list[Step], end: int) -> list[tuple[int, str]]:
    """Do all steps of `program` in their time, and write down what comes."""
    async with ticking() as scene:
        for now in range(end):
            await scene.until(now / 8)
            for step in program:
                if step.at == now:
                    await scene.do(functools.partial(do, step))
        return [(int(at * 8), name) for at, name in scene.log]


@given(st.lists(steps, max_size=12).map(lambda found: sorted(found, key=lambda step: step.at)))
def test_drawn_programs(program: list[Step]) -> None:
    """S8: for drawn settings, replacements and cancellations, what comes and when is what a table of them says."""
    end = 100

    found = trio.run(play, program, end, clock=MockClock(autojump_threshold=0))

    assert found == expected(program, end)


async def test_a_scene_tells_the_time(autojump_clock: MockClock) -> None:
    """The tests' own clock: times count from the making of the actor."""
    async with ticking() as scene:
        assert isinstance(scene, Scene)
        await scene.do(lambda a: a.timers.after(0.125, Tick()))
        assert await scene.until(0.125) == [(0.125, "tick")]
