"""A supervised tree in a simulation: its disk fails, its power is cut, and no job that it has accepted is lost.

`python -m examples.simulation.supervised` explores its schedules.
"""

# An office has a ledger, which fails when its disk does, and workers to the right of it. Always: what was accepted is in
# the ledger; of one child there are never two; nobody is started again more often than the budget allows. When that is
# spent, the house starts a new office. Eventually, when nothing breaks any more: each job is done, once, and all are up.
# A worker forgets a job when the ledger fails. That is right, because of REST_FOR_ONE: it is started again after the
# ledger, and finds in it what is still to be done. So the work may be done twice, but it is entered once.

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Final, TypeAlias

import trio
from attrs import frozen

import histrio
from histrio.testing import DiskFaults, Faults, Node, PowerCut, World, explore

__all__ = ("FAULTS", "Do", "Enter", "Entries", "Job", "Ledger", "LedgerRef", "Worker", "day", "house")

OFFICE: Final = "/house/office"
RESTARTS_MAX: Final = 2
JOBS: Final = (1, 2, 3)
FAULTS: Final = Faults(crashes=2, disk=DiskFaults(write_fails=True, sync_fails=True, full=True, slow_s=0.1))
"""Two power cuts, and a disk that fails at times, has no room at times, and is slow at times."""


@frozen
class Enter(histrio.Request[None]):
    """Answered when the ledger has that entry, once and for good."""

    entry: str


@frozen
class Entries(histrio.Request[tuple[str, ...]]):
    """Answered with all entries."""


@frozen
class Job(histrio.Request[None]):
    """Answered when it is accepted: from then on it will be done, whatever happens. It may be asked again."""

    number: int


@frozen
class Do:
    """Do a job that was accepted."""

    number: int


LedgerRef: TypeAlias = histrio.Ref[Enter | Entries]
House: TypeAlias = histrio.Child[histrio.ChildRequest]


async def show_light(path: str) -> None:
    """While this runs there is a light in the window. In a simulation another function takes its place."""
    await trio.sleep_forever()


class Ledger(histrio.Actor[Enter | Entries]):
    """Its disk's errors are its end; its supervisor starts it again, and it reads what it has."""

    serial = True
    entries: tuple[str, ...] | None = None  # until it has read them

    async def started(self) -> None:
        self.background(self.io, show_light, self.ref.path)
        self.log = await histrio.Log.open(self.io.disk, "/ledger.log")
        self.entries = tuple(record.decode() for record in self.log.take_recovered())

    async def stopped(self, reason: histrio.Reason) -> None:
        await self.log.close()

    @histrio.handler(Enter)
    async def enter(self, m: Enter) -> None:
        entries = await self.all(Entries())
        if m.entry not in entries:
            await self.io(self.log.append, m.entry.encode())
            self.entries = (*entries, m.entry)

    @histrio.handler(Entries)
    async def all(self, m: Entries) -> tuple[str, ...]:
        return self.entries or ()


class Worker(histrio.Actor[Job | Do]):
    """Accepts jobs, and does them: those with an even number, or those with an odd one."""

    def __init__(self, ledger: LedgerRef, remainder: int) -> None:
        self.ledger, self.remainder = ledger, remainder

    async def started(self) -> None:
        self.background(self.io, show_light, self.ref.path)
        entries = await self.ledger.ask(Entries())
        for word, number in (entry.split() for entry in entries):
            if word == "accepted" and f"done {number}" not in entries and int(number) % 2 == self.remainder:
                self.tell_first(Do(int(number)))

    @histrio.handler(Job)
    async def accept(self, m: Job) -> None:
        try:
            await self.ledger.ask(Enter(f"accepted {m.number}"))
        except histrio.ActorStopped as error:
            raise histrio.Refusal("the ledger has failed; whether it has the job nobody knows") from error
        self.ref.tell_nowait(Do(m.number))

    @histrio.handler(Do)
    async def do(self, m: Do) -> None:
        with contextlib.suppress(histrio.ActorStopped):  # then we are started again, and find it in the ledger
            await self.io.clock.sleep(0.2)  # the work
            await self.ledger.ask(Enter(f"done {m.number}"))


def house(
    ledger: Callable[[], Ledger] = Ledger,
    worker: Callable[[LedgerRef, int], Worker] = Worker,
    strategy: histrio.Strategy = histrio.REST_FOR_ONE,
    restarts_max: int = RESTARTS_MAX,
) -> House:
    """A supervisor of the office, which is a supervisor of those who work there."""
    backoff = histrio.Backoff(first_s=0.1, max_s=1)
    first = histrio.child("ledger", ledger)
    rest = [histrio.child(f"worker{remainder}", worker, first.ref, remainder) for remainder in (0, 1)]
    office = histrio.child("office", histrio.Supervisor, first, *rest, strategy=strategy, backoff=backoff,
                           restarts_max=restarts_max, window_s=3600)  # fmt: skip
    return histrio.child("house", histrio.Supervisor, office, restarts_max=1000, backoff=backoff)


async def day(world: World, built: Callable[[], House] = house) -> None:
    """Three clients, a disk that fails, and two power cuts; `world.notes` has the jobs that were accepted."""
    machine, lights = world.node("house"), Counter[str]()

    async def light(path: str) -> None:
        lights[path] += 1
        try:
            await trio.sleep_forever()
        finally:
            lights[path] -= 1

    async def bring_up(node: Node) -> object:
        while True:
            with contextlib.suppress(histrio.ActorFailed):  # the disk fails already now, and nobody is there yet
                return await node.spawn(built())
            await trio.sleep(1)

    def everybody() -> tuple[histrio.Node, ...]:
        return () if machine.system is None else tuple(machine.system.tree().walk())

    def entries() -> tuple[str, ...] | None:
        """What is in the ledger, if there is somebody who has read it."""
        ref = None if machine.system is None else machine.system.find(Ledger, f"{OFFICE}/ledger")
        with contextlib.suppress(LookupError):  # it is between two lives
            return None if ref is None else world.peek(ref, Ledger).entries
        return None

    def nothing_is_missing() -> bool:
        return (there := entries()) is None or {f"accepted {number}" for number in world.notes} <= set(there)

    def nobody_lives_too_often() -> bool:
        return all(one.incarnation <= 1 + RESTARTS_MAX for one in everybody() if one.path.startswith(f"{OFFICE}/"))

    def all_is_done() -> bool:
        wanted = [f"{word} {number}" for word in ("accepted", "done") for number in JOBS]
        return sorted(entries() or ()) == wanted and [one.phase for one in everybody()] == ["running"] * 6

    async def client(number: int) -> None:
        while number not in world.notes:
            system = machine.system
            worker = None if system is None else system.find(Worker, f"{OFFICE}/worker{number % 2}")
            with contextlib.suppress(histrio.Refusal, histrio.ActorStopped, PowerCut):  # then nobody knows; ask again
                if worker is not None:
                    await worker.ask(Job(number))
                    world.notes.append(number)
            await trio.sleep(0.3)

    world.replace(show_light, light)
    machine.on_start(bring_up)
    with world.calm():
        await machine.start()
    world.always(nothing_is_missing, "what was accepted is in the ledger")
    world.always(lambda: max(lights.values(), default=0) <= 1, "of one child there are never two")
    world.always(nobody_lives_too_often, "the budget of the office is kept")
    async with trio.open_nursery() as nursery:
        for number in JOBS:
            nursery.start_soon(client, number, name=f"client {number}")
    await world.eventually(all_is_done, "each accepted job is done once, and everybody is there")


if __name__ == "__main__":
    print(explore(day, faults=FAULTS))
