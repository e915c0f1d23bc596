"""What became of one simulated run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import attrs
from outcome import Outcome

from histrio_kernel.simulation.choices import Step, Tape
from histrio_kernel.simulation.telling import SERVICES
from histrio_kernel.simulation.trace import WAYS_MAX

__all__ = ["Ran"]

T_co = TypeVar("T_co", covariant=True)


@attrs.frozen
class Ran(Generic[T_co]):
    """What became of a run.

    Attributes:
        outcome: what the program returned or raised, or the error that the simulator ended it with.
        packed: every choice that was made, see `tape`.
        trace: all that happened, a number for each step; two runs are the same if and only if these are.
        steps: how many tasks went on, and completions came.
        virtual_seconds: what the clock read in the end.
    """

    outcome: Outcome[T_co] = attrs.field(repr=False)
    packed: Sequence[int] = attrs.field(repr=False)
    trace: bytes = attrs.field(repr=False)
    steps: int
    virtual_seconds: float
    names: Mapping[int, str] = attrs.field(factory=dict[int, str], repr=False)
    """What those were called who took part, by identity."""

    @property
    def tape(self) -> Tape:
        """Every choice that was made."""
        return _unpacked(self.packed)

    @property
    def identities(self) -> tuple[int, ...]:
        """Those who took part, in the order of their first steps, those of a system's own services last."""
        mine = [number for number, name in self.names.items() if not name.startswith(SERVICES)]
        return (*mine, *(number for number in self.names if number not in mine))

    @property
    def trace_hash(self) -> str:
        """Sixteen digits that stand for the trace."""
        return hashlib.blake2b(self.trace, digest_size=8).hexdigest()


def _unpacked(tape: Sequence[int]) -> Tape:
    return tuple(Step(each >> 17, (each >> 1) & WAYS_MAX, bool(each & 1)) for each in tape)
