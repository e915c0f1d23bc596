"""D3: races between actors are found soon, and are told with a few facts; a plain run of Trio hardly ever shows them."""

import math
from time import process_time

import pytest
import trio
from tests.conftest import Show
from tests.effort import count
from tests.simulation.toys import HIDDEN, TOYS, PlainProgram, Program

from histrio import open_system
from histrio.testing import Deadlock, explore
from histrio_kernel.simulation.choices import Departure, departures
from histrio_kernel.simulation.exploring import Search
from histrio_kernel.simulation.ran import Ran
from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.shrinking import Shrinker
from histrio_kernel.simulation.strategies.random_walk import RandomWalks
from histrio_kernel.simulation.tokens import Schedule, read_token

SCHEDULES_MAX = 50
FACTS_MAX = 4
TOKEN_MAX = 40


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.__name__)
def test_each_race_is_found_soon_and_told_shortly(toy: Program, show: Show) -> None:
    """D3: under each base seed within 50 schedules, shrunk to at most 4 facts and a token of at most 40 characters."""
    began = process_time()
    reports = [explore(toy, seed=seed) for seed in range(count("toy_seeds"))]
    taken = process_time() - began

    for seed, report in enumerate(reports):
        assert report.failed, f"seed {seed}"
        assert report.schedules <= SCHEDULES_MAX, f"seed {seed}"
        assert report.token is not None
        assert len(read_token(report.token)) <= FACTS_MAX, f"seed {seed}: {report.explanation}"
        assert len(report.token) <= TOKEN_MAX
    most = max(report.schedules for report in reports)
    show(
        f"{toy.__name__}: found in at most {most} schedules, with {taken / len(reports):.2f} s of CPU to shrink and tell"
    )


@pytest.mark.parametrize("program", HIDDEN, ids=lambda program: program.__name__)
def test_plain_trio_does_not_show_it(program: PlainProgram) -> None:
    """D3: so many runs of it outside of a simulation, and none fails."""

    async def main() -> None:
        with trio.fail_after(60):
            async with open_system("plain") as system:
                await program(system)

    for _ in range(count("plain_misses")):
        trio.run(main)


# -- the shrinker itself ------------------------------------------------------------------------------------------------


async def racers() -> None:
    """Fails if both others have ended before the first has begun."""
    ended: list[str] = []

    async def racer(name: str, steps: int) -> None:
        if name == "first":
            assert len(ended) < 2, "both have ended"
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        ended.append(name)

    async with trio.open_nursery() as nursery:
        for name, steps in (("first", 5), ("second", 2), ("third", 2)):
            nursery.start_soon(racer, name, steps, name=name)


def attempt(schedule: Schedule) -> Ran[object] | None:
    """The run, if it fails."""
    ran: Ran[object] = Simulation(schedule.walk()).run(racers)
    return None if ran.outcome.__class__.__name__ == "Value" else ran


def failing() -> Schedule:
    """One with more departures than it needs."""
    search = Search(lambda walk, seed, _: Simulation(walk, seed).run(racers), RandomWalks(), 1, 1_000, shrinks=False)
    found = search.run()
    assert found is not None
    return found.first


def test_what_is_shrunk_fails_still() -> None:
    """D3: and is not longer; a departure less would not do."""
    first = failing()
    shrunk = Shrinker(attempt).shrink(first, list)

    ran = attempt(shrunk)
    assert ran is not None
    assert departures(ran.tape) == shrunk.departures
    assert len(shrunk) <= len(first)
    for at in range(len(shrunk.departures)):
        fewer = Schedule(shrunk.seed, shrunk.departures[:at] + shrunk.departures[at + 1 :])
        assert attempt(fewer) is None


def test_one_who_is_late_is_one_fact() -> None:
    """D3: if that is shorter than the departures."""
    first = failing()
    ran = attempt(first)
    assert ran is not None
    shrunk = Shrinker(attempt).shrink(first, lambda: list(ran.identities))

    assert len(shrunk) == 1
    assert shrunk.late
    assert ran.names[shrunk.late[0]] == "first"


def test_it_gives_up_in_time() -> None:
    """D3: no failure is worth more runs than that."""
    tried: list[Schedule] = []

    def slow(schedule: Schedule) -> Ran[object] | None:
        tried.append(schedule)
        return attempt(schedule)

    first = failing()
    shrunk = Shrinker(slow, attempts_max=3).shrink(first, list)

    assert len(tried) <= 3
    assert attempt(shrunk) is not None


def test_what_fails_without_departures_has_none() -> None:
    """D3: first in, first out is asked first."""

    def always(schedule: Schedule) -> Ran[object] | None:
        return Simulation(schedule.walk()).run(racers)

    shrunk = Shrinker(always).shrink(Schedule(1, tuple(Departure(at, 1) for at in range(50))), list)

    assert not shrunk.departures
    assert not shrunk.late


def test_it_shrinks_towards_the_same_error() -> None:
    """D3: a program that deadlocks in one schedule and fails otherwise in many is shrunk to what was found."""

    async def two_bugs(world: object) -> None:
        gone: list[str] = []

        async def early(name: str, steps: int) -> None:
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            gone.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(early, "ann", 1, name="ann")
            nursery.start_soon(early, "ben", 3, name="ben")
            nursery.start_soon(early, "cy", 5, name="cy")
        if gone[0] == "cy":
            await trio.sleep(math.inf)
        assert gone[0] != "ben", "ben was first"

    kinds = {type(explore(two_bugs, seed=seed, strategy="random").error) for seed in range(count("toy_seeds"))}

    assert kinds <= {Deadlock, AssertionError}
    assert AssertionError in kinds
