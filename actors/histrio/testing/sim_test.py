"""A simulated test is a plain function: no plugin for async tests touches it, and fixtures work as in any other."""

# Design note
# -----------
# The parameter `world` is the simulator's; all others are fixtures, and stay in the signature that pytest reads. Fixtures
# are made once for a test, not once for each schedule: what a run changes must begin inside of it, and a run that leaves
# something behind in a fixture is caught by running twice.
#
# Hypothesis owns the workload and the simulator the schedule (D6): each example is explored under schedules of its own,
# whose seed comes from the example and is not drawn, so the two never shrink against each other. Hypothesis shrinks the
# workload first; the schedule of the example that it settles on is shrunk last.

from __future__ import annotations

import functools
import inspect
import sys
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

from histrio.testing.faults import Faults
from histrio.testing.report import Report
from histrio.testing.running import explore, replay
from histrio.testing.world import World
from histrio_kernel.simulation.choices import Strategy
from histrio_kernel.simulation.run import STEPS_MAX

__all__ = ["sim_given", "sim_test"]

F = TypeVar("F", bound=Callable[..., Awaitable[object]])

_PLUGIN: Final = "histrio_pytest"


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
        parameters = _parameters(test)

        @functools.wraps(test)
        def run(*args: object, **fixtures: object) -> None:
            def main(world: World) -> Awaitable[object]:
                return test(*args, world=world, **fixtures)

            token = _option("replay")
            if isinstance(token, str):
                replay(main, token, faults=faults, steps_max=steps_max)
                return
            asked = _option("schedules")
            count = asked if isinstance(asked, int) else schedules
            explore(main, count, seconds, seed, strategy, faults, steps_max=steps_max).check()

        _becomes_plain(run, parameters)
        return run

    return decorate


def sim_given(
    schedules: int = 30,
    *,
    strategy: str | Strategy = "mix",
    faults: Faults | None = None,
    steps_max: int = STEPS_MAX,
    settings: Callable[[Any], Any] | None = None,
    **given: object,
) -> Callable[[Callable[..., Awaitable[object]]], Callable[..., None]]:
    """Make a test of `async def test(world, **drawn)`: Hypothesis draws the workload, the simulator the schedules (D6).

    Args:
        schedules: how many schedules of each example.
        strategy: as for `explore`.
        faults: what may go wrong.
        steps_max: a run that takes more steps is `Unsettled`.
        settings: Hypothesis's settings of this test; a `@settings` above it would not be seen.
        given: strategies of Hypothesis, by the names of the test's parameters.

    Examples:
        >>> from hypothesis import settings, strategies as st
        >>> few = settings(max_examples=5, database=None, deadline=None)
        >>> @sim_given(schedules=5, settings=few, numbers=st.lists(st.integers()))
        ... async def test_sum(world: World, numbers: list[int]) -> None:
        ...     assert sum(numbers) == sum(reversed(numbers))
        >>> test_sum()
    """
    given_by, settled = _hypothesis()

    def decorate(test: Callable[..., Awaitable[object]]) -> Callable[..., None]:
        failed: list[dict[str, object]] = []
        parameters = [each for each in _parameters(test) if each.name not in given]

        def search(drawn: dict[str, object], *, shrinks: bool) -> Report:
            seed = zlib.crc32(repr(sorted(drawn.items())).encode())
            return explore(
                lambda world: test(world=world, **drawn),
                schedules, None, seed, strategy, faults, steps_max=steps_max, shrinks=shrinks,
            )  # fmt: skip

        def example(**drawn: object) -> None:
            report = search(drawn, shrinks=False)
            if report.error is not None:
                failed[:] = [drawn]
                raise report.error

        _becomes_plain(example, [each.replace(kind=each.KEYWORD_ONLY) for each in _parameters(test)])
        example.__name__, example.__doc__, example.__module__ = test.__name__, test.__doc__, test.__module__
        drawing = (settings or settled())(given_by(**given)(example))

        @functools.wraps(test)
        def run(**fixtures: object) -> None:
            try:
                drawing(**fixtures)
            except BaseException as error:
                if failed:
                    error.add_note(str(search(failed[0], shrinks=True)))
                raise

        _becomes_plain(run, parameters)
        return run

    return decorate


def _hypothesis() -> tuple[Any, Any]:
    """Hypothesis's `given` and `settings`."""
    import hypothesis  # noqa: PLC0415 - of the extra `testing`, and a quarter of a second: only who draws pays for it

    return hypothesis.given, hypothesis.settings


def _option(name: str) -> object:
    """What the command line says, if pytest runs with our plugin."""
    plugin = sys.modules.get(_PLUGIN)
    return None if plugin is None else cast("dict[str, object]", plugin.OPTIONS)[name]


def _parameters(test: Callable[..., Awaitable[object]]) -> list[inspect.Parameter]:
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


def _becomes_plain(run: Callable[..., None], parameters: list[inspect.Parameter]) -> None:
    """What looks at the function finds a synchronous one without `world`, and nothing behind it."""
    vars(run).pop("__wrapped__", None)  # plugins look through it
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by pytest
