"""D2, D5: how runs end that do not come to their end: nothing can happen, something is left behind, or nobody lets go."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

import hypothesis
import pytest
import trio
from hypothesis import HealthCheck
from hypothesis import strategies as st
from outcome import Error, Value

import histrio
from histrio.testing import BrokenPromise, Unsettled, World, explore, simulate
from histrio_kernel.simulation.choices import Fifo, Taught, Walk
from histrio_kernel.simulation.errors import Deadlock, LeakedTasks, SimulationError, WalkFailed
from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.strategies.random_walk import RandomWalk

# -- nothing can happen any more ----------------------------------------------------------------------------------------


class Lender(histrio.Actor[str]):
    """Takes two locks."""

    serial = True

    def __init__(self, first: trio.Lock, second: trio.Lock) -> None:
        self.first = first
        self.second = second

    async def receive(self, message: str) -> None:
        async with self.first:
            await trio.sleep(1)
            async with self.second:
                pass


async def two_locks(world: World) -> None:
    """Each of two actors has the lock that the other one wants."""
    one, other = trio.Lock(), trio.Lock()
    ann = await world.spawn(Lender, one, other, name="ann")
    ben = await world.spawn(Lender, other, one, name="ben")

    async def ask(whom: histrio.Ref[str]) -> None:
        await whom.tell("go")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ann, name="asks ann")
        nursery.start_soon(ask, ben, name="asks ben")
    await trio.sleep_forever()


def test_a_deadlock_names_each_who_waits_and_where() -> None:
    """D5: the tasks of the program, its actors, and the lines at which they wait."""
    with pytest.raises(Deadlock, match="nothing can happen any more") as caught:
        simulate(two_locks, seed=1)

    told = str(caught.value)
    assert "the program waits at " in told
    assert f"{__file__}:" in told
    for line in ("/ann waits at", "/ben waits at"):
        assert line in told
    assert told.count("in receive") >= 2


def test_who_waits_is_noted_before_they_are_ended() -> None:
    """D5: the text is of the moment of the deadlock, though what it tells of has unwound since."""
    ended: list[str] = []

    async def program(world: World) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("unwound")

    with pytest.raises(Deadlock, match=r"the program waits at .*test_deadlock.py:\d+ in program"):
        simulate(program)
    assert ended == ["unwound"]


def test_what_waits_for_time_is_no_deadlock() -> None:
    """D2: the clock moves as soon as nothing else can happen."""

    async def program(world: World) -> float:
        with trio.move_on_after(5):
            await trio.sleep_forever()
        return world.now

    assert simulate(program).value >= 5


# -- nobody lets go -----------------------------------------------------------------------------------------------------


async def shielded() -> None:
    """Waits for ever, shielded from all."""
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()


async def shielded_at_the_end() -> None:
    """Cleans up for ever, again and again."""
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            try:
                await trio.sleep_forever()
            finally:
                await shielded()


async def refuses() -> None:
    """Waits in a way that cannot be cancelled."""
    await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)


async def refuses_in_a_nursery() -> None:
    """So does a child of it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuses)
        nursery.start_soon(shielded)


async def spins() -> None:
    """Goes on whatever happens, and keeps the clock from moving."""
    await trio.lowlevel.checkpoint()
    while True:
        with suppress(trio.Cancelled):
            await trio.lowlevel.checkpoint()


STUBBORN: list[Callable[[], Awaitable[None]]] = [shielded, shielded_at_the_end, refuses, refuses_in_a_nursery]


@pytest.mark.parametrize("wait", STUBBORN, ids=lambda wait: wait.__name__)
def test_whoever_shields_itself_from_the_end_is_ended(wait: Callable[[], Awaitable[None]]) -> None:
    """D2: no run hangs, and its error is the one that ended it."""

    async def program(world: World) -> None:
        await wait()

    with pytest.raises(Deadlock):
        simulate(program)


@pytest.mark.parametrize("wait", STUBBORN, ids=lambda wait: wait.__name__)
def test_it_does_not_keep_another_error_back(wait: Callable[[], Awaitable[None]]) -> None:
    """D2: what a check has found is told, although somebody does not let go."""

    async def program(world: World) -> None:
        world.always(lambda: world.now < 1, "it is early")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(trio.sleep, 2)

    with pytest.raises(BrokenPromise, match="it is early"):
        simulate(program)


def test_whoever_spins_through_its_cancellation_is_ended() -> None:
    """D2: an error is raised at its next wait, as nothing else would end it."""

    async def program(world: World) -> None:
        await spins()

    with pytest.raises(Unsettled):
        simulate(program, steps_max=1_000)


# -- something is left behind -------------------------------------------------------------------------------------------


def test_a_task_that_is_left_behind_is_named() -> None:
    """D5: every task that the program began ends with it."""

    async def program(world: World) -> None:
        trio.lowlevel.spawn_system_task(trio.sleep, 1, name="the heater")
        trio.lowlevel.spawn_system_task(trio.sleep_forever, name="the lamp")

    with pytest.raises(LeakedTasks, match="has left behind: the heater, the lamp"):
        simulate(program)


def test_a_task_that_ends_in_time_is_not_left_behind() -> None:
    """D5: what only has to go on once more is not blamed."""
    ended: list[str] = []

    async def brief() -> None:
        await trio.lowlevel.checkpoint()
        ended.append("brief")

    async def program(world: World) -> None:
        trio.lowlevel.spawn_system_task(brief)

    assert not explore(program, schedules=20).failed
    assert len(ended) >= 20


def test_generators_that_are_left_over_are_closed_in_order() -> None:
    """D1: in the order in which they began, with all that they wait for at their end."""
    closed: list[int] = []
    left: list[AsyncIterator[int]] = []

    async def generator(number: int) -> AsyncIterator[int]:
        try:
            yield number
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            closed.append(number)

    async def program(world: World) -> None:
        for number in range(5):
            left.append(generator(number))
            await anext(left[-1])

    simulate(program)

    assert closed == [0, 1, 2, 3, 4]


def test_a_generator_that_fails_at_its_end_is_logged_as_trio_does(caplog: pytest.LogCaptureFixture) -> None:
    """D1: it is not the program that fails; others are closed all the same."""
    left: list[AsyncIterator[int]] = []
    closed: list[int] = []

    async def generator(number: int) -> AsyncIterator[int]:
        try:
            yield number
        finally:
            closed.append(number)
            raise ValueError(f"generator {number} fails")

    async def program(world: World) -> str:
        for number in range(2):
            left.append(generator(number))
            await anext(left[-1])
        return "done"

    with caplog.at_level(logging.ERROR, "trio.async_generator_errors"):
        assert simulate(program).value == "done"

    assert closed == [0, 1]
    assert len(caplog.records) == 2


# -- whoever chooses fails ----------------------------------------------------------------------------------------------


class Stop(BaseException):
    """What no `except Exception` catches, as Hypothesis has for its own."""


class Failing:
    """A walk that raises at its third choice, or one that chooses what is not there."""

    name = "failing"

    def __init__(self, error: BaseException | None) -> None:
        self._error = error
        self._left = 3

    def pick(self, options: Sequence[int]) -> int:
        return self.decide(len(options))

    def decide(self, ways: int) -> int:
        self._left -= 1
        if self._left:
            return 0
        if self._error is not None:
            raise self._error
        return ways

    def walk(self, number: int, seed: int) -> Walk | None:
        return self

    def learn(self, taught: Taught) -> None:
        """Nothing."""


UNHURT = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


async def three_tasks() -> str:
    """Enough to choose among, and something to unwind."""
    unwound: list[int] = []

    async def task(number: int) -> None:
        try:
            for _ in range(3):
                await trio.lowlevel.checkpoint()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            unwound.append(number)

    try:
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(task, number)
    finally:
        UNWOUND.append(len(unwound))
    return "done"


UNWOUND: list[int] = []


@pytest.mark.parametrize("error", [ValueError("no idea"), None], ids=["raises", "chooses nobody"])
def test_a_walk_that_fails_ends_the_run_and_no_more(error: Exception | None) -> None:
    """D2: the program unwinds, and the error tells that it was the strategy."""
    UNWOUND.clear()
    ran = Simulation(Failing(error)).run(three_tasks)

    assert isinstance(ran.outcome, Error)
    assert isinstance(ran.outcome.error, WalkFailed)
    assert "the strategy failed at a choice" in str(ran.outcome.error)
    assert UNWOUND
    assert isinstance(Simulation(Fifo()).run(three_tasks).outcome, Value)


@pytest.mark.parametrize(
    "error", [Stop("enough"), KeyboardInterrupt(), SystemExit(3)], ids=lambda error: type(error).__name__
)
def test_what_is_no_exception_of_a_walk_ends_all(error: BaseException) -> None:
    """D2: Control-C, or Hypothesis's own means to stop, is raised as it is, after the program has unwound."""
    UNWOUND.clear()

    with pytest.raises(type(error)) as caught:
        Simulation(Failing(error)).run(three_tasks)

    assert caught.value is error
    assert UNWOUND


def test_it_ends_a_search() -> None:
    """D2: which has nothing to shrink then."""

    async def program(world: World) -> None:
        await three_tasks()

    with pytest.raises(Stop):
        explore(program, strategy=Failing(Stop()))


def test_control_c_in_the_program_ends_a_search() -> None:
    """D2: it is not taken for a failure, which would be run some hundred times more."""
    runs: list[World] = []

    async def program(world: World) -> None:
        runs.append(world)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interrupted)

    async def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
        explore(program)
    assert len(runs) == 1


@hypothesis.settings(max_examples=10, database=None, suppress_health_check=UNHURT)
@hypothesis.given(st.data())
def test_hypothesis_may_choose(data: st.DataObject) -> None:
    """D2: what it raises to give an example up passes through the run, which leaves nothing behind."""

    class Drawn:
        def pick(self, options: Sequence[int]) -> int:
            return self.decide(len(options))

        def decide(self, ways: int) -> int:
            return data.draw(st.integers(0, ways - 1))

    ran = Simulation(Drawn()).run(many_choices)
    assert isinstance(ran.outcome, Value)


async def many_choices() -> None:
    """More than Hypothesis has patience for, sometimes."""

    async def task() -> None:
        for _ in range(200):
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(task)


# -- one inside of another ----------------------------------------------------------------------------------------------


async def nothing(world: World) -> None:
    """The inner one."""


def test_a_simulation_inside_of_a_simulation_is_refused() -> None:
    """D2: the error tells what to do, and the outer run goes on."""

    async def program(world: World) -> str:
        with pytest.raises(SimulationError, match="cannot begin inside of another"):
            simulate(nothing)
        with pytest.raises(SimulationError, match="cannot begin inside of another"):
            explore(nothing)
        await trio.sleep(1)
        return "done"

    assert simulate(program).value == "done"


async def test_a_simulation_inside_of_a_trio_run_is_refused() -> None:
    """D2: as it is in an async test."""
    with pytest.raises(SimulationError, match="Call it from a plain function"):
        simulate(nothing)


def test_a_simulation_can_follow_any_other() -> None:
    """D2: whatever became of the one before."""
    for seed in range(5):
        with pytest.raises(Deadlock):
            simulate(two_locks, seed=seed)
        assert isinstance(Simulation(RandomWalk(seed)).run(three_tasks).outcome, Value)
