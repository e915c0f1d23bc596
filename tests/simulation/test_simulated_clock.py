"""D1, D2: the clock of a simulation moves when it is chosen to, by what is waited for, and costs no time."""

import math
import time

import pytest
import trio
import trio.testing
from outcome import Value

import histrio
from histrio.testing import World, explore, simulate
from histrio_kernel.simulation.choices import Fifo
from histrio_kernel.simulation.run import Simulation


class Sleeper(histrio.Actor[float]):
    """Sleeps."""

    async def receive(self, message: float) -> None:
        await self.io.clock.sleep(message)


def test_a_day_of_sleep_takes_no_time() -> None:
    """D2: nobody waits for the virtual clock; a day of it takes less CPU time than a minute would."""

    async def day(world: World) -> float:
        sleeper = await world.spawn(Sleeper)
        for _ in range(24):
            await sleeper.tell(3600.0)
        for _ in range(24):
            await trio.sleep(3600)
        return world.now

    began = time.process_time()
    run = simulate(day)

    assert run.virtual_seconds >= 24 * 3600
    assert run.virtual_seconds == run.value
    assert time.process_time() - began < 60


def test_more_than_a_day_at_once() -> None:
    """D2: Trio looks at its clock once a day; ours moves all the way."""

    async def century(world: World) -> float:
        await trio.sleep(100 * 365 * 86_400)
        return world.now

    assert simulate(century).value >= 100 * 365 * 86_400


async def in_order() -> list[int]:
    """Who sleeps less wakes first; who sleeps the same wakes in the order of falling asleep."""
    woke: list[int] = []

    async def sleeper(number: int, seconds: float) -> None:
        await trio.sleep(seconds)
        woke.append(number)

    async with trio.open_nursery() as nursery:
        for number, seconds in enumerate((3.0, 1.0, 2.0, 1.0, 3.0)):
            nursery.start_soon(sleeper, number, seconds)
    return woke


def test_first_in_first_out_wakes_by_time_and_then_by_age() -> None:
    """D1: equal deadlines expire in the order in which they were set."""
    ran = Simulation(Fifo()).run(in_order)

    assert isinstance(ran.outcome, Value)
    assert ran.outcome.value == [1, 3, 2, 0, 4]
    assert ran.virtual_seconds == 3


def test_time_may_pass_while_others_could_go_on() -> None:
    """D2: a machine may be slow, so a timeout can race with work, and a search finds where that matters."""

    async def hasty(world: World) -> None:
        with trio.fail_after(1):
            for _ in range(5):
                await trio.lowlevel.checkpoint()

    assert isinstance(Simulation(Fifo()).run(hasty_alone).outcome, Value)
    report = explore(hasty)
    assert isinstance(report.error, trio.TooSlowError)


async def hasty_alone() -> None:
    """The same without a world."""
    with trio.fail_after(1):
        for _ in range(5):
            await trio.lowlevel.checkpoint()


def test_the_clock_does_not_go_back() -> None:
    """D2: a deadline of the past is due at once."""

    async def program(world: World) -> list[float]:
        read: list[float] = []
        for at in (5.0, 2.0, -math.inf, 7.0):
            with trio.move_on_at(at):
                await trio.sleep_forever()
            read.append(world.now)
        return read

    read = simulate(program).value
    assert read == sorted(read)
    assert read[0] >= 5


def test_settling_lets_as_much_time_pass_as_it_has_to() -> None:
    """D5: up to a limit, and not for the sake of time alone."""

    async def program(world: World) -> None:
        sleeper = await world.spawn(Sleeper)
        await world.settle()
        assert world.now < 1, "nobody waits for time"
        await sleeper.tell(30.0)
        await world.settle()
        assert 30 <= world.now < 31
        await sleeper.tell(300.0)
        await world.settle(within_s=100)
        assert 30 <= world.now <= 131, "it does not wait for what comes later"

    explore(program, strategy="fifo").check()


@pytest.mark.parametrize("seconds", [0, 0.0, 1e-9, 1e9])
def test_any_length_of_sleep(seconds: float) -> None:
    """D2: none and nearly none, and thirty years."""

    async def program(world: World) -> float:
        await trio.sleep(seconds)
        return world.now

    assert simulate(program).value >= seconds


async def rest(world: World) -> None:
    """Somebody sleeps again and again, and all of it is settled."""
    slept: list[int] = []

    async def sleep() -> None:
        for number in range(5):
            await trio.sleep(1)
            slept.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleep)
        await world.settle()
        assert len(slept) == 5, "settle() has returned, and somebody still slept"


def test_what_the_clock_wakes_before_settle_looks_is_waited_for() -> None:
    """D2: the clock may move between the moment in which nobody could go on and the step of who waited for that moment."""
    explore(rest, strategy="random").check()


async def looks(world: World) -> None:
    """Somebody sleeps again and again, and two others look at what nobody changes meanwhile."""
    slept: list[int] = []

    async def sleep() -> None:
        for number in range(5):
            await trio.sleep(1)
            slept.append(number)
            await trio.lowlevel.checkpoint()
            slept.append(number)

    async def look() -> None:
        for _ in range(4):
            await trio.testing.wait_all_tasks_blocked()
            assert len(slept) % 2 == 0, "somebody could go on"
            assert len(slept) == 2 * int(world.now), "time has passed, and who slept has not gone on"
            await trio.sleep(0.3)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleep)
        nursery.start_soon(look)
        nursery.start_soon(look)


def test_who_waits_until_all_are_blocked_sees_them_so() -> None:
    """D1, D2: as in Trio, nothing happens between that moment and the step of whoever has waited for it."""
    explore(looks, strategy="random").check()


async def idle(world: World) -> None:
    """An actor sleeps, and whoever runs the system asks what it waits for."""
    system = await world.start()
    sleeper = await world.spawn(Sleeper)
    for _ in range(3):
        await sleeper.tell(1.0)
    while (state := await system.step_until_idle()).state is not histrio.IdleState.DONE:
        assert state.until is not None
        assert state.until > world.now, "it is not idle: its sleep is over"
        await trio.sleep(0.3)


def test_a_system_that_is_called_idle_is_so() -> None:
    """D2: what `step_until_idle` says is of a moment in which no actor can go on, however the clock moves."""
    explore(idle, strategy="random").check()
