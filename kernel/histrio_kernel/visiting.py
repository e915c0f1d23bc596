"""The turn for tasks that are no handlers, and whose handler a task belongs to (A17)."""

from __future__ import annotations

from typing import Final, final

from trio.lowlevel import (
    Abort,
    Task,
    checkpoint,
    checkpoint_if_cancelled,
    current_task,
    enable_ki_protection,
)

from histrio_kernel.futures import HOLDERS, Holder, RaiseCancel
from histrio_kernel.gate import WAITING
from histrio_kernel.parking import park
from histrio_kernel.turn import Turn, Worker

__all__ = ["Visit", "holder_of", "home_of"]


@final
class Visit:
    """`async with self.turn():` the turn for a task that is no handler: a state's task, work in `self.io` (A17)."""

    __slots__ = ("_turn", "_worker")

    def __init__(self, turn: Turn) -> None:
        self._turn: Final = turn
        self._worker: Worker | None = None

    async def __aenter__(self) -> None:
        """Queue for the turn like a handler whose wait is over. A checkpoint, and cancellable."""
        before = HOLDERS.get(current_task())
        if isinstance(before, Worker) and before.turn is self._turn:
            return  # a handler has it already
        await checkpoint()
        await self._enter(before)

    async def __aexit__(self, *exc: object) -> None:
        """Give it back. Not a checkpoint."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.leave()

    def _abort(self, raise_cancel: RaiseCancel) -> Abort:
        """Unlike a handler, whoever stands in line to enter has no clean-up that needs the turn, so it just leaves."""
        worker, ready = self._worker, self._turn.ready
        if worker is None or ready is None or worker not in ready:
            return Abort.FAILED
        ready.remove(worker)
        self._worker = None
        worker.vanish()
        return Abort.SUCCEEDED

    @enable_ki_protection
    async def _enter(self, before: Holder | None) -> None:
        turn = self._turn
        self._worker = worker = Worker(turn, visits_from=before, is_visitor=True)
        if turn.free:
            turn.take()
        else:
            worker.state = WAITING
            worker.enters = True
            turn.make_ready(worker)
            await park(self._abort)
            worker.enters = False
        try:
            await checkpoint_if_cancelled()
        except BaseException:
            self._worker = None
            worker.leave()
            raise


def holder_of(task: Task) -> Holder | None:
    """The worker whose handler `task` belongs to: its own, or that of an ancestor."""
    return HOLDERS.get(task) or _holder_above(task)


def home_of(task: Task) -> Holder | None:
    """Whose work `task` does: as `holder_of`, but to visit a turn is no work of the actor that has it."""
    holder = holder_of(task)
    while type(holder) is Worker and holder.is_visitor:
        holder = holder.visits_from or _holder_above(holder.task)
    return holder


def _holder_above(task: Task) -> Holder | None:
    """That of the nearest ancestor that has one."""
    nursery = task.parent_nursery
    while nursery is not None:
        holder = HOLDERS.get(nursery.parent_task)
        if holder is not None:
            return holder
        nursery = nursery.parent_task.parent_nursery
    return None
