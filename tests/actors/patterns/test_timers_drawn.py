"""S8: many timers, and drawn ones."""

from __future__ import annotations

import functools
import gc

import attrs
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.patterns.ticking import (
    Do,
    Log,
    Scene,
    Tick,
    Ticking,
    Tiny,
    setting,
    settle,
    ticking,
)
from tests.conftest import Show
from trio.testing import MockClock

import histrio

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
            await ref.tell(Do(setting(1 + number % 10, str(number))))
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
