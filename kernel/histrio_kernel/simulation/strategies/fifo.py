"""First in, first out: one run without any departure."""

from __future__ import annotations

from typing import final

from histrio_kernel.simulation.choices import Fifo, Taught, Walk

__all__ = ["FirstInFirstOut"]


@final
class FirstInFirstOut:
    """One run, in which the oldest goes first and no fault strikes."""

    name = "fifo"

    def walk(self, number: int, seed: int) -> Walk | None:
        """There is one."""
        return Fifo() if number == 0 else None

    def learn(self, taught: Taught) -> None:
        """Nothing is left to learn."""
