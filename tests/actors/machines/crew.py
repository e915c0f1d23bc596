"""An actor with states that does what it is told, and tells what its states' tasks do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import attrs
import trio
from tests.inside import actor_of

import histrio
from histrio_kernel.futures import HOLDERS
from histrio_kernel.machine.shell.tasks import StateHolder

__all__ = ["Deed", "Do", "Job", "Oops", "Work", "Worker", "cleans_up", "nothing_left", "sleeps", "worker_of"]


class Oops(Exception):
    """What goes wrong here."""


@attrs.frozen
class Job:
    """The arguments of `Work.job`."""

    name: str


class Work(histrio.States):
    """What a worker may be at."""

    on = histrio.State()
    idle = histrio.State(auto=True)
    histrio.exclusive(on, idle)
    job = histrio.State(Job)
    again = histrio.State(multi=True)


@attrs.frozen(eq=False)
class Do(histrio.Request[object]):
    """Run the function with the actor, as a handler; its result is the reply."""

    function: Callable[[Worker], Awaitable[object]]


class Worker(histrio.Actor[Do | str], states=Work):
    """Does what it is told; the task of `Work.on` is given to it, and so is its `exited`."""

    def __init__(self, entered: Deed | None = None, exited: Deed | None = None) -> None:
        self.log: Final[list[str]] = []
        self.field: object = None
        self._entered: Final = entered
        self._exited: Final = exited

    @histrio.handler(Do)
    async def do(self, m: Do) -> object:
        return await m.function(self)

    @histrio.handler(str)
    async def note(self, m: str) -> None:
        self.log.append(m)

    @Work.on.entered
    async def work(self, t: histrio.Transition[None]) -> None:
        self.log.append("entered")
        try:
            if self._entered is not None:
                await self._entered(self)
        finally:
            self.log.append("left")

    @Work.on.exited
    async def worked(self, t: histrio.Transition[None]) -> None:
        self.log.append("exited")
        if self._exited is not None:
            await self._exited(self)


Deed: TypeAlias = Callable[[Worker], Awaitable[object]]


async def sleeps(_: Worker) -> None:
    """Until it is cancelled."""
    await trio.sleep_forever()


async def cleans_up(_: Worker) -> None:
    """Until it is cancelled, and then a second more."""
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)


async def switch_on(worker: Worker) -> histrio.Result:
    """Begin."""
    return worker.states.add(Work.on)


async def switch_off(worker: Worker) -> histrio.Result:
    """End."""
    return worker.states.remove(Work.on)


def worker_of(system: histrio.System, ref: histrio.Ref[Do | str]) -> Worker:
    """The object behind a ref."""
    return actor_of(system, Worker, ref)


def nothing_left() -> bool:
    """No task of any actor or state runs any more."""
    return not HOLDERS


def state_tasks() -> int:
    """How many tasks of states run."""
    return sum(isinstance(holder, StateHolder) for holder in HOLDERS.values())
