"""What is wanted of a durable process: whether it may make its next advance. Plain data, which follows from its orders.

These are levels and counts, as those of an ordinary process (`histrio.processes.pulse`): no order of pause, resume, nudge
and step loses one.
"""

from __future__ import annotations

from typing import final

import attrs

from histrio.processes.moves import Drive

__all__ = ["Levels"]


@final
@attrs.define
class Levels:
    """What is wanted, and what has been handed in.

    Invariant: `steps` is 0 unless it is paused.

    Attributes:
        launched: whether a FREE process has been set going.
        paused: whether it is to be paused.
        steps: advances that it makes though it is paused.
        nudges: advances that it may make, in the drive STEP.
        owes: whether an advance that was nudged has been cut off, and is to be made again.
        by_nudge: whether the present advance was nudged.
        values: what `resume` has handed in and no advance has got.
        waits_for_value: whether the next advance is to get one.
    """

    launched: bool
    paused: bool = False
    steps: int = 0
    nudges: int = 0
    owes: bool = False
    by_nudge: bool = False
    values: tuple[object, ...] = ()
    waits_for_value: bool = False

    @property
    def holds(self) -> bool:
        """Whether it is to be paused now, if it does not advance at the moment."""
        return self.paused and not self.steps

    def pause(self) -> None:
        """Make no further advance. It ends a step that is not over."""
        self.paused, self.steps = True, 0

    def resume(self, value: object, *, has_value: bool) -> None:
        """Go on. Without a value, who waits for one gets None."""
        self.paused, self.steps = False, 0
        if has_value or (self.waits_for_value and not self.values):
            self.values = (*self.values, value)

    def step(self, count: int) -> None:
        """So many advances, then paused. A FREE process runs on when it is resumed."""
        self.paused, self.launched = True, True
        self.steps += count

    def nudge(self, drive: Drive, nudges_max: int) -> bool:
        """Begin, or make one advance more; False if as many are wanted as may be."""
        if drive is Drive.FREE:
            self.launched = True
        elif self.nudges >= nudges_max:
            return False
        else:
            self.nudges += 1
        return True

    def may_advance(self, drive: Drive) -> bool:
        """Whether the next advance may be made."""
        if self.waits_for_value and not self.values:
            return False
        if self.paused:
            return self.steps > 0
        return self.owes or (self.launched if drive is Drive.FREE else self.nudges > 0)

    def take(self, drive: Drive) -> object:
        """An advance is made: that is used up. What it is handed; None if nothing."""
        assert self.may_advance(drive), self
        self.by_nudge = False
        if self.paused:
            self.steps -= 1
        elif self.owes:
            self.owes, self.by_nudge = False, True
        elif drive is Drive.STEP:
            self.nudges, self.by_nudge = self.nudges - 1, True
        self.waits_for_value = False
        value, self.values = (self.values[0], self.values[1:]) if self.values else (None, ())
        return value

    def give_back(self, values: tuple[object, ...]) -> None:
        """The advance was cut off. It was none: a nudge and a value of it are still owed, ahead of the others."""
        self.owes = self.owes or self.by_nudge
        self.values = (*values, *self.values)
