"""What tests look at behind the front door: an actor's cell and object, whether it is at rest, and what it cost."""

from typing import TypeVar

import trio

import histrio
from histrio_kernel.cell import Cell
from histrio_kernel.futures import HOLDERS
from histrio_kernel.turn import Worker

M = TypeVar("M")
A = TypeVar("A")


def cell_of(system: histrio.System, ref: histrio.Ref[M]) -> Cell:
    """The kernel's side of the actor behind *ref*, which lives."""
    cell = system.find_cell(ref.path, ref._inbox)
    assert cell is not None, f"{ref.path} has ended"
    return cell


def actor_of(system: histrio.System, kind: type[A], ref: histrio.Ref[M]) -> A:
    """The object of the actor behind *ref*."""
    actor: object = cell_of(system, ref).actor
    assert isinstance(actor, kind)
    return actor


def workers_of(cell: Cell) -> list[Worker]:
    """Those who may run the handlers of an actor, and those who visit its turn."""
    return [holder for holder in HOLDERS.values() if isinstance(holder, Worker) and holder.turn is cell.turn]


def unrest(cell: Cell) -> list[str]:
    """What of an actor is not at rest; nothing, if every task is blocked and it has no work."""
    turn, io = cell.turn, cell.io
    facts = {
        "the turn is held": not turn.free,
        "handlers are in flight": bool(turn.suspended),
        "handlers wait for the turn": bool(turn.ready),
        "workers are not parked": set(workers_of(cell)) != set(turn.idle),
        "a worker is parked twice": len(turn.idle) != len(set(turn.idle)),
        "operations run": io is not None and io.running != 0,
        "operations wait": io is not None and io.waiting != 0,
        "tasks of operations are not parked": io is not None and io.tasks != len(io.parked),
        "messages wait": bool(cell.inbox.queue),
        "senders wait": cell.inbox.standing != 0,
    }
    return [fact for fact, holds in facts.items() if holds]


async def assert_at_rest(system: histrio.System, ref: histrio.Ref[M]) -> None:
    """Once every task is blocked: nothing of this actor is in flight, and all its workers are parked."""
    await trio.testing.wait_all_tasks_blocked()
    assert unrest(cell_of(system, ref)) == []


class Steps(trio.abc.Instrument):
    """Counts how often Trio steps each task."""

    def __init__(self) -> None:
        self.of: dict[trio.lowlevel.Task, int] = {}

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.of[task] = self.of.get(task, 0) + 1


class Spawned(trio.abc.Instrument):
    """Counts the tasks that are made."""

    def __init__(self) -> None:
        self.tasks = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.tasks += 1
