"""Who waits for what in a system whose tasks are all blocked, and what of it could go on without the rest.

Everything that has to happen is a *knot*; it needs other knots, or something outside of the system. A knot is live if
it may happen without anybody's help: if it depends on the outside, or needs a live one.
"""

# Design note
# -----------
# What a handler waits for is known exactly where it is of ours: the handler that has an ask in hand, the reason why an
# inbox is not read. Whatever else there is counts as the outside, which may always come: a promise (whoever has it may
# complete it), a `select` (whoever has the ref may send), any await of Trio, an operation, a deadline. So "live" is a
# guess where it says yes, and never one where it says no.
#
# Needs are alternatives: one that happens may be enough. For `both` that is right too, since a failure of one ends it.
# Where several things keep an inbox from being read, the one that only somebody outside can take away counts.
#
# A pause is nothing that goes away by itself, so what needs a paused actor to read its mail is not live.
#
# Knots are made in a loop, not by recursion: a ring of ten thousand actors is as deep as it is long.

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol, cast, final

import trio
from trio.lowlevel import Task

from histrio.processes.over import Over
from histrio.scopes import deadline_of
from histrio.taking import anything
from histrio_kernel.asks import Ask
from histrio_kernel.cell import Cell
from histrio_kernel.combinators import _Combined, _OneOf
from histrio_kernel.engine import Engine
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
from histrio_kernel.handling import _Over
from histrio_kernel.inbox import Inbox, Selection, Standing, ask_of
from histrio_kernel.io import Operation, _IoTask
from histrio_kernel.lifecycle import Phase
from histrio_kernel.real.clock import RealClock
from histrio_kernel.turn import Turn, Worker

__all__ = ["Knot", "Knots", "Stage"]

_AT_WORK: Final = (Phase.RUNNING, Phase.PAUSED)
_NAMED_MAX: Final = 3


class Stage(Protocol):
    """The system, as far as it is looked at."""

    engine: Engine
    children: dict[str, Cell] | None


@final
class Knot:
    """Something that has to happen before somebody goes on."""

    __slots__ = ("is_live", "is_outside", "needs", "path", "paths", "text", "until")

    def __init__(self, path: str = "") -> None:
        self.path: Final = path
        """The actor that it happens in; empty if it is one thing among others that this stands for."""
        self.text = ""
        """What it is, for somebody who waits for it."""
        self.paths: tuple[str, ...] = ()
        """Whose doing it takes, as far as that is known."""
        self.needs: list[Knot] = []
        self.is_outside = False
        self.until = math.inf
        """When it may happen by the passing of time alone, by the system's clock."""
        self.is_live = False

    def comes(self, text: str, until: float = math.inf) -> None:
        """It comes from outside."""
        self.is_outside = True
        self.text = text
        self.until = until

    def is_for(self, text: str, paths: Iterable[str], needs: Iterable[Knot]) -> None:
        """It takes others."""
        self.text = text
        self.paths = tuple(dict.fromkeys(paths))
        self.needs = list(needs)


@final
class Knots:
    """All knots of a system at one moment, at which every task of it is blocked."""

    def __init__(self, stage: Stage) -> None:
        self.engine: Final = stage.engine
        self.cells: Final = list((stage.children or {}).values())
        for cell in self.cells:  # which grows: parents stand before their children
            self.cells.extend((cell.children or {}).values())
        self._cell_of: Final = {cell.inbox: cell for cell in self.cells}
        self._workers: Final[dict[Turn, list[Worker]]] = {}
        self._in_hand: Final[dict[Ask[object], Worker]] = {}
        self._find_workers()
        self._awaited_by: Final[dict[Task, Future[object]]] = {}
        self._started: Final[dict[object, Cell]] = {}
        self._ended: Final[dict[object, Cell]] = {}
        for cell in self.cells:
            self._find_futures(cell)
        self._knots: Final[dict[object, Knot]] = {}
        self._todo: Final[list[tuple[Knot, Callable[[Knot], None]]]] = []

    def solve(self) -> None:
        """Find all that is needed, and what of it is live."""
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

    def _find_workers(self) -> None:
        for holder in tuple(HOLDERS.values()):
            worker: object = holder
            while isinstance(worker, Worker):  # a visitor may itself be a handler of another actor
                if worker.turn.engine is self.engine:
                    self._workers.setdefault(worker.turn, []).append(worker)
                    if worker.asked is not None:
                        self._in_hand[worker.asked] = worker
                worker = worker.visits_from

    def _find_futures(self, cell: Cell) -> None:
        """Whoever waits for something of this actor, and is no handler, is found by what it waits for."""
        inbox = cell.inbox
        futures: list[object] = [*map(ask_of, inbox.queue), *(inbox.line or ()), *(cell.turn.owed or ())]
        futures.extend(worker.asked for worker in self.workers_of(cell))
        if cell.started is not None and cell.started._state == PENDING:
            self._started[cell.started] = cell
            futures.append(cell.started)
        if cell.ended is not None and cell.ended._state == PENDING:
            self._ended[cell.ended] = cell
            futures.append(cell.ended)
        for future in futures:  # which grows
            for waiter in future._waiters() if isinstance(future, Future) else ():
                if isinstance(waiter, PlainWait) and waiter.task is not None:
                    self._awaited_by[waiter.task] = cast("Future[object]", future)
                elif isinstance(waiter, Future):
                    futures.append(cast(object, waiter))

    def workers_of(self, cell: Cell) -> list[Worker]:
        """Those who run handlers of an actor, or visit its turn."""
        return self._workers.get(cell.turn, [])

    def activities(self, cell: Cell) -> list[Worker]:
        """The handlers and hooks of an actor that have begun; not a `run()` that just waits for its next message."""
        return [one for one in self.workers_of(cell) if one.state not in (IDLE, GONE) and not _is_at_rest(cell, one)]

    def operations(self, cell: Cell) -> Iterator[Operation[Any]]:
        """The operations of an actor that nobody waits for."""
        for holder in tuple(HOLDERS.values()):
            io_task: object = holder
            while isinstance(io_task, Worker):
                io_task = io_task.visits_from
            if isinstance(io_task, _IoTask) and io_task.pool is cell.io:
                operation = io_task.operation
                if operation is not None and operation._state == PENDING and not operation._waiters():
                    yield operation

    def tasks(self, cell: Cell) -> Iterator[Task]:
        """The tasks that run beside an actor's handlers and are none of the kernel's."""
        children = [*(cell.children or {}).values()]
        below = {child.host.task for child in children if child.host is not None}
        below.update(child.bare for child in children if child.bare is not None)
        for task in () if cell.nursery is None else sorted(cell.nursery.child_tasks, key=lambda task: task.name):
            if task not in HOLDERS and task not in below:
                yield task

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

    def running(self, cell: Cell, task: Task, text: str) -> Knot:
        """That a task that is no handler goes on."""
        return self._knot(task, cell.path, lambda knot: self._look_at_task(knot, cell, task, text))

    # -- handlers and other tasks --------------------------------------------------------------------------------

    def _look_at_worker(self, knot: Knot, worker: Worker) -> None:
        future = _awaited(worker)
        cell = self._cell_of.get(worker.turn.inbox)
        inner = HOLDERS.get(worker.task)
        if future is not None:
            need = self.future(future)
            knot.needs = [need]
        elif isinstance(inner, Worker) and inner is not worker:
            knot.is_for(f"the turn of {inner.turn.inbox.path}", [inner.turn.inbox.path], [self.activity(inner)])
        elif worker.state is READY:
            self._look_at_turn(knot, worker.turn)
        else:
            knot.comes("what is not Histrio's to know", self._clock(deadline_of(worker.task)))
        if not knot.is_outside:
            self._limit(knot, cell, worker.task)

    def _look_at_turn(self, knot: Knot, turn: Turn) -> None:
        """Somebody stands in line for the turn."""
        holder = next((one for one in self._workers.get(turn, ()) if one.state is RUNNING), None)
        if holder is None:
            knot.comes("the turn of its actor")
        else:
            knot.is_for("the turn of its actor, which another handler holds", [turn.inbox.path], [self.activity(holder)])

    def _look_at_task(self, knot: Knot, cell: Cell, task: Task, text: str) -> None:
        holder = HOLDERS.get(task)
        future = self._awaited_by.get(task)
        if isinstance(holder, Worker):
            knot.is_for(text, [holder.turn.inbox.path], [self.activity(holder)])
        elif future is not None and future._state == PENDING:
            need = self.future(future)
            knot.is_for(text, [], [need])
        else:
            knot.comes(text, self._clock(deadline_of(task)))
        if not knot.is_outside:
            self._limit(knot, cell, task)

    def _limit(self, knot: Knot, cell: Cell | None, task: Task) -> None:
        """What else may end the wait of a task: a deadline, or a task of its own that cancels it."""
        until = deadline_of(task)
        above: object = cell
        while isinstance(above, Cell):
            if above.nursery is not None:
                until = min(until, above.nursery.cancel_scope.deadline)
            above = above.parent
        ours = {one.nursery for one in self.cells}
        beside = any(nursery.child_tasks for nursery in task.child_nurseries if nursery not in ours)
        if until < math.inf or beside:
            knot.is_outside = True
            knot.until = self._clock(until)

    def _clock(self, deadline: float) -> float:
        """A deadline of Trio's by the system's clock, if those two are one; else it is not known."""
        return deadline if isinstance(self.engine.driver.clock, RealClock) else math.inf

    # -- futures -------------------------------------------------------------------------------------------------

    def _look_at_future(self, knot: Knot, future: Future[object]) -> None:
        if future._state != PENDING:
            knot.comes("what has come already")
        elif isinstance(future, Ask):
            self._look_at_ask(knot, future)
        elif isinstance(future, Standing):
            cell = self._cell_of.get(future.inbox)
            self._is_for_cell(knot, f"room in the inbox of {future.inbox.path}", cell, self.taking)
        elif isinstance(future, Selection):
            knot.comes("the next message" if future.match is anything else "a message that it selects")
        elif isinstance(future, Operation):
            self._look_at_operation(knot, cast("Operation[object]", future))
        elif isinstance(future, _Combined):
            self._look_at_combined(knot, cast("_Combined[object]", future))
        elif isinstance(future, Over | _Over):
            need = self.future(future._of)
            knot.is_for("", [], [need])
        elif future in self._started:
            cell = self._started[future]
            hosts = [] if cell.host is None else [self.activity(cell.host)]
            self._is_for_cell(knot, f"the start of {cell.path}", cell, lambda _: hosts)
        elif future in self._ended:
            cell = self._ended[future]
            self._is_for_cell(knot, f"the end of {cell.path}", cell, self.ending)
        else:
            knot.comes(self._about(future))

    def _about(self, future: Future[object]) -> str:
        if not isinstance(future, Promise):
            return repr(future)
        loops = (getattr(cell.lane.driven, "loop", None) for cell in self.cells if cell.lane is not None)
        if any(getattr(loop, "_idle", None) is future for loop in loops):
            return "a nudge"
        return "a promise, which whoever has it may complete"

    def _is_for_cell(
        self, knot: Knot, text: str, cell: Cell | None, of: Callable[[Cell], Knot | list[Knot]]
    ) -> None:
        """It takes something of `cell`; if that is not known, it may come."""
        needs = [] if cell is None else of(cell)
        needs = needs if isinstance(needs, list) else [needs]
        if needs and cell is not None:
            knot.is_for(text, [cell.path], needs)
        else:
            knot.comes(text)

    def _look_at_ask(self, knot: Knot, ask: Ask[object]) -> None:
        text = f"the answer of {ask.inbox.path} to {shown(ask.message)}"
        cell = self._cell_of.get(cast(Inbox, ask.inbox))
        worker = self._in_hand.get(ask)
        if worker is not None:
            knot.is_for(f"{text}, which it has in hand", [ask.inbox.path], [self.activity(worker)])
        elif ask.begun or cell is None:  # taken by `select`, put by, or of another system: whoever has it may answer
            knot.comes(f"{text}, which it has taken" if ask.begun else text)
        else:
            self._is_for_cell(knot, f"{text}, which waits in its inbox", cell, self.taking)

    def _look_at_operation(self, knot: Knot, operation: Operation[object]) -> None:
        text = f"its operation {getattr(operation._label, '__qualname__', operation._label)}"
        cell = cast(Cell, operation._pool.owner)
        if operation._io_task is not None:
            need = self.running(cell, operation._io_task.task, text)
            knot.is_for(text, [], [need])
        elif operation in (operation._pool.queue or ()):
            tasks = [one.task for one in HOLDERS.values() if isinstance(one, _IoTask) and one.pool is operation._pool]
            needs = [self.running(cell, task, text) for task in tasks]
            knot.is_for(f"{text}, for which there is no place yet", [], needs)
        else:
            knot.comes(text)

    def _look_at_combined(self, knot: Knot, future: _Combined[object]) -> None:
        pending = [one for one in future._unique if one._state == PENDING]
        if isinstance(future, _OneOf) and future._disarm is not None:
            knot.comes(f"the end of what has lost ({len(pending)})")
        else:
            knot.is_for("", [], [self.future(one) for one in pending])

    # -- actors --------------------------------------------------------------------------------------------------

    def _look_at_taking(self, knot: Knot, cell: Cell) -> None:
        turn, workers = cell.turn, self.workers_of(cell)
        gate, path = turn.gate, [cell.path]
        suspended = [one for one in workers if one.state in (WAITING, READY) and not one.enters]
        holders = [one for one in workers if one.state is RUNNING]
        if gate & PAUSED or cell.phase is Phase.PAUSED:
            knot.is_for("it is paused", path, [])
        elif gate & (KILLED | EXITING | HALTED) or cell.phase is Phase.RESTARTING:
            knot.is_for(f"it is {cell.phase.value}", path, [self.ending(cell)])
        elif gate & (STARTING | BY_HAND) and cell.host is not None:
            what = "started()" if gate & STARTING else "run()"
            knot.is_for(f"its {what} waits", path, [self.activity(cell.host)])
        elif gate & SELECTING:
            knot.comes("it waits for a message that it selects")
        elif gate & FULL:
            text = f"{len(suspended)} of its handlers wait, and no more may (in_flight_max)"
            knot.is_for(text, path, [self.activity(one) for one in suspended])
        elif holders:
            knot.is_for("a handler holds its turn", path, [self.activity(one) for one in holders])
        else:
            knot.comes("it may take it at any time")

    def _look_at_ending(self, knot: Knot, cell: Cell) -> None:
        turn = cell.turn
        working = self.activities(cell)
        free = turn.free and not turn.gate & SHUT
        leaving = cell.phase not in (*_AT_WORK, Phase.STARTING) and not working and not cell.children
        if leaving or (cell.phase in _AT_WORK and (free or not working) and not turn.gate & PAUSED):
            knot.comes("it ends when somebody stops it")
            return
        needs = [self.activity(one) for one in working]
        if cell.phase in (Phase.STOPPING, Phase.DYING, Phase.FAILING):
            needs += [self.ending(child) for child in (cell.children or {}).values()]
        knot.is_for("", [cell.path], needs)


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


def blocked_on(knot: Knot) -> tuple[str, tuple[str, ...], float]:
    """What a handler waits for: said in words, whose doing it takes, and when time may end it."""
    texts: dict[str, None] = {}
    paths: dict[str, None] = {}
    until = knot.until
    ahead, seen = [knot] if knot.text else list(knot.needs), {knot}
    while ahead:
        one = ahead.pop(0)
        if one in seen and one is not knot:
            continue
        seen.add(one)
        until = min(until, one.until)
        if one.text:
            texts[one.text] = None
        paths.update(dict.fromkeys(one.paths))
        if not one.path and (not one.text or not one.paths):
            ahead.extend(one.needs)
    named = list(texts)
    if len(named) > _NAMED_MAX:
        named[_NAMED_MAX:] = [f"{len(named) - _NAMED_MAX} more"]
    return ", or ".join(named), tuple(paths), until


def circle(start: Knot) -> tuple[str, ...]:
    """The paths of those who wait for each other, from one of them back to itself; empty if there is no circle."""
    chain: dict[Knot, None] = {}
    current: Knot | None = start
    while current is not None and current not in chain:
        chain[current] = None
        current = next((need for need in current.needs if not need.is_live), None)
    if current is None:
        return ()
    knots = list(chain)
    paths = [knot.path for knot in knots[knots.index(current) :] if knot.path]
    around = [path for at, path in enumerate(paths) if path != paths[at - 1]] or paths[:1]
    return (*around, around[0])


def earliest(nurseries: Iterable[trio.Nursery]) -> float:
    """The earliest deadline of several nurseries."""
    return min((one.cancel_scope.deadline for one in nurseries), default=math.inf)
