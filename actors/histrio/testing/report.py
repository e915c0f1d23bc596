"""What came out of a simulation, as data and as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar, cast

import attrs

__all__ = ["Report", "Run"]

T_co = TypeVar("T_co", covariant=True)


@attrs.frozen
class Run(Generic[T_co]):
    """One run that came to its end.

    Attributes:
        value: what `main` returned.
        trace: all that happened, a number for each step: two runs are the same if and only if these are.
        trace_hash: sixteen digits that stand for it.
        steps: how many steps it took.
        virtual_seconds: how long it took, in virtual time.
    """

    value: T_co
    trace: bytes = attrs.field(repr=False)
    trace_hash: str
    steps: int
    virtual_seconds: float


@attrs.frozen
class Report:
    """What exploring a program has shown; `str()` of it is for people.

    Attributes:
        failed: whether some schedule failed.
        error: what it failed with.
        schedules: how many were run, up to and with the first that failed.
        token: what replays the failure, shrunk.
        explanation: how the failing schedule differs from first in, first out; what happened last; who waits.
        complete: whether no other schedule is left; see `assumed`.
        assumed: what a claim of completeness rests on.
    """

    failed: bool
    error: BaseException | None
    schedules: int
    token: str | None
    explanation: str
    complete: bool
    assumed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """A few lines."""
        if not self.failed:
            passed = f"{self.schedules} schedules, none failed"
            if not self.complete:
                return passed
            if not self.assumed:
                return f"{passed} (all of them: complete)"
            return "\n  - ".join((f"{passed}; complete under isolation, assuming that", *self.assumed))
        return (
            f"schedule {self.schedules} failed: {' and '.join(_leaves(self.error))}\n{self.explanation}\n"
            f"replay it with: pytest --sim-replay={self.token}"
        )

    def check(self) -> None:
        """Raise the error, if there is one, with the report as a note."""
        if self.error is not None:
            self.error.add_note(str(self))
            raise self.error


def _leaves(error: BaseException | None) -> Iterator[str]:
    """The error; of a group, those that are in it, because a group says nothing by itself."""
    if isinstance(error, BaseExceptionGroup):
        for each in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(each)
    else:
        yield f"{type(error).__name__}: {error}".removesuffix(": ")
