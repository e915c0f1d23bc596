"""Before the first simulation of a process: does this Trio do what it is told?"""

# Design note
# -----------
# Two opposite orders of four tasks are dictated, and four that wait are cancelled, whose order must be that in which they
# began. A Trio that chooses for itself cannot do all three. It is stopped after a few steps, as it may run in circles.

from __future__ import annotations

from typing import Final, final

import trio
from trio.lowlevel import Task

from histrio_kernel.simulation.errors import SimUnsupportedTrio
from histrio_kernel.simulation.trio_parts import SimClock
from histrio_kernel.simulation.trio_run import StepByStep, run_step_by_step, unsupported

__all__ = ["check_trio"]

_STEPS_MAX: Final = 200
_LETTERS: Final = "abcd"
_checked: Final[list[bool]] = []


def check_trio() -> None:
    """Once in a process; later it is known.

    Raises:
        SimUnsupportedTrio: its tasks go on in another order than the one that was chosen.
    """
    if _checked:
        return
    for place, order in ((0, "abcdABCD"), (-1, "dcbaABCD")):
        went = _Canary(place).went()
        if went != order:
            raise SimUnsupportedTrio(unsupported(AssertionError(f"tasks that were told to go {order} went {went}")))
    _checked.append(True)


@final
class _Canary:
    """One run in which always the first goes on, or always the last until all are there.

    Args:
        place: among those who can go on.
    """

    def __init__(self, place: int) -> None:
        self._place = place
        self._seen: Final[list[str]] = []
        self._all_are_there: Final = trio.Event()
        self._steps: Final = StepByStep(self, SimClock(), frozenset())

    def went(self) -> str:
        """Who went on, in that order: small letters as they begin, and large ones as they are cancelled."""
        try:
            run_step_by_step(self._steps, self._main)
        except trio.TrioInternalError as error:
            raise SimUnsupportedTrio(unsupported(error)) from error
        return "".join(self._seen)

    def next(self) -> None:
        """One of them."""
        steps = self._steps
        if not len(steps) or steps.steps >= _STEPS_MAX:
            steps.refuse("tasks have been lost, or go on for ever")
        else:
            steps.let_out(self._place % len(steps))

    def forget(self, task: Task) -> None:
        """Nobody is remembered."""

    async def _main(self) -> None:
        async with trio.open_nursery() as nursery:
            for letter in _LETTERS:
                nursery.start_soon(self._task, letter)
            await self._all_are_there.wait()
            self._place = 0
            nursery.cancel_scope.cancel()

    async def _task(self, letter: str) -> None:
        self._seen.append(letter)
        if len(self._seen) == len(_LETTERS):
            self._all_are_there.set()
        try:
            await trio.sleep_forever()
        finally:
            self._seen.append(letter.upper())
