"""Few departures first, all of them, none twice."""

import itertools

import pytest
from tests.simulation.strategies.toys import lost_update, search, starve

from histrio_kernel.simulation.choices import Departure, Step, Taught
from histrio_kernel.simulation.strategies.delay import Delays, DelayWalk


def walked(strategy: Delays, ways: tuple[int, ...]) -> list[tuple[int, ...]]:
    """What it chooses in each run of a program that has these choices, the odd ones of which are decisions."""
    runs: list[tuple[int, ...]] = []
    for number in itertools.count():
        walk = strategy.walk(number, 0)
        if walk is None:
            return runs
        chosen = [walk.decide(n) if at % 2 else walk.pick(range(1, n + 1)) for at, n in enumerate(ways)]
        runs.append(tuple(chosen))
        strategy.learn(Taught(tuple(Step(n, one) for n, one in zip(ways, chosen, strict=True)), failed=False))
    raise AssertionError


@pytest.mark.parametrize("bound", range(5))
def test_each_schedule_within_the_bound_comes_once(bound: int) -> None:
    """D3: every choice of at most so many departures is run, once, those with the fewest first."""
    ways = (2, 3, 2, 4)
    strategy = Delays(bound)
    runs = walked(strategy, ways)
    departures = [sum(map(bool, run)) for run in runs]

    assert sorted(runs) == sorted(
        each for each in itertools.product(*map(range, ways)) if sum(map(bool, each)) <= bound
    )
    assert departures == sorted(departures)
    assert strategy.complete


def test_a_lost_update_is_found_with_one_departure() -> None:
    """D3: the schedule that it is found with has as few departures as any."""
    strategy = Delays(1)
    found = search(strategy, lost_update, runs=1_000)

    assert found.error is not None
    assert not strategy.complete


def test_what_is_ruled_out_is_said() -> None:
    """D3: a search that has nothing left says within which bound; one that was stopped does not say that it is done."""
    done, stopped = Delays(1), Delays(2)
    assert search(done, starve, runs=10_000).exhausted
    assert not search(stopped, starve, runs=10).exhausted

    assert done.complete
    assert done.assumed == ("schedules with at most 1 departure from first in, first out",)
    assert not stopped.complete


def test_a_program_that_does_not_repeat_itself_is_no_proof() -> None:
    """D3: a departure that cannot be made is noticed, and nothing is called complete."""
    strategy = Delays(1)
    for number in range(1_000):
        walk = strategy.walk(number, 0)
        if walk is None:
            break
        for _ in range(3):
            walk.pick(range(1, 5) if number == 0 else (1, 2))

    assert strategy.walk(1_000, 0) is None
    assert not strategy.complete
    assert "did not repeat itself" in strategy.assumed[-1]


def test_departures_are_made_where_they_are_told() -> None:
    """D3: elsewhere the first goes on."""
    walk = DelayWalk((Departure(1, 2), Departure(3, 1)))

    assert [walk.pick((5, 6, 7)) for _ in range(6)] == [0, 2, 0, 1, 0, 0]


def test_a_bound_below_zero_is_refused() -> None:
    """The error tells what it must be."""
    with pytest.raises(ValueError, match="0 or more"):
        Delays(-1)
