"""An actor that was cancelled and does not end is named, with what it still does.

Whoever watches has a timer only when something was cancelled lately, so in an idle system a virtual clock stands still.
"""

# Design note
# -----------
# Trio waits for what ignores cancellation, and so do we: nothing outlives its scope. But a program that hangs at its
# end without a word is hard to find, so after `shutdown_s` from the cancellation there is a report with stacks. Most
# actors end at once when they are cancelled, so the timer is set for the first of them and not taken back.

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, cast, final

import trio
from trio.lowlevel import Task, checkpoint

from histrio_kernel.cell import Cell
from histrio_kernel.engine import Engine
from histrio_kernel.errors import StuckActor

__all__ = ["StuckWatch"]

_FRAMES_MAX: Final = 12
_ROUNDS: Final = 50
_REPORTS_MAX: Final = 10
"""How many are reported at once with their stacks."""


@final
class StuckWatch:
    """Reports each actor that has not ended `shutdown_s` seconds after it was cancelled, once."""

    def __init__(self, engine: Engine) -> None:
        self._engine: Final = engine
        self._scope: Final = trio.CancelScope(shield=True)

    def close(self) -> None:
        """The last actor has ended: nothing is left to watch."""
        self._scope.cancel()

    async def run(self) -> None:
        """Watch until closed; also while everything around is cancelled, which is when most actors end."""
        with self._scope:
            await self._watch()

    async def _watch(self) -> None:
        while True:
            await self._until_due()
            await self._let_unwind()
            self._report()

    async def _until_due(self) -> None:
        """Sleep until the first of them is due; also if it has ended meanwhile, or each would set a timer anew."""
        due = min(self._engine.ending.values(), default=math.inf)
        while self._engine.now() < due:
            with trio.CancelScope() as nap:

                def look_earlier(new: float, nap: trio.CancelScope = nap) -> None:
                    nonlocal due
                    if new < due:
                        due = new
                        nap.cancel()

                self._engine.on_ending = look_earlier
                if due < math.inf:
                    await self._engine.driver.clock.sleep(due - self._engine.now())
                else:
                    await trio.sleep_forever()

    async def _let_unwind(self) -> None:
        """Whoever merely takes a while to unwind, because so many do, has done so after some rounds of the loop."""
        for _ in range(_ROUNDS):
            if self._due():
                await checkpoint()

    def _due(self) -> list[Cell]:
        now = self._engine.now()
        return [cast(Cell, actor) for actor, due in self._engine.ending.items() if due <= now]

    def _report(self) -> None:
        stuck = self._due()
        for actor in stuck:
            del self._engine.ending[actor]
        for actor in stuck[:_REPORTS_MAX]:
            self._engine.report(StuckActor(_text(actor)))
        if len(stuck) > _REPORTS_MAX:
            paths = f"{stuck[_REPORTS_MAX].path} to {stuck[-1].path}"
            self._engine.report(StuckActor(f"{len(stuck) - _REPORTS_MAX} more actors have not ended either: {paths}"))


def _text(cell: Cell) -> str:
    stacks = "\n".join(_stacks(cell))
    return (
        f"{cell.path}: it was cancelled {cell.settings.shutdown_s} s ago and has not ended; it is still waited for."
        " Something in it ignores cancellation: a shield without a deadline, or a thread that cannot be abandoned."
        f" What it still does:\n{stacks}"
    )


def _stacks(cell: Cell) -> Iterator[str]:
    """Where each task of the actor waits, its children's tasks not counted; innermost call last."""
    nursery = cell.nursery
    tasks = list(nursery.child_tasks) if nursery is not None else []
    if cell.host is not None:
        tasks.insert(0, cell.host.task)
    below = {child.host.task for child in (cell.children or {}).values() if child.host is not None}
    for task in tasks:
        if task not in below:
            yield f"  task {task.name}"
            yield from _frames(task)


def _frames(task: Task) -> Iterator[str]:
    calls = [
        f"    {frame.f_code.co_filename}:{line} in {frame.f_code.co_qualname}"
        for frame, line in task.iter_await_frames()
    ]
    yield from calls[-_FRAMES_MAX:]
