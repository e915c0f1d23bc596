"""S8: timers send messages later, on the system's clock, once or again and again, under keys."""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable
from typing import Any, cast

import pytest
import trio
from tests.actors.patterns.ticking import (
    Do,
    Hold,
    Log,
    Tick,
    Ticking,
    cancelling,
    settle,
    ticking,
)
from tests.actors.worlds import World
from tests.inside import actor_of, cell_of
from trio.testing import MockClock

import histrio
from histrio import Kind, Signal

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
        assert [await scene.do(cancelling(key)) for key in ("never", "once", "often", "often")] == [
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
