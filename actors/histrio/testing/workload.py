"""Hypothesis draws what a simulated test does, the simulator in which order it happens (D6). Needs the extra `testing`."""

# Design note
# -----------
# Hypothesis owns the workload and the simulator the schedule (D6): each example is explored under schedules of its own,
# whose seed comes from the example and is not drawn, so the two never shrink against each other. Hypothesis shrinks the
# workload first; the schedule of the example that it settles on is shrunk last.
#
# A token holds the seed of its run, and that comes from the example: so a token tells its example from all others, and
# only that one is run along it. Hypothesis keeps examples that failed, and draws them first.

from __future__ import annotations

import functools
import zlib
from collections.abc import Awaitable, Callable

import hypothesis
from hypothesis.strategies import SearchStrategy

from histrio.testing.faults import Faults
from histrio.testing.options import asked_schedules, asked_token
from histrio.testing.plain_tests import becomes_plain, parameters_of
from histrio.testing.report import Report
from histrio.testing.running import explore, replay
from histrio_kernel.simulation.choices import Strategy
from histrio_kernel.simulation.errors import BadToken
from histrio_kernel.simulation.run import STEPS_MAX
from histrio_kernel.simulation.tokens import read_token

__all__ = ["sim_given"]


def sim_given(
    schedules: int = 30,
    *,
    strategy: str | Strategy = "mix",
    faults: Faults | None = None,
    steps_max: int = STEPS_MAX,
    settings: hypothesis.settings | None = None,
    **given: SearchStrategy[object],
) -> Callable[[Callable[..., Awaitable[object]]], Callable[..., None]]:
    """Make a test of `async def test(world, **drawn)`: Hypothesis draws the workload, the simulator the schedules (D6).

    Args:
        schedules: how many schedules of each example.
        strategy: as for `explore`.
        faults: what may go wrong.
        steps_max: a run that takes more steps is `Unsettled`.
        settings: Hypothesis's settings of this test; a `@settings` above it would not be seen.
        given: strategies of Hypothesis, by the names of the test's parameters.

    With `pytest --sim-replay=TOKEN` only the example that the token is of is run, along its schedule;
    `--sim-schedules=N` explores more of each example, or fewer.

    Examples:
        >>> from hypothesis import settings, strategies as st
        >>> from histrio.testing import World
        >>> few = settings(max_examples=5, database=None, deadline=None)
        >>> @sim_given(schedules=5, settings=few, numbers=st.lists(st.integers()))
        ... async def test_sum(world: World, numbers: list[int]) -> None:
        ...     assert sum(numbers) == sum(reversed(numbers))
        >>> test_sum()
    """

    def decorate(test: Callable[..., Awaitable[object]]) -> Callable[..., None]:
        failed: list[dict[str, object]] = []
        replayed: list[str] = []
        receiver: list[object] = []
        parameters = [each for each in parameters_of(test) if each.name not in given]

        def seed_of(drawn: dict[str, object]) -> int:
            workload = sorted((name, drawn[name]) for name in given)  # a fixture may print as its address
            return zlib.crc32(repr(workload).encode())

        def search(drawn: dict[str, object], *, shrinks: bool) -> Report:
            return explore(
                lambda world: test(*receiver, world=world, **drawn),
                asked_schedules() or schedules, None, seed_of(drawn), strategy, faults,
                steps_max=steps_max, shrinks=shrinks,
            )  # fmt: skip

        def along(token: str, drawn: dict[str, object]) -> None:
            if (read_token(token).seed - seed_of(drawn)) % 2**32 < (asked_schedules() or schedules):
                replayed.append(token)
                replay(lambda world: test(*receiver, world=world, **drawn), token, faults=faults, steps_max=steps_max)

        def example(**drawn: object) -> None:
            token = asked_token()
            if token is not None:
                along(token, drawn)
                return
            report = search(drawn, shrinks=False)
            if report.error is not None:
                failed[:] = [drawn]
                raise report.error

        becomes_plain(
            example, [each.replace(kind=each.KEYWORD_ONLY) for each in parameters_of(test) if each.name != "self"]
        )
        example.__name__, example.__doc__, example.__module__ = test.__name__, test.__doc__, test.__module__
        drawing = (settings or hypothesis.settings())(hypothesis.given(**given)(example))

        @functools.wraps(test)
        def run(*args: object, **fixtures: object) -> None:
            failed.clear()
            replayed.clear()
            receiver[:] = args  # the object of a method; everything else comes by name
            try:
                drawing(**fixtures)
            except BaseException as error:
                if failed:
                    error.add_note(str(search(failed[0], shrinks=True)))
                raise
            token = asked_token()
            if token is not None and not replayed:
                raise BadToken(
                    f"no example that Hypothesis drew for {test.__name__} is the one of {token}. It draws again what has "
                    "failed if it has a database (`settings(database=...)`), and `@hypothesis.example` names one. Or the "
                    "token is of another test, or was found with more schedules: give that --sim-schedules, too"
                )

        becomes_plain(run, parameters)
        return run

    return decorate
