"""Small programs to search, each with one known bug or with none, and how to search them."""

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio
from outcome import Error, Value

from histrio_kernel.simulation.choices import Strategy, Taught
from histrio_kernel.simulation.ran import Ran
from histrio_kernel.simulation.run import Simulation

Program = Callable[[], Awaitable[object]]

STARVED_FOR: Final = 50
"""So many picks in a row the victim of `starve` has to lose."""


class Starved(Exception):
    """The bug of `starve` has shown itself."""


async def starve() -> None:
    """Fails if one task gets no step at all while two others make 25 each."""
    fed = False

    async def victim() -> None:
        nonlocal fed
        await trio.lowlevel.checkpoint()
        fed = True

    async def busy() -> None:
        for _ in range(STARVED_FOR // 2):
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as outer:
        outer.start_soon(victim)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(busy)
            nursery.start_soon(busy)
        if not fed:
            raise Starved


async def lost_update() -> int:
    """Two tasks add one each, with a checkpoint between reading and writing; what is found in the end."""
    found = 0

    async def add() -> None:
        nonlocal found
        before = found
        await trio.lowlevel.checkpoint()
        found = before + 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(add)
        nursery.start_soon(add)
    assert found == 2, "an update was lost"
    return found


async def spinner() -> None:
    """One task spins until another has made a step."""
    done = False

    async def late() -> None:
        nonlocal done
        await trio.lowlevel.checkpoint()
        done = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(late)
        while not done:
            await trio.lowlevel.checkpoint()


async def timeout_race() -> None:
    """Fails if a timeout of an hour strikes before three steps are done, so only if time flies while work is waiting."""
    with trio.fail_after(3600):
        for _ in range(3):
            await trio.lowlevel.checkpoint()


@attrs.frozen
class Searched:
    """What a search came to.

    Attributes:
        runs: how many there were.
        error: that of the last one, if it failed.
        exhausted: whether the strategy had nothing left to try.
        values: what the programs returned.
    """

    runs: int
    error: BaseException | None
    exhausted: bool
    values: frozenset[object] = frozenset()


def search(strategy: Strategy, program: Program, *, runs: int, seed: int = 0, steps_max: int = 100_000) -> Searched:
    """Run a program along the walks of a strategy, until one fails, or nothing is left."""
    values: set[object] = set()
    for number in range(runs):
        walk = strategy.walk(number, seed)
        if walk is None:
            return Searched(number, None, exhausted=True, values=frozenset(values))
        ran: Ran[object] = Simulation(walk, steps_max=steps_max).run(program)
        strategy.learn(Taught(ran.tape, isinstance(ran.outcome, Error)))
        if isinstance(ran.outcome, Error):
            return Searched(number + 1, ran.outcome.error, exhausted=False, values=frozenset(values))
        assert isinstance(ran.outcome, Value)
        values.add(ran.outcome.value)
    return Searched(runs, None, exhausted=strategy.walk(runs, seed) is None, values=frozenset(values))
