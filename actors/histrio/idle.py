"""Let every actor go as far as it can without time passing, and tell how things stand then: `System.step_until_idle`.

Three answers that look the same from outside are told apart: nothing is left to do, something is waited for that may
come, or those that wait can only wait for each other.
"""

# Design note
# -----------
# What can be known and what cannot is in `waits`; here it is put into words. The rule for the answer is the careful
# one: DEADLOCK only if handlers wait and nothing at all in the system can move any more, since whatever can move may
# also kill or resume those that cannot. What is stuck beside things that move is told in `stuck`.

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from typing import Final, cast

import attrs
from trio.lowlevel import Task, current_task

from histrio.patterns.timers import Timers
from histrio.waiting.knots import Knot, circle
from histrio.waiting.waits import Stage, Waiting
from histrio_kernel.cell import Cell
from histrio_kernel.errors import HistrioError
from histrio_kernel.futures import HOLDERS, PENDING
from histrio_kernel.lifecycle import Phase
from histrio_kernel.simulation.trio_idle import wait_all_tasks_blocked
from histrio_kernel.turn import Worker

__all__ = ["Idle", "IdleState", "Waits", "look", "step_until_idle"]

_OURS: Final = ("histrio.", "histrio_kernel.", "trio.", "outcome.")


class IdleState(enum.Enum):
    """How a system stands when every task of it is blocked."""

    DONE = "done"
    """Nothing is left to do: no message waits in an inbox, in a senders' line or put by; no handler, `started()` or
    `stopped()` has begun and not ended; no answer is owed; no operation runs, no timer is set, no actor is about to
    start or to end. A `run()` that waits in `receive_next`, and an actor that is paused, have nothing to do either."""
    WAITING = "waiting"
    """Something waits for what may come from outside: time, I/O, a message, a promise; see `Idle.waits`."""
    DEADLOCK = "deadlock"
    """Handlers wait, and nothing in the system can ever move by itself: each waits, directly or through others, for an
    answer, a place in an inbox or an end that only a handler can give that waits too; or for an actor that is
    paused."""


@attrs.frozen
class Waits:
    """One thing that waits.

    Attributes:
        path: in which actor.
        what: a handler, with the place where it waits; or messages, timers, an operation.
        waits_for: what has to happen, in words.
        on: the actors whose doing that takes, as far as that is known; empty if it comes from outside.
        until: when time alone may end the wait, by the system's clock; None if that is not known, or never.
        is_stuck: whether it can never go on by itself, nor by what is not stuck.
    """

    path: str
    what: str
    waits_for: str
    on: tuple[str, ...] = ()
    until: float | None = None
    is_stuck: bool = False

    def __str__(self) -> str:
        """A sentence."""
        when = "" if self.until is None else f", at the latest until {self.until:g}"
        return f"{self.path}: {self.what} waits for {self.waits_for}{when}{' (stuck)' if self.is_stuck else ''}"


@attrs.frozen
class Idle:
    """How a system stood when every task of it was blocked; `str()` of it is for people.

    Attributes:
        state: DONE, WAITING or DEADLOCK.
        waits: all that waits, parents before their children.
        cycle: the paths of those who wait for each other, from one of them back to itself; empty if nobody is stuck,
            or only behind a pause.
        paused: the actors that are to be paused.
    """

    state: IdleState
    waits: tuple[Waits, ...] = ()
    cycle: tuple[str, ...] = ()
    paused: tuple[str, ...] = ()

    @property
    def stuck(self) -> tuple[Waits, ...]:
        """What can never go on by itself, nor by what is not stuck; it may be there in any state but DONE."""
        return tuple(one for one in self.waits if one.is_stuck)

    @property
    def until(self) -> float | None:
        """When the passing of time will move something first, by the system's clock; None if that is not known."""
        return min((one.until for one in self.waits if one.until is not None), default=None)

    def __str__(self) -> str:
        """The state, then a line for each wait."""
        head = self.state.value
        if self.cycle:
            head += f": {' -> '.join(self.cycle)}"
        if self.paused:
            head += f" (paused: {', '.join(self.paused)})"
        return "\n".join([head, *(f"  {one}" for one in self.waits)])


async def step_until_idle(stage: Stage) -> Idle:
    """See `System.step_until_idle`."""
    worker = HOLDERS.get(current_task())
    if isinstance(worker, Worker) and worker.turn.engine is stage.engine:
        raise HistrioError(
            f"step_until_idle() was called by a handler of {worker.turn.inbox.path}, which cannot be idle meanwhile;"
            " it is for whoever runs the system, a test for example"
        )
    await wait_all_tasks_blocked()
    return look(stage)


def look(stage: Stage) -> Idle:
    """How things stand at this moment; every task must be blocked."""
    return _look(Waiting(stage))


def _look(waiting: Waiting) -> Idle:
    found = [item for cell in waiting.cells for item in _items(waiting, cell)]
    found.extend(_own_timers(waiting))
    waiting.solve()
    waits = tuple(item.told() for item in found)
    handlers = [item for item in found if item.is_handler]
    if not found:
        state = IdleState.DONE
    elif handlers and not any(item.knot.is_live for item in found):
        state = IdleState.DEADLOCK
    else:
        state = IdleState.WAITING
    circles = (circle(item.knot) for item in handlers if not item.knot.is_live)
    paused = tuple(cell.path for cell in waiting.cells if cell.is_paused_wanted)
    return Idle(state, waits, next((one for one in circles if one), ()), paused)


@attrs.frozen
class _Item:
    """Something that waits, before it is told."""

    path: str
    what: str
    knot: Knot
    is_handler: bool = False

    def told(self) -> Waits:
        knot = self.knot
        until = knot.earliest()
        return Waits(
            self.path,
            self.what,
            knot.said(),
            knot.all_paths(),
            None if until == math.inf else until,
            is_stuck=not knot.is_live,
        )


def _outside(text: str, until: float = math.inf) -> Knot:
    knot = Knot()
    knot.comes(text, until)
    knot.is_live = True
    return knot


def _items(waiting: Waiting, cell: Cell) -> Iterator[_Item]:
    """All that waits in one actor."""
    working = waiting.activities(cell)
    for worker in working:
        yield _Item(cell.path, _call_of(worker.task, cell), waiting.activity(worker), is_handler=True)
    yield from _mail(waiting, cell)
    yield from _beside(waiting, cell)
    if not working:
        if any(ask._state == PENDING for ask in cell.turn.owed or ()):
            yield _Item(cell.path, "an ask that it has taken", _outside("its answer"))
        if cell.phase not in (Phase.RUNNING, Phase.PAUSED):
            yield _Item(cell.path, f"it is {cell.phase.value} and", _outside("what comes next"))


def _mail(waiting: Waiting, cell: Cell) -> Iterator[_Item]:
    inbox = cell.inbox
    if len(inbox) or inbox.standing:
        line = f" and {inbox.standing} in line" if inbox.standing else ""
        yield _Item(cell.path, f"mail ({len(inbox)} queued{line})", waiting.taking(cell))
    if cell.account is not None and cell.account.stashed:
        yield _Item(cell.path, f"mail ({cell.account.stashed} put by)", _outside("unstash()"))


def _beside(waiting: Waiting, cell: Cell) -> Iterator[_Item]:
    """What runs beside the handlers, and nobody waits for."""
    for operation in waiting.operations(cell):
        yield _Item(cell.path, "the actor", waiting.future(operation))
    timers = cast("Timers[object] | None", getattr(cell.actor, "_histrio_timers", None))
    next_due = None if timers is None else timers.next_due()
    if timers is not None and next_due is not None:
        due, key = next_due
        more = f" and {len(timers) - 1} more" if len(timers) > 1 else ""
        yield _Item(cell.path, f"timer {key!r}{more}", _outside("its time", due))
    for task in waiting.tasks(cell):
        if task.name != f"{cell.path}: timers":
            yield _Item(cell.path, f"task {task.name}", _outside("something that is not Histrio's"))


def _own_timers(waiting: Waiting) -> Iterator[_Item]:
    """A backoff before a restart, or the time that losers have to end."""
    prefix = f"histrio {waiting.engine.name}: timer"
    for task in waiting.engine.nursery.child_tasks:
        if task.name.startswith(prefix):
            yield _Item("/", "a backoff, or the end of a loser,", waiting.outside(task, "its time"))


def _call_of(task: Task, cell: Cell) -> str:
    """The handler that a task is in, and where in it."""
    users = [
        (frame, line)
        for frame, line in task.iter_await_frames()
        if not f"{frame.f_globals.get('__name__', '')}.".startswith(_OURS)
    ]
    if not users:
        return f"an actor that is {cell.phase.value}" if cell.phase is not Phase.RUNNING else "a handler"
    (first, _), (last, line) = users[0], users[-1]
    return f"{first.f_code.co_qualname} at {last.f_code.co_filename}:{line}"
