"""A14, S2: Control-C and cancellation that strike a supervised tree at every single step of its life."""

import signal
from collections.abc import Callable

import pytest
import trio
from tests.actors.supervision.crew import Do, Say, ending_of, fail, hang, once, settle, takes, worker
from trio.testing import MockClock

import histrio
from histrio import Strategy
from histrio_kernel.futures import HOLDERS
from histrio_kernel.simulation.trio_schedule import seeded_schedule


class AtStep(trio.abc.Instrument):
    """Calls a function before that step of Trio's."""

    def __init__(self, step: int, strike: Callable[[], None]) -> None:
        self.left = step
        self.strike = strike

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self.strike()


async def a_busy_life(strategy: Strategy, asked: list[histrio.Future[object]]) -> None:
    """A tree starts, a child fails, one fails to start, one is terminated, and all stop."""
    async with histrio.open_system() as system:
        a = worker("a", [], starts=once(fail, time=2))
        b = worker("b", [], stops=takes(0))
        inner = histrio.child("inner", histrio.Supervisor, worker("x", []), restarts_max=0)
        sup = await system.spawn(
            histrio.child(
                "sup", histrio.Supervisor, a, b, inner, strategy=strategy, backoff=histrio.Backoff(first_s=0.1)
            )
        )
        asked.append(sup.child(b).ask(Do(hang)))
        asked.append(sup.child(a).ask(Say("fail")))
        asked.append(sup.child(a).ask(Say("hello")))
        await trio.sleep(1)
        x = system.ref_at("/sup/inner/x")
        assert x is not None
        x.control.kill()
        await settle()
        asked.append(sup.terminate_child(b))
        await asked[-1]
        await sup.start_child(worker("late", []))


async def all_answered(asked: list[histrio.Future[object]]) -> None:
    """Nobody is left waiting, now that the system is closed."""
    for one in asked:
        assert one.is_done
        await ending_of(one)


def steps_of(strategy: Strategy) -> int:
    """How many steps that life has, about."""
    steps = AtStep(0, lambda: None)
    with seeded_schedule(1):
        trio.run(live, strategy, trio.CancelScope(), clock=MockClock(autojump_threshold=0), instruments=[steps])
    return -steps.left


async def live(strategy: Strategy, scope: trio.CancelScope) -> float:
    """That life, in a scope; when it was over."""
    asked: list[histrio.Future[object]] = []
    try:
        with scope:
            await a_busy_life(strategy, asked)
    finally:
        await all_answered(asked)
    return trio.current_time()


def live_struck(strategy: Strategy, step: int, strike: Callable[[], None], scope: trio.CancelScope) -> float:
    """That life, struck before that step."""
    with seeded_schedule(1):
        return trio.run(
            live, strategy, scope, clock=MockClock(autojump_threshold=0), instruments=[AtStep(step, strike)]
        )


@pytest.mark.parametrize("strategy", Strategy)
def test_control_c_at_every_step_leaves_as_itself(strategy: Strategy) -> None:
    """A14: `KeyboardInterrupt`, bare, and once; no task, no handler and nobody who waits is left."""
    steps = steps_of(strategy)
    came_too_late = 0
    for step in range(1, steps + 1):
        try:
            live_struck(strategy, step, lambda: signal.raise_signal(signal.SIGINT), trio.CancelScope())
        except KeyboardInterrupt:
            assert not HOLDERS, f"step {step}"
        else:
            came_too_late += 1

    assert came_too_late <= 10


@pytest.mark.parametrize("strategy", Strategy)
def test_a_cancellation_at_every_step_ends_all(strategy: Strategy) -> None:
    """A14: it goes on to its scope, and nothing else leaves; in no time, and nobody who waits is left."""
    for step in range(1, steps_of(strategy) + 1):
        scope = trio.CancelScope()
        struck_at: list[float] = []

        def strike(scope: trio.CancelScope = scope, struck_at: list[float] = struck_at) -> None:
            struck_at.append(trio.current_time())
            scope.cancel()

        try:
            over = live_struck(strategy, step, strike, scope)
        except Exception as error:
            error.add_note(f"struck at step {step}")
            raise
        assert not HOLDERS, f"step {step}"
        assert not scope.cancelled_caught or over - struck_at[0] <= 0.001, f"step {step}"
