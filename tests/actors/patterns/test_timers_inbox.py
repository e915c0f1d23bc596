"""S8: what timers send goes through the inbox like any other message, and dies with the incarnation."""

from __future__ import annotations

import pytest
import trio
from tests.actors.patterns.ticking import (
    Do,
    Hold,
    Last,
    Log,
    New,
    Old,
    Refusing,
    Tick,
    Ticking,
    Tiny,
    new_log,
    settle,
    ticking,
)
from trio.testing import MockClock

import histrio

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

    class Nested(histrio.Actor[Tick]):
        overflow = histrio.LATEST(repr)

        async def receive(self, message: Tick) -> None:
            log.append((self.io.clock.now(), message.name))

    log: Log = []
    async with ticking(Tiny) as scene:
        await scene.do(lambda a: a.spawn(Nested, copy_inbox=True))
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
