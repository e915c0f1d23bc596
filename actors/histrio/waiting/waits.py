"""Who waits for what in a system whose tasks are all blocked, and what of it could go on without the rest.

Everything that has to happen is a `Knot`. It is live if it may happen without anybody's help: if it depends on the
outside, or needs a live one. What is not live is stuck for ever, unless somebody outside cuts it.
"""

# Design note
# -----------
# What a handler waits for is known exactly where it is of ours: the handler that has an ask in hand, the reason why an
# inbox is not read. Whatever else there is counts as the outside, which may always come: a promise (whoever has it may
# complete it), a `select` (whoever has the ref may send), any await of Trio, an operation, a deadline. So "live" is a
# guess where it says yes, and never one where it says no.
#
# Needs are alternatives: one that happens may be enough. For `both` that is right too, since a failure of one ends it.
# Where several things keep an inbox from being read, the one that only somebody outside can take away counts: a pause
# is nothing that goes away by itself.
#
# Knots are made in a loop, not by recursion: a ring of ten thousand actors is as deep as it is long.

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, cast, final

from trio.lowlevel import Task

from histrio.taking import anything
from histrio.waiting.knots import Knot
from histrio.waiting.scopes import deadline_of
from histrio_kernel.asks import Ask
from histrio_kernel.cell import Cell
from histrio_kernel.combinators import _Combined, _OneOf
from histrio_kernel.engine import Engine
from histrio_kernel.entries import ask_of
from histrio_kernel.errors import shown
from histrio_kernel.futures import HOLDERS, PENDING, Future, PlainWait, Promise
from histrio_kernel.gate import (
    BY_HAND,
    EXITING,
    FULL,
    GONE,
    HALTED,
    IDLE,
    KILLED,
    PAUSED,
    READY,
    RUNNING,
    SELECTING,
    SHUT,
    STARTING,
    WAITING,
)
from histrio_kernel.inbox import Inbox, Selection, Standing
from histrio_kernel.io import IoPool, Operation, _IoTask
from histrio_kernel.lifecycle import Phase
from histrio_kernel.over import Over
from histrio_kernel.real.clock import RealClock
from histrio_kernel.turn import Turn, Worker

__all__ = ["Stage", "Waiting"]

_AT_WORK: Final = (Phase.RUNNING, Phase.PAUSED)
_LEAVES: Final = KILLED | EXITING | HALTED


class Stage(Protocol):
    """The system, as far as it is looked at."""

    engine: Engine
    children: dict[str, Cell] | None


@final
class Waiting:
    """All that waits in a system at one moment, at which every task of it is blocked."""

    def __init__(self, stage: Stage) -> None:
        self.engine: Final = stage.engine
        self.cells: Final = list((stage.children or {}).values())
        for cell in self.cells:  # which grows: parents stand before their children
            self.cells.extend((cell.children or {}).values())
        self._cell_of: Final = {cell.inbox: cell for cell in self.cells}
        self._nurseries: Final = {cell.nursery for cell in self.cells}
        self._workers: Final[dict[Turn, list[Worker]]] = {}
        self._in_hand: Final[dict[Ask[object], Worker]] = {}
        self._io_tasks: Final[dict[IoPool, list[_IoTask]]] = {}
        self._find_holders()
        self._awaited_by: Final[dict[Task, Future[object]]] = {}
        self._started: Final[dict[object, Cell]] = {}
        self._ended: Final[dict[object, Cell]] = {}
        for cell in self.cells:
            self._find_futures(cell)
        self._knots: Final[dict[object, Knot]] = {}
        self._todo: Final[list[tuple[Knot, Callable[[Knot], None]]]] = []

    def solve(self) -> None:
        """Find all that is needed for what was asked about, and what of it is live."""
        while self._todo:
            knot, look = self._todo.pop()
            look(knot)
        needed_by: dict[Knot, list[Knot]] = {}
        for knot in self._knots.values():
            for need in knot.needs:
                needed_by.setdefault(need, []).append(knot)
        live = [knot for knot in self._knots.values() if knot.is_outside]
        for knot in live:  # which grows
            if not knot.is_live:
                knot.is_live = True
                live.extend(needed_by.get(knot, ()))

    # -- what there is -------------------------------------------------------------------------------------------

    def _find_holders(self) -> None:
        for holder in tuple(HOLDERS.values()):
            inner: object = holder
            while isinstance(inner, Worker):  # a visitor may itself be a handler of another actor, or an operation
                if inner.turn.engine is self.engine:
                    self._workers.setdefault(inner.turn, []).append(inner)
                    if inner.asked is not None:
                        self._in_hand[inner.asked] = inner
                inner = inner.visits_from
            if isinstance(inner, _IoTask):
                self._io_tasks.setdefault(inner.pool, []).append(inner)

    def _find_futures(self, cell: Cell) -> None:
        """Whoever waits for something of this actor, and is no handler, is found by what it waits for."""
        inbox = cell.inbox
        futures: list[object] = [*map(ask_of, inbox.queue), *(inbox.line or ()), *(cell.turn.owed or ())]
        futures.extend(worker.asked for worker in self._workers.get(cell.turn, ()))
        for future, known in ((cell.started, self._started), (cell.ended, self._ended)):
            if future is not None:
                known[future] = cell
                futures.append(future)
        for found in futures:  # which grows
            for waiter in found._waiters() if isinstance(found, Future) else ():
                if isinstance(waiter, PlainWait) and waiter.task is not None:
                    self._awaited_by[waiter.task] = cast("Future[object]", found)
                elif isinstance(waiter, Future):
                    futures.append(cast(object, waiter))

    def activities(self, cell: Cell) -> list[Worker]:
        """The handlers and hooks of an actor that have begun; not a `run()` that just waits for its next message."""
        workers = self._workers.get(cell.turn, ())
        return [one for one in workers if one.state not in (IDLE, GONE) and not _is_at_rest(cell, one)]

    def operations(self, cell: Cell) -> list[Operation[Any]]:
        """The operations of an actor that nobody waits for."""
        running = [] if cell.io is None else [one.operation for one in self._io_tasks.get(cell.io, ())]
        return [one for one in running if one is not None and one._state == PENDING and not one._waiters()]

    def tasks(self, cell: Cell) -> list[Task]:
        """The tasks that run beside an actor's handlers and are none of the kernel's."""
        if cell.nursery is None:
            return []
        children = (cell.children or {}).values()
        below = {child.bare if child.host is None else child.host.task for child in children}
        tasks = [one for one in cell.nursery.child_tasks if one not in HOLDERS and one not in below]
        return sorted(tasks, key=lambda task: task.name)

    # -- knots ---------------------------------------------------------------------------------------------------

    def _knot(self, key: object, path: str, look: Callable[[Knot], None]) -> Knot:
        knot = self._knots.get(key)
        if knot is None:
            knot = self._knots[key] = Knot(path)
            self._todo.append((knot, look))
        return knot

    def activity(self, worker: Worker) -> Knot:
        """That a handler goes on."""
        return self._knot(worker, worker.turn.inbox.path, lambda knot: self._look_at_worker(knot, worker))

    def taking(self, cell: Cell) -> Knot:
        """That an actor takes its next message."""
        return self._knot(("takes", cell), cell.path, lambda knot: self._look_at_taking(knot, cell))

    def ending(self, cell: Cell) -> Knot:
        """That an actor ends."""
        return self._knot(("ends", cell), cell.path, lambda knot: self._look_at_ending(knot, cell))

    def future(self, future: Future[object]) -> Knot:
        """That a future is over."""
        return self._knot(future, "", lambda knot: self._look_at_future(knot, future))

    def outside(self, task: Task, text: str) -> Knot:
        """That a task goes on that nothing is known of but until when it sleeps."""
        return self._knot(("task", task), "", lambda knot: knot.comes(text, self._clock(deadline_of(task))))

    def _running(self, cell: Cell, task: Task) -> Knot:
        """That a task goes on that runs an operation."""
        return self._knot(task, cell.path, lambda knot: self._look_at_task(knot, cell, task))

    # -- handlers and operations ---------------------------------------------------------------------------------

    def _look_at_worker(self, knot: Knot, worker: Worker) -> None:
        future = _awaited(worker)
        cell = self._cell_of.get(worker.turn.inbox)
        visitor = HOLDERS.get(worker.task)
        if future is not None:
            knot.stands_for([self.future(future)])
        elif isinstance(visitor, Worker) and visitor is not worker:
            knot.stands_for([self.activity(visitor)])
        elif worker.state is READY and cell is not None:
            self._is_for_cell(knot, f"the turn of {cell.path}", cell, self._holders(cell))
        else:
            knot.comes("something that is not Histrio's", self._clock(deadline_of(worker.task)))
        self._limit(knot, cell, worker.task)

    def _look_at_task(self, knot: Knot, cell: Cell, task: Task) -> None:
        visitor = HOLDERS.get(task)
        future = self._awaited_by.get(task)
        if isinstance(visitor, Worker):
            knot.stands_for([self.activity(visitor)])
        elif future is not None and future._state == PENDING:
            knot.stands_for([self.future(future)])
        else:
            knot.comes("", self._clock(deadline_of(task)))
        self._limit(knot, cell, task)

    def _limit(self, knot: Knot, cell: Cell | None, task: Task) -> None:
        """What else may end the wait of a task: a deadline, or a task of its own that cancels it."""
        if knot.is_outside:
            return
        until = deadline_of(task)
        above: object = cell
        while isinstance(above, Cell):
            if above.nursery is not None:
                until = min(until, above.nursery.cancel_scope.deadline)
            above = above.parent
        beside = any(nursery.child_tasks for nursery in task.child_nurseries if nursery not in self._nurseries)
        if until < float("inf") or beside:
            knot.is_outside = True
            knot.until = self._clock(until)

    def _clock(self, deadline: float) -> float:
        """A deadline of Trio's by the system's clock, if those two are one; else it is not known."""
        return deadline if isinstance(self.engine.driver.clock, RealClock) else float("inf")

    def _holders(self, cell: Cell) -> list[Knot]:
        return [self.activity(one) for one in self._workers.get(cell.turn, ()) if one.state is RUNNING]

    # -- futures -------------------------------------------------------------------------------------------------

    def _look_at_future(self, knot: Knot, future: Future[object]) -> None:
        if isinstance(future, Ask):
            self._look_at_ask(knot, future)
        elif isinstance(future, Standing):
            self._is_for_mail(knot, f"room in the inbox of {future.inbox.path}", future.inbox)
        elif isinstance(future, Selection):
            knot.comes("the next message" if future.match is anything else "a message that it selects")
        elif isinstance(future, Operation):
            self._look_at_operation(knot, future)
        elif isinstance(future, _Combined):
            self._look_at_combined(knot, future)
        elif isinstance(future, Over):
            knot.stands_for([self.future(future._of)])
        elif future in self._started:
            child = self._started[future]
            host = child.host
            self._is_for_cell(knot, f"the start of {child.path}", child, [] if host is None else [self.activity(host)])
        elif future in self._ended:
            ends = self._ended[future]
            knot.is_for(f"the end of {ends.path}", ends.path, [self.ending(ends)])
        else:
            knot.comes(self._about(future))

    def _about(self, future: Future[object]) -> str:
        if not isinstance(future, Promise):
            return repr(future)
        loops = (getattr(cell.lane.driven, "loop", None) for cell in self.cells if cell.lane is not None)
        if any(getattr(loop, "_idle", None) is future for loop in loops):
            return "a nudge"
        return "a promise, which whoever has it may complete"

    def _look_at_ask(self, knot: Knot, ask: Ask[object]) -> None:
        text = f"the answer of {ask.inbox.path} to {shown(ask.message)}"
        worker = self._in_hand.get(ask)
        if worker is not None:
            knot.is_for(f"{text}, which it has in hand", ask.inbox.path, [self.activity(worker)])
        elif ask.begun:  # by `select`, or put by: whoever has the envelope may answer
            knot.comes(f"{text}, which it has taken")
        else:
            self._is_for_mail(knot, text, ask.inbox)

    def _is_for_mail(self, knot: Knot, text: str, inbox: object) -> None:
        """It takes the actor of `inbox` to take a message; if that is one of another system, it may."""
        cell = self._cell_of.get(cast(Inbox, inbox))
        if cell is None:
            knot.comes(text)
        else:
            knot.is_for(f"{text} ({_why_not(cell)})", cell.path, [self.taking(cell)])

    def _is_for_cell(self, knot: Knot, text: str, cell: Cell, needs: list[Knot]) -> None:
        """It takes one of `needs` in `cell`; if none is known, it may come."""
        if needs:
            knot.is_for(text, cell.path, needs)
        else:
            knot.comes(text)

    def _look_at_operation(self, knot: Knot, operation: Operation[object]) -> None:
        pool = operation._pool
        text = f"its operation {getattr(operation._label, '__qualname__', operation._label)}"
        cell = cast(Cell, pool.owner)
        if operation._io_task is not None:
            knot.stands_for([self._running(cell, operation._io_task.task)], text=text)
        elif operation in (pool.queue or ()):
            tasks = [one.task for one in self._io_tasks.get(pool, ()) if one.operation is not None]
            knot.stands_for([self._running(cell, task) for task in tasks], " or ", f"a place for {text}")
        else:
            knot.comes(text)

    def _look_at_combined(self, knot: Knot, future: _Combined[object]) -> None:
        pending = [self.future(one) for one in future._unique if one._state == PENDING]
        if isinstance(future, _OneOf):
            knot.stands_for(pending, " or ")
            if future._disarm is not None:
                knot.comes("the end of a loser")
        else:
            knot.stands_for(pending, " and ")

    # -- actors --------------------------------------------------------------------------------------------------

    def _look_at_taking(self, knot: Knot, cell: Cell) -> None:
        gate = cell.turn.gate
        text = f"{cell.path} to take it ({_why_not(cell)})"
        if gate & PAUSED or cell.phase is Phase.PAUSED:
            knot.is_for(text, cell.path, [])
        elif gate & _LEAVES or cell.phase is Phase.RESTARTING:
            knot.is_for(text, cell.path, [self.ending(cell)])
        elif gate & (STARTING | BY_HAND) and cell.host is not None:
            knot.is_for(text, cell.path, [self.activity(cell.host)])
        elif gate & SELECTING:
            knot.comes(text)
        elif gate & FULL:
            workers = self._workers.get(cell.turn, ())
            waiting = [one for one in workers if one.state in (WAITING, READY) and not one.enters]
            knot.is_for(text, cell.path, [self.activity(one) for one in waiting])
        else:
            self._is_for_cell(knot, text, cell, self._holders(cell))

    def _look_at_ending(self, knot: Knot, cell: Cell) -> None:
        needs = [self.activity(one) for one in self.activities(cell)]
        text = f"the end of {cell.path}"
        if cell.phase in _AT_WORK:
            if cell.turn.free and not cell.turn.gate & SHUT:
                knot.comes(text)  # a message may bring it
                return
        else:
            needs += [self.ending(child) for child in (cell.children or {}).values()]
        self._is_for_cell(knot, text, cell, needs)


def _why_not(cell: Cell) -> str:
    """Why an actor takes no message at present."""
    gate = cell.turn.gate
    if gate & PAUSED or cell.phase is Phase.PAUSED:
        return "paused"
    if gate & (_LEAVES | STARTING) or cell.phase is Phase.RESTARTING:
        return str(cell.phase.value)
    if gate & BY_HAND:
        return "its run() does not ask for it"
    if gate & SELECTING:
        return "it selects another message"
    if gate & FULL:
        return "in_flight_max of its handlers wait"
    return "its inbox is read" if cell.turn.free else "its turn is held"


def _awaited(worker: Worker) -> Future[object] | None:
    """The future that a handler waits for, if it waits for one of ours."""
    future = worker.future
    if future is None or future._state != PENDING:
        return None
    if worker.state is WAITING and not worker.enters:
        return future
    if worker.state is RUNNING:  # it keeps the turn
        waits = (one for one in future._waiters() if isinstance(one, PlainWait))
        return future if any(one.task is worker.task for one in waits) else None
    return None


def _is_at_rest(cell: Cell, worker: Worker) -> bool:
    """Whether this is a `run()` that does no more than wait for its next message, or to be resumed."""
    future = _awaited(worker)
    if worker is not cell.host or not cell.turn.gate & BY_HAND or future is None:
        return False
    if isinstance(future, Selection):
        return future.match is anything
    return cell.phase is Phase.PAUSED and isinstance(future, Promise)
