"""The end of a moment: all that could happen at this reading of the clock has happened."""

# Design note
# -----------
# Whoever has to know whether two things happened at one reading of the clock (a tie, F2) must let both happen first.
# In Trio a round of the scheduler does: whatever a deadline of this reading has woken is in it. In a simulation a round
# is a single step, and the other one may come any number of steps later; but the simulator knows when nothing is left.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

__all__ = ["end_of_moment", "use_end_of_moment"]

_END: Final[trio.lowlevel.RunVar[Callable[[], Awaitable[None]]]] = trio.lowlevel.RunVar("histrio end of moment")


async def end_of_moment() -> None:
    """Wait for a round of Trio's scheduler; in a simulation, until nothing else can happen or time passes. A checkpoint."""
    await _END.get(trio.lowlevel.checkpoint)()


def use_end_of_moment(end: Callable[[], Awaitable[None]]) -> None:
    """In this Trio run, *end* says when a moment has ended."""
    _END.set(end)
