"""The default mixture, and names of strategies."""

from typing import cast

import pytest
import trio
from tests.effort import count
from tests.simulation.strategies.toys import Program, lost_update, search, starve, timeout_race

from histrio_kernel.simulation.choices import Fifo, Strategy
from histrio_kernel.simulation.strategies.mix import STRATEGIES, Mix, strategy_of
from histrio_kernel.simulation.strategies.pct import PriorityWalk, PriorityWalks
from histrio_kernel.simulation.strategies.random_walk import RandomWalk


@pytest.mark.parametrize("seed", range(count("strategy_seeds")))
@pytest.mark.parametrize("program", [lost_update, starve, timeout_race])
def test_the_mix_finds_what_its_parts_find(seed: int, program: Program) -> None:
    """D3: what chance finds and what priorities find, the default finds in twice as many runs."""
    assert search(Mix(), program, runs=200, seed=seed).error is not None


def test_first_in_first_out_comes_first_and_each_has_its_share() -> None:
    """D3: run 0 has no departure; after it chance and priorities take turns."""
    mix = Mix()
    kinds = [type(mix.walk(number, 0)) for number in range(7)]

    assert kinds == [Fifo, RandomWalk, PriorityWalk, RandomWalk, PriorityWalk, RandomWalk, PriorityWalk]


def test_a_mix_that_knows_its_budget_searches_all_in_the_end() -> None:
    """D3: the last third goes to the search of all schedules, which says so if none is left; then chance goes on."""

    async def nothing_to_find() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.checkpoint)
            nursery.start_soon(trio.lowlevel.checkpoint)

    long, short = Mix(600), Mix(20)

    assert search(long, nothing_to_find, runs=600).runs == 600
    assert long.complete
    assert "the clock does not move while something else can happen" in long.assumed
    assert not search(short, nothing_to_find, runs=20).exhausted
    assert not short.complete
    assert isinstance(strategy_of("mix", 90), Mix)


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_name_gives_a_fresh_strategy_of_that_name(name: str) -> None:
    """D3: what one search has learned does not reach another."""
    strategy = strategy_of(name)

    assert strategy.name == name
    assert strategy_of(name) is not strategy


def test_a_strategy_is_taken_as_it_is() -> None:
    """D3: anybody's strategy can be given instead of a name."""
    mine: Strategy = PriorityWalks(5)

    assert strategy_of(mine) is mine


def test_a_name_that_is_none_is_refused_with_the_nearest() -> None:
    """The error names the nearest, and all that there are."""
    with pytest.raises(
        ValueError, match=r"Did you mean 'random'\? There are: mix, fifo, random, pct, delay, exhaustive"
    ):
        strategy_of("radnom")
    with pytest.raises(ValueError, match=r"called 'zzzzzz'\. There are"):
        strategy_of("zzzzzz")


@pytest.mark.parametrize(("wrong", "why"), [(PriorityWalks, "it is a class"), (7, "it has no name, walk, learn")])
def test_what_is_no_strategy_is_refused(wrong: object, why: str) -> None:
    """The error tells what is missing."""
    with pytest.raises(TypeError, match=why):
        strategy_of(cast(Strategy, wrong))
