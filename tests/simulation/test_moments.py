"""F2, D1: a tie goes to the left in a simulation, too, where the one on the left may come any number of steps later."""

from __future__ import annotations

import attrs
import trio
from tests.effort import count

import histrio
from histrio.testing import World, explore, simulate


@attrs.frozen
class Race(histrio.Request[str]):
    """Who is first: left after so many seconds, or right?"""

    left_s: float
    right_s: float


class Racer(histrio.Actor[Race]):
    """Has two operations race; each notes when it was at its end."""

    @histrio.handler(Race)
    async def race(self, race: Race) -> str:
        ends: dict[str, float] = {}

        async def run(name: str, seconds: float) -> str:
            await trio.sleep(seconds)
            ends[name] = trio.current_time()
            return name

        won = await histrio.either(self.io(run, "left", race.left_s), self.io(run, "right", race.right_s))
        if ends.get("left") == ends.get("right"):
            assert won == histrio.Left("left"), f"both ended at {ends['left']} s, and {won} won"
        return won.value


async def two_at_once(world: World) -> None:
    """Both end after a second, unless a machine is slow; beside them somebody goes on and on."""
    racer = await world.spawn(Racer)

    async def chatter() -> None:
        for _ in range(20):
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(chatter, name="chatter")
        await racer.ask(Race(1, 1))


def test_a_tie_goes_to_the_left_under_every_schedule() -> None:
    """F2: who ends at one reading of the clock with the other one has not lost by the order of the steps."""
    report = explore(two_at_once, count("explored_schedules"), strategy="random")

    assert not report.failed, report.explanation


def test_while_no_machine_is_slow_it_is_always_the_left() -> None:
    """F2: where time passes only when nothing else can happen, two seconds are two seconds."""

    async def main(world: World) -> None:
        with world.calm():
            racer = await world.spawn(Racer)
            assert await racer.ask(Race(1, 1)) == "left"
            assert await racer.ask(Race(2, 1)) == "right"

    report = explore(main, count("explored_schedules"), strategy="random")

    assert not report.failed, report.explanation


def test_somebody_who_never_rests_does_not_hold_a_winner_for_ever() -> None:
    """F2: the moment ends when the clock moves, at the latest."""

    async def main(world: World) -> str:
        racer = await world.spawn(Racer)

        async def restless() -> None:
            while True:
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(restless, name="restless")
            won = await racer.ask(Race(2, 1))
            nursery.cancel_scope.cancel()
        return won

    assert {simulate(main, seed=seed).value for seed in range(20)} <= {"left", "right"}
