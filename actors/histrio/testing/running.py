"""To simulate a program once, to explore its schedules, and to replay one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from outcome import Error, Value

from histrio.testing.explaining import explain
from histrio.testing.faults import Faults
from histrio.testing.progress import progress
from histrio.testing.quiet import quiet
from histrio.testing.report import Report, Run
from histrio.testing.world import World, in_world
from histrio_kernel.simulation.choices import Strategy, Walk
from histrio_kernel.simulation.errors import BadToken
from histrio_kernel.simulation.exploring import Search
from histrio_kernel.simulation.images import Image
from histrio_kernel.simulation.ran import Ran
from histrio_kernel.simulation.run import STEPS_MAX, Simulation
from histrio_kernel.simulation.strategies.mix import strategy_of
from histrio_kernel.simulation.strategies.random_walk import RandomWalk, run_seed
from histrio_kernel.simulation.tokens import read_token, write_token

__all__ = ["explore", "replay", "run_once", "simulate"]

T = TypeVar("T")

Program = Callable[[World], Awaitable[T]]
"""What is simulated: any `async def main(world)`."""

NO_FAULTS = Faults()


def run_once(
    main: Program[T],
    walk: Walk,
    seed: int,
    faults: Faults = NO_FAULTS,
    *,
    steps_max: int = STEPS_MAX,
    image: Image | None = None,
    prepare: Callable[[Simulation], None] | None = None,
) -> Ran[T]:
    """One run of `main` along a walk."""
    simulation = Simulation(walk, seed, steps_max=steps_max)
    if prepare is not None:
        prepare(simulation)
    return simulation.run(lambda: in_world(simulation, main, faults, image))


def simulate(main: Program[T], seed: int = 0, *, faults: Faults | None = None, steps_max: int = STEPS_MAX) -> Run[T]:
    """Run `main(world)` once, in one thread of virtual time; every choice is drawn from the seed.

    The same seed gives the same bytes of trace, in any process; another one another schedule (D1).

    Args:
        main: the program.
        seed: of all choices, and of what the drivers' `random` gives.
        faults: what may go wrong; default: nothing.
        steps_max: after so many steps it is `Unsettled`.

    Raises:
        Deadlock: nothing can happen any more.
        EscapedSimulation: it reached for something real.
        Unsettled: it did not end within `steps_max` steps.
        BaseException: whatever *main* raised, as it was.

    Examples:
        >>> import histrio
        >>> class Greeter(histrio.Actor[str]):
        ...     async def receive(self, message: str) -> None:
        ...         await self.io.clock.sleep(3600)
        >>> async def main(world: World) -> str:
        ...     greeter = await world.spawn(Greeter)
        ...     await greeter.tell("hello")
        ...     await world.settle(within_s=7200)
        ...     return "settled"
        >>> run = simulate(main)
        >>> run.value, run.virtual_seconds >= 3600
        ('settled', True)
        >>> run.trace_hash == simulate(main).trace_hash
        True
    """
    ran = run_once(main, RandomWalk(run_seed(seed, 0)), seed, faults or NO_FAULTS, steps_max=steps_max)
    return _as_run(ran)


def explore(
    main: Program[object],
    schedules: int = 300,
    seconds: float | None = None,
    seed: int = 0,
    strategy: str | Strategy = "mix",
    faults: Faults | None = None,
    *,
    steps_max: int = STEPS_MAX,
    shrinks: bool = True,
) -> Report:
    """Run `main(world)` under many schedules, until one fails; that one is shrunk, explained, and told as a token (D3).

    Args:
        main: the program. It is run anew for each schedule, so what it uses must begin inside of it.
        schedules: how many, at most.
        seconds: for how long in real time, at most; default: as long as it takes.
        seed: of the search: another one takes other schedules.
        strategy: "mix", "fifo", "random", "pct", "delay", "exhaustive", or one of your own.
        faults: what may go wrong; default: nothing.
        steps_max: a run that takes more steps is `Unsettled`, which is a failure.
        shrinks: whether a failing schedule is made as short as can be, which takes some hundred runs.

    Raises:
        Nondeterministic: one schedule, run twice, led to two runs; see the text for what to do.
        NotSealed: an actor says `sealed = True` and shares something that can change; the text says what and where.

    Examples:
        >>> import trio
        >>> async def lost_update(world: World) -> None:
        ...     count = 0
        ...     async def increment() -> None:
        ...         nonlocal count
        ...         before = count
        ...         await trio.lowlevel.checkpoint()
        ...         count = before + 1
        ...     async with trio.open_nursery() as nursery:
        ...         nursery.start_soon(increment, name="ann")
        ...         nursery.start_soon(increment, name="ben")
        ...     assert count == 2, f"count is {count}"
        >>> report = explore(lost_update)
        >>> report.failed, str(report.error)
        (True, 'count is 1')
        >>> replay(lost_update, report.token or "")
        Traceback (most recent call last):
        AssertionError: count is 1
    """
    allowed = faults or NO_FAULTS
    chosen = strategy_of(strategy, schedules if seconds is None else None)

    def attempt(walk: Walk, value_seed: int, most: int | None) -> Ran[object]:
        return run_once(main, walk, value_seed, allowed, steps_max=min(steps_max, most or steps_max))

    with quiet(), progress(schedules) as on_run:
        search = Search(attempt, chosen, seed, schedules, seconds, on_run, shrinks=shrinks)
        found = search.run()
    assumed = tuple(getattr(chosen, "assumed", ()))
    if found is None:
        return Report(False, None, search.runs, None, "", search.complete, assumed if search.complete else ())
    assert isinstance(found.ran.outcome, Error)
    token = write_token(found.shrunk)
    with quiet():
        text = explain(
            lambda walk, prepare: run_once(
                main, walk, found.shrunk.seed, allowed, steps_max=steps_max, prepare=prepare
            ),
            found.shrunk,
        )
    return Report(True, found.ran.outcome.error, found.schedules, token, text, False)


def replay(main: Program[T], token: str, *, faults: Faults | None = None, steps_max: int = STEPS_MAX) -> Run[T]:
    """Run `main(world)` along the schedule of a token, which raises the error that the token stands for.

    Raises:
        BadToken: it is damaged, of other versions, or *main* has changed so that its choices are not there any more:
            then the text says at which.
        BaseException: whatever *main* raised.
    """
    schedule = read_token(token)
    ran = run_once(main, schedule.walk(), schedule.seed, faults or NO_FAULTS, steps_max=steps_max)
    for departure in schedule.departures:
        if departure.at >= len(ran.tape):
            raise BadToken(
                f"the program has changed: the token departs at choice {departure.at + 1}, and this run had only "
                f"{len(ran.tape)}, and ended with {_ended(ran)}. Explore again"
            )
        ways = ran.tape[departure.at].ways
        if departure.ways != ways:
            raise BadToken(
                f"the program has changed: at choice {departure.at + 1} the token takes option {departure.chosen + 1} of "
                f"{departure.ways}, and this run had {ways} there, and ended with {_ended(ran)}. Explore again"
            )
    return _as_run(ran)


def _ended(ran: Ran[object]) -> str:
    return repr(ran.outcome.error) if isinstance(ran.outcome, Error) else "a value"


def _as_run(ran: Ran[T]) -> Run[T]:
    outcome = ran.outcome
    if isinstance(outcome, Error):
        raise outcome.error
    assert isinstance(outcome, Value)
    return Run(outcome.value, ran.trace, ran.trace_hash, ran.steps, ran.virtual_seconds)
