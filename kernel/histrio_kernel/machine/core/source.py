"""Every mutation knows in which transition of which machine it was asked for."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, Protocol

import attrs

__all__ = ["ORIGIN", "Origin", "Source", "source_now"]


@attrs.frozen
class Source:
    """Where a mutation was made: in which transition of which machine. Numbers, so that it keeps nothing alive."""

    machine: str
    """The machine's name."""
    transition: int
    """Its number in that machine, from 1."""
    tick: int
    """The sum of that machine's ticks when the transition began."""

    def source(self) -> Source:
        """Itself: it can stand in `ORIGIN`."""
        return self


class Origin(Protocol):
    """What can say in which transition the present code runs."""

    def source(self) -> Source | None:
        """That transition, None if there is none."""
        ...


ORIGIN: Final[ContextVar[Origin | None]] = ContextVar("histrio machine origin", default=None)
"""The machine in whose handlers or tracers the present code runs, or the `Source` of the task that runs it."""


def source_now() -> Source | None:
    """The transition that the present code belongs to; None outside of any."""
    origin = ORIGIN.get()
    return None if origin is None else origin.source()
