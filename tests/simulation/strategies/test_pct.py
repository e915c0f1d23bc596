"""Priorities with few changes: they find who starves, which chance does not, and they end."""

from collections import Counter

import pytest
from tests.effort import count
from tests.simulation.strategies.toys import Starved, lost_update, search, spinner, starve, timeout_race

from histrio_kernel.simulation.choices import CLOCK, Step, Taught
from histrio_kernel.simulation.strategies.pct import PriorityWalk, PriorityWalks
from histrio_kernel.simulation.strategies.random_walk import RandomWalks

WITHIN = 100


@pytest.mark.parametrize("seed", range(count("starve_seeds")))
def test_who_starves_is_found(seed: int) -> None:
    """D3: a task that has to lose 50 choices in a row does so within 100 runs, whatever the seed."""
    found = search(PriorityWalks(), starve, runs=WITHIN, seed=seed)

    assert isinstance(found.error, BaseException)
    assert isinstance(found.error, Starved | BaseExceptionGroup)


def test_chance_never_finds_who_starves() -> None:
    """D3: the same program is not found out by chance, so the test above shows something."""
    assert search(RandomWalks(), starve, runs=count("starve_misses")).error is None


@pytest.mark.parametrize("seed", range(count("strategy_seeds")))
def test_a_lost_update_is_found(seed: int) -> None:
    """D3: a race of two tasks is found, too."""
    assert search(PriorityWalks(), lost_update, runs=WITHIN, seed=seed).error is not None


@pytest.mark.parametrize("seed", range(count("strategy_seeds")))
def test_a_timeout_may_strike_before_the_work(seed: int) -> None:
    """D2: the clock is the last of all, and still moves while others could, in some runs."""
    assert search(PriorityWalks(), timeout_race, runs=WITHIN, seed=seed).error is not None


@pytest.mark.parametrize("seed", range(count("strategy_seeds")))
def test_who_spins_does_not_spin_for_ever(seed: int) -> None:
    """D3: priorities are unfair for so long only, so a program that waits by spinning ends."""
    found = search(PriorityWalks(), spinner, runs=6, seed=seed, steps_max=20_000)

    assert found.error is None


def test_without_a_change_the_order_stays() -> None:
    """D3: whoever goes before somebody does so each time; the clock goes before nobody."""
    walk = PriorityWalk(seed=1, changes=0)
    options = [3, 1, 2, CLOCK]
    first = options[walk.pick(options)]

    assert all(options[walk.pick(options)] == first for _ in range(50))
    assert first != CLOCK
    assert walk.pick([first, CLOCK]) == 0


def test_a_change_lets_the_leader_fall() -> None:
    """D3: with one change, exactly once somebody else becomes the leader."""
    options = [1, 2, 3]
    leaders = [
        Counter(walk.pick(options) for _ in range(20)) for walk in (PriorityWalk(n, 1, 20, 0) for n in range(30))
    ]

    assert {len(each) for each in leaders} <= {1, 2}
    assert sum(len(each) == 2 for each in leaders) > 20


def test_changes_fall_among_the_choices_that_there_are() -> None:
    """D3: the strategy learns how long runs are, from its own and from those of others."""
    strategy = PriorityWalks(2, 2)
    strategy.learn(Taught((Step(2, 0),) * 1_000 + (Step(2, 0, is_decision=True),) * 9_000, failed=False))
    late = 0
    for number in range(40):
        walk = strategy.walk(number, 0)
        assert walk is not None
        picked = [walk.pick([1, 2]) for _ in range(1_000)]
        late += len(set(picked[500:])) == 2
        strategy.learn(Taught((), failed=False))

    assert 8 < late < 32


def test_depths_that_do_not_exist_are_refused() -> None:
    """The error tells which are meant."""
    with pytest.raises(ValueError, match="depth 3 to 2"):
        PriorityWalks(2, 3)
