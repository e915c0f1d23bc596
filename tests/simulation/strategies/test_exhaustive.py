"""Every schedule is run, or one that does the same; and what is relied on is said."""

import itertools
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.simulation.strategies.models import Op, Program, outcomes
from tests.simulation.strategies.sealed_actors import (
    Add,
    Store,
    lost_update,
    lost_update_fixed,
    search_world,
)
from tests.simulation.strategies.toys import lost_update as lost_update_of_tasks
from tests.simulation.strategies.toys import search, timeout_race

from histrio.testing import World
from histrio_kernel.simulation.choices import CLOCK
from histrio_kernel.simulation.strategies.exhaustive import Exhaustive

LOST_UPDATE_RUNS = 24
TIMES_FEWER = 50

ops = st.builds(
    Op,
    st.sampled_from(["mix", "mix", "read", "post", "wait", "decide", "cancel"]),
    st.integers(0, 2),
    st.sampled_from([False, False, False, False, True]),
)
programs = st.lists(st.lists(ops, max_size=4).map(tuple), min_size=2, max_size=3).map(tuple)


@settings(max_examples=count("race_programs"))
@given(programs)
def test_no_outcome_is_missed(program: Program) -> None:
    """D3: on drawn small programs, all that can come out under any schedule comes out under those that are run."""
    everything, runs, complete = outcomes(program, 3, told=False, runs_max=2_000)
    if not complete:
        return
    found, fewer, all_of_them = outcomes(program, 3, told=True, runs_max=2_000)

    assert found == everything
    assert all_of_them
    assert fewer <= runs


def test_every_order_is_run_once() -> None:
    """D3: without footprints each schedule is run, none twice."""
    program: Program = tuple((Op("mix", 0),) * 3 for _ in range(2))
    found, runs, complete = outcomes(program, 1, told=False, runs_max=1_000)

    assert complete
    assert runs == len(list(itertools.combinations(range(6), 3)))
    assert len(found) == runs


def test_what_cannot_meet_is_run_once() -> None:
    """D3: processes that share nothing have one schedule."""
    program: Program = tuple((Op("mix", number),) * 4 for number in range(3))

    assert outcomes(program, 3, told=True, runs_max=10)[1:] == (1, True)


def test_the_lost_update_beside_a_bystander_is_exhausted() -> None:
    """D3: fixed, it is shown to be so in few runs: the bystander costs none."""
    strategy, alone = Exhaustive(checks=4), Exhaustive(checks=0)
    searched = search_world(strategy, lost_update_fixed, runs=1_000)

    async def without(world: World) -> int:
        return await lost_update_fixed(world, bystander=False)

    assert searched.exhausted
    assert searched.error is None
    assert searched.values == {2}
    assert search_world(alone, without, runs=1_000).exhausted
    assert strategy.complete
    assert strategy.runs == alone.runs <= LOST_UPDATE_RUNS
    assert searched.runs == strategy.runs + 4


def test_every_order_of_it_takes_fifty_times_as_many() -> None:
    """D3: without leaving out what does the same, the search is not through after 50 times as many runs."""
    runs = count("plain_runs")
    searched = search_world(Exhaustive(reduces=False), lost_update_fixed, runs=runs)

    assert not searched.exhausted
    assert runs == 100 or runs > TIMES_FEWER * LOST_UPDATE_RUNS


def test_the_lost_update_is_not_missed() -> None:
    """D3: not fixed, both outcomes are found."""
    searched = search_world(Exhaustive(checks=0), lost_update, runs=2_000)

    assert searched.exhausted
    assert searched.values == {1, 2}


def test_tasks_whose_state_nobody_knows_are_run_in_every_order() -> None:
    """D3: plain tasks share what they like, so nothing is left out, and the lost update is found."""

    async def program() -> int:
        try:
            return await lost_update_of_tasks()
        except (BaseExceptionGroup, AssertionError):
            return 1

    reduced, plain = Exhaustive(), Exhaustive(reduces=False)

    assert search(reduced, program, runs=5_000).values == {1, 2}
    assert search(plain, program, runs=5_000).values == {1, 2}
    assert reduced.complete
    assert plain.complete
    assert reduced.runs == plain.runs


def test_early_moves_of_the_clock_are_bounded_and_said() -> None:
    """D3: time that flies while there is work is searched as often as one asks for, and the report says how often."""
    none, one = Exhaustive(), Exhaustive(early=1)

    assert search(none, timeout_race, runs=1_000).exhausted
    assert search(one, timeout_race, runs=1_000).error is not None
    assert "the clock does not move while something else can happen" in none.assumed
    assert "the clock moves at most 1 times while something else can happen" in one.assumed


def test_who_is_watched_between_steps_is_run_in_every_order() -> None:
    """D3: `always` looks at states that an order left out may be the only one to pass, so none is left out."""

    async def watched(world: World) -> int:
        world.always(lambda: True, "something that is seen between two steps")
        return await lost_update_fixed(world)

    assert not search_world(Exhaustive(), watched, runs=2 * LOST_UPDATE_RUNS).exhausted


def test_a_run_of_very_many_calls_leaves_nothing_out() -> None:
    """D3: the 64th call yields, whoever makes it, so then the order of all calls matters; the report says so."""

    async def program(world: World) -> None:
        store = await world.spawn(Store)
        for _ in range(200):
            await store.tell(Add())

    strategy = Exhaustive()
    search_world(strategy, program, runs=3)

    assert any("nothing was left out" in each for each in strategy.assumed)


def test_what_was_relied_on_is_said() -> None:
    """D3: the report names the sealed classes, and what else was assumed."""
    strategy = Exhaustive(checks=0)
    assert search_world(strategy, lost_update_fixed, runs=100).exhausted

    told = "\n".join(strategy.assumed)
    assert "sealed, and looked at in each run: Adder, Bystander, Store" in told
    assert "watchdogs" in told
    assert "the clock does not move" in told


def test_a_program_that_does_not_repeat_itself_is_no_proof() -> None:
    """D3: a choice that is not what it was is noticed, and nothing is called complete."""
    strategy = Exhaustive()
    for number in range(100):
        walk = strategy.walk(number, 0)
        if walk is None:
            break
        for _ in range(2):
            walk.pick((1, 2) if number != 1 else (1, 3))

    assert not strategy.complete
    assert "did not repeat itself" in strategy.assumed[-1]


def test_a_clock_alone_goes_on() -> None:
    """D2: the clock moves when nothing else can, without an early move."""
    walk = Exhaustive().walk(0, 0)
    assert walk is not None

    assert walk.pick((4, CLOCK)) == 0


@pytest.mark.parametrize(("early", "checks"), [(-1, 0), (0, -1)])
def test_numbers_below_zero_are_refused(early: int, checks: int) -> None:
    """The error tells what they must be."""
    with pytest.raises(ValueError, match="0 or more"):
        Exhaustive(early, checks=checks)


def test_a_search_leaves_no_profiler_behind() -> None:
    """D3: what looks at a run is gone when it is over."""
    search_world(Exhaustive(), lost_update_fixed, runs=1)

    assert sys.getprofile() is None
