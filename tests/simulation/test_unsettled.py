"""D2: a program that never settles is stopped at a bound, and told what keeps it busy."""

import pytest
import trio

import histrio
from histrio.testing import Unsettled, World, explore, simulate


class Restless(histrio.Actor[int]):
    """Tells itself to go on."""

    async def receive(self, message: int) -> None:
        await self.ref.tell(message + 1)
        await self.io(trio.lowlevel.checkpoint)


class Pulse(histrio.Actor[str]):
    """Has a timer that comes again and again."""

    async def started(self) -> None:
        self.timers.every(0.001, "tick")

    async def receive(self, message: str) -> None:
        """Nothing."""


async def restless(world: World) -> None:
    """One actor never rests, and another one waits for nothing."""
    busy = await world.spawn(Restless, name="restless")
    await world.spawn(Pulse, name="quiet")
    await busy.tell(0)
    await trio.sleep_forever()


def test_it_names_who_is_busy() -> None:
    """D2: the text has the bound, the time, and those who went on last, the busiest first."""
    with pytest.raises(Unsettled, match="stopped after 3,000 steps, at ") as caught:
        simulate(restless, steps_max=3_000)

    told = str(caught.value)
    busy = told.partition("Busy were: ")[2]
    assert busy.startswith("/restless")
    assert "of the last 1000)" in busy
    assert "raise steps_max" in told


def test_time_alone_does_not_settle_it() -> None:
    """D2: timers that come again and again are steps like any other."""

    async def program(world: World) -> None:
        await world.spawn(Pulse, name="pulse")
        await trio.sleep_forever()

    with pytest.raises(Unsettled, match=r"Busy were: .*/pulse"):
        simulate(program, steps_max=2_000)


def test_what_is_asked_of_the_world_is_a_step_as_well() -> None:
    """D2: a program that only uses its disk is stopped, too."""

    async def program(world: World) -> None:
        file = await world.disk.open("/log")
        while True:
            await world.disk.append(file, b"x")

    with pytest.raises(Unsettled, match="disk of world"):
        simulate(program, steps_max=2_000)


def test_a_greater_bound_is_enough_for_a_longer_program() -> None:
    """D2: the bound counts steps, and ends nothing that ends by itself below it."""

    async def program(world: World) -> str:
        for _ in range(1_000):
            await trio.lowlevel.checkpoint()
        return "done"

    with pytest.raises(Unsettled):
        simulate(program, steps_max=500)
    run = simulate(program, steps_max=2_000)
    assert run.value == "done"
    assert 1_000 <= run.steps <= 2_000


def test_the_end_is_not_counted() -> None:
    """D2: what unwinds after the bound may take its time."""
    unwound: list[str] = []

    async def program(world: World) -> None:
        try:
            while True:
                await trio.lowlevel.checkpoint()
        finally:
            with trio.CancelScope(shield=True):
                for _ in range(5_000):
                    await trio.lowlevel.checkpoint()
            unwound.append("all of it")

    with pytest.raises(Unsettled):
        simulate(program, steps_max=100)
    assert unwound == ["all of it"]


def test_a_search_reports_it_with_a_token() -> None:
    """D2: it is a failure like any other."""
    report = explore(restless, steps_max=1_000, schedules=3)

    assert isinstance(report.error, Unsettled)
    assert report.token
