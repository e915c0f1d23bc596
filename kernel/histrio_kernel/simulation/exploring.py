"""The search for a schedule that fails: one run after another, each by another walk, until one does or nothing is left."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import monotonic
from typing import Final, cast, final

import attrs
from outcome import Error, Value

from histrio_kernel.simulation.choices import Strategy, Taught, Walk, departures
from histrio_kernel.simulation.errors import Nondeterministic, NotSealed
from histrio_kernel.simulation.ran import Ran
from histrio_kernel.simulation.shrinking import Shrinker
from histrio_kernel.simulation.tokens import Schedule
from histrio_kernel.simulation.trace import told

__all__ = ["Found", "Search"]

_TWICE_EVERY: Final = 50
"""One run of so many that pass is made twice, to see whether it is the same."""

_BEFORE: Final = 3  # events that are told before the one at which two runs part
_LONGER: Final = 20
"""So many times the steps of a failing run may one take that is to be shorter to tell."""

Attempt = Callable[[Walk, int, int | None], Ran[object]]
"""Makes one run with that walk and that seed of values, of so many steps at most."""


@attrs.frozen
class Found:
    """A failure.

    Attributes:
        first: the schedule that failed first.
        shrunk: the shortest one found that fails in the same way.
        ran: the run of the shrunk one.
        schedules: how many runs it took until the first.
        attempts: how many more to shrink it.
    """

    first: Schedule
    shrunk: Schedule
    ran: Ran[object]
    schedules: int
    attempts: int


@final
class Search:
    """Explores the schedules of one program.

    Args:
        attempt: makes a run.
        strategy: gives the walks.
        seed: of the search.
        schedules: how many runs, at most.
        seconds: how long in real time, at most.
        on_run: called after each run with the number of runs so far.

    Attributes:
        runs: how many were made.
        complete: whether the strategy had nothing left to try.
    """

    def __init__(
        self,
        attempt: Attempt,
        strategy: Strategy,
        seed: int,
        schedules: int,
        seconds: float | None = None,
        on_run: Callable[[int], None] | None = None,
        *,
        shrinks: bool = True,
    ) -> None:
        self._attempt: Final = attempt
        self._strategy: Final = strategy
        self._seed: Final = seed
        self._schedules: Final = schedules
        self._until: Final = None if seconds is None else monotonic() + seconds
        self._on_run: Final = on_run
        self._shrinks: Final = shrinks
        self.runs = 0
        self.complete = False

    def run(self) -> Found | None:
        """Search; None if no run failed.

        Raises:
            Nondeterministic: a run did not repeat itself.
            NotSealed: an actor is not what it says of itself.
        """
        while self.runs < self._schedules and (self._until is None or monotonic() < self._until):
            walk = self._strategy.walk(self.runs, self._seed)
            if walk is None:
                self.complete = True
                return None
            systematic: bool = getattr(self._strategy, "systematic", False)
            seed = (self._seed + (0 if systematic else self.runs)) & 0xFFFF_FFFF
            ran = self._attempt(walk, seed, None)
            self.runs += 1
            failed = isinstance(ran.outcome, Error)
            self._strategy.learn(Taught(ran.tape, failed))
            if self._on_run is not None:
                self._on_run(self.runs)
            if isinstance(ran.outcome, Error) and isinstance(ran.outcome.error, NotSealed):
                raise ran.outcome.error  # of the search itself: no schedule shows it to whoever does not look for it
            if failed or self.runs % _TWICE_EVERY == 1:
                self._again(ran, seed)
            if failed:
                return self._found(ran, seed)
        self.complete = getattr(self._strategy, "complete", False)
        return None

    def _again(self, ran: Ran[object], seed: int) -> None:
        """The same choices must lead to the same run, wherever its objects lie."""
        junk = [object() for _ in range(1009)]
        again = self._attempt(Schedule(seed, departures(ran.tape)).walk(), seed, None)
        del junk
        if not _same(ran, again):
            raise Nondeterministic(where_they_part(ran, again))

    def _found(self, ran: Ran[object], seed: int) -> Found:
        first = Schedule(seed, departures(ran.tape))
        if not self._shrinks:
            return Found(first, first, ran, self.runs, 0)
        error = _error(ran)

        def attempt(schedule: Schedule) -> Ran[object] | None:
            tried = self._attempt(schedule.walk(), schedule.seed, _LONGER * ran.steps + 1_000)
            return tried if isinstance(tried.outcome, Error) and _alike(tried.outcome.error, error) else None

        shrinker = Shrinker(attempt)
        shrunk = shrinker.shrink(first, lambda: took_part(ran))
        last = attempt(shrunk)
        if last is None:
            raise Nondeterministic(where_they_part(ran, self._attempt(first.walk(), seed, None)))
        gc.collect(0)
        return Found(first, shrunk, last, self.runs, shrinker.attempts)


def took_part(ran: Ran[object]) -> list[int]:
    """Who had something to do in a run, those with the most first."""
    return list(ran.identities)


def where_they_part(one: Ran[object], other: Ran[object]) -> str:
    """The first event at which two runs with one tape differ."""
    told_of = [[*told(each.trace, each.names), f"the end, with {_ended(each)}"] for each in (one, other)]
    at = next((at for at, (a, b) in enumerate(zip(*told_of, strict=False)) if a != b), min(map(len, told_of)) - 1)
    first, second = (each[at] for each in told_of)
    return (
        f"one schedule, run twice, led to two different runs. They part at event {at + 1}: in the first {first}; in the "
        f"second {second}. Before that: {'; '.join(told_of[0][max(0, at - _BEFORE) : at]) or 'nothing'}. Something outside "
        "of the simulation has a say: the time of day, `random` of the module, uuid4, an order by id() or by hash() of "
        "str, or a global that an earlier run has changed. Take time and chance from the driver (`self.io.clock`, "
        "`self.io.random`)"
    )


def _ended(ran: Ran[object]) -> str:
    outcome = ran.outcome
    return f"{type(outcome.error).__name__}: {outcome.error}" if isinstance(outcome, Error) else "a value"


def _error(ran: Ran[object]) -> BaseException:
    assert isinstance(ran.outcome, Error)
    return ran.outcome.error


def _same(one: Ran[object], other: Ran[object]) -> bool:
    """Whether two runs are one, as far as anybody can tell."""
    if one.trace != other.trace or isinstance(one.outcome, Error) != isinstance(other.outcome, Error):
        return False
    return isinstance(one.outcome, Value) or _alike(_error(one), _error(other))


def _alike(one: BaseException, other: BaseException) -> bool:
    """Whether two failures are the same one, as far as anybody can tell."""
    firsts = _first(one), _first(other)
    if None in firsts:
        return type(one) is type(other)
    return _alike(*cast("tuple[BaseException, BaseException]", firsts))


def _first(error: BaseException) -> BaseException | None:
    """Of a group."""
    if not isinstance(error, BaseExceptionGroup):
        return None
    return cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
