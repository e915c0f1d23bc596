"""What an `advance` returns: where its process goes from here."""

from __future__ import annotations

import enum
from typing import Generic, TypeAlias, TypeVar, final

import attrs

from histrio_kernel.futures import Future

__all__ = ["Done", "Drive", "Next", "To", "Wait"]

S = TypeVar("S", bound=enum.Enum)
S_co = TypeVar("S_co", bound=enum.Enum, covariant=True)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Drive(enum.Enum):
    """What makes a process advance."""

    FREE = "free"
    """It waits for its first nudge, then runs to its end. Further nudges change nothing."""
    STEP = "step"
    """Each nudge is one advance."""


@final
@attrs.frozen
class Done(Generic[T_co]):
    """The process is done; `value` is its result, for whoever joins it.

    Examples:
        >>> Done(10)
        Done(value=10)
    """

    value: T_co


@final
@attrs.frozen
class To(Generic[S_co]):
    """The process goes on in another state. Made by `Process.to`."""

    state: S_co


@final
@attrs.frozen(eq=False)
class Wait:
    """The process goes on when a future is over. Made by `Process.wait`."""

    future: Future[object]


Next: TypeAlias = To[S] | Wait | Done[T]
"""What `advance` of a `Process[S, T]` returns: `async def advance(self) -> histrio.Next[State, int]`."""
