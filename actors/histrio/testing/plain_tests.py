"""A simulated test is a plain function: no plugin for async tests touches it, and fixtures work as in any other."""

# Design note
# -----------
# The parameter `world` is the simulator's; all others are fixtures, and stay in the signature that pytest reads. Fixtures
# are made once for a test, not once for each schedule: what a run changes must begin inside of it, and a run that leaves
# something behind in a fixture is caught by running twice.

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

from histrio.testing.faults import Faults
from histrio.testing.options import asked_schedules, asked_token
from histrio.testing.running import explore, replay
from histrio.testing.tracebacks import from_the_test
from histrio.testing.world import World
from histrio_kernel.simulation.choices import Strategy
from histrio_kernel.simulation.run import STEPS_MAX

__all__ = ["becomes_plain", "parameters_of", "sim_test"]

F = TypeVar("F", bound=Callable[..., Awaitable[object]])


def sim_test(
    schedules: int = 300,
    *,
    seconds: float | None = None,
    seed: int = 0,
    strategy: str | Strategy = "mix",
    faults: Faults | None = None,
    steps_max: int = STEPS_MAX,
) -> Callable[[Callable[..., Awaitable[object]]], Callable[..., None]]:
    """Make a test of `async def test(world, ...)`: it passes if none of so many schedules fails. See `explore`.

    The failure is what the program raised, with a note that tells how the schedule differs from first in, first out,
    and a token: `pytest --sim-replay=TOKEN` runs that schedule alone. `--sim-schedules=N` explores more, or fewer.

    Examples:
        >>> @sim_test(schedules=20)
        ... async def test_time(world: World) -> None:
        ...     await world.settle()
        >>> test_time()
    """

    def decorate(test: Callable[..., Awaitable[object]]) -> Callable[..., None]:
        parameters = parameters_of(test)

        @functools.wraps(test)
        def run(*args: object, **fixtures: object) -> None:
            def main(world: World) -> Awaitable[object]:
                return test(*args, world=world, **fixtures)

            __tracebackhide__ = True
            token = asked_token()
            count = asked_schedules() or schedules
            try:
                if token is not None:
                    replay(main, token, faults=faults, steps_max=steps_max)
                else:
                    explore(main, count, seconds, seed, strategy, faults, steps_max=steps_max).check()
            except Exception as error:
                raise from_the_test(error)  # noqa: B904  # it is this very error, and no other

        becomes_plain(run, parameters)
        return run

    return decorate


def parameters_of(test: Callable[..., Awaitable[object]]) -> list[inspect.Parameter]:
    """Those that are fixtures.

    Raises:
        TypeError: the test is not async, or does not take the world.
    """
    if not inspect.iscoroutinefunction(test):
        raise TypeError(f"{test!r} is not async: a simulated test is `async def {test.__name__}(world): ...`")
    parameters = list(inspect.signature(test).parameters.values())
    if not any(parameter.name == "world" for parameter in parameters):
        raise TypeError(f"{test.__name__} has no parameter `world`, by which a simulated test reaches its simulation")
    return [parameter for parameter in parameters if parameter.name != "world"]


def becomes_plain(run: Callable[..., None], parameters: list[inspect.Parameter]) -> None:
    """What looks at the function finds a synchronous one without `world`, and nothing behind it."""
    vars(run).pop("__wrapped__", None)  # plugins look through it
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by pytest
