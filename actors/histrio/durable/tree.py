"""The durable actors of one journal: made again when it is opened, and reached by their paths."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar, TypeVarTuple, cast, final

import attrs
import trio
from histrio_kernel.journal.codec import decode, encode
from outcome import Error, Outcome

from histrio.actor import cell_of
from histrio.durable.actor import DurableActor
from histrio.durable.beginnings import Beginning
from histrio.durable.behaviours import behaviour_named, name_of, version_of
from histrio.durable.host import Host, row_of, stopped
from histrio.durable.items import Done, Letter, Message
from histrio.durable.refs import DurableRef
from histrio.ref import Ref
from histrio.system import System
from histrio_kernel.errors import ActorFailed, HistrioError
from histrio_kernel.gate import Handler
from histrio_kernel.journal.store import ActorRow, Batch, DeadLetterRow, Journal, Mail
from histrio_kernel.settings import Settings
from histrio_kernel.signals import Kind

__all__ = ["DurableTree", "open_tree"]

M = TypeVar("M")
Ts = TypeVarTuple("Ts")


@final
class DurableTree:
    """The durable actors of one journal. Made by `open_tree`."""

    def __init__(self, system: System, journal: Journal, nursery: trio.Nursery) -> None:
        self.system: Final = system
        self.journal: Final = journal
        self._nursery: Final = nursery
        self._hosts: Final[dict[str, Host]] = {}
        self._states: Final[dict[str, str]] = {}
        self._watchers: Final[dict[str, list[Callable[[Outcome[object]], None]]]] = {}

    async def spawn(self, cls: Callable[[*Ts], DurableActor[M]], *args: *Ts, name: str) -> DurableRef[M]:
        """Have a durable actor of that name, and return its ref when its beginning is in the journal.

        If the journal has one of that name and that behaviour, this is its ref: a program may say so each time it begins.

        Raises:
            ValueError: the journal has another one of that name.
            Unencodable: an argument cannot be stored.
        """
        behaviour = cast("type[DurableActor[M]]", cls)
        path = f"/{name}"
        if path not in self._states:
            beginning = Beginning(name_of(behaviour), version_of(behaviour), args)
            self._states[path] = "live"
            await self.system.spawn(host_class(behaviour), self, path, encode(beginning), name=name)
            host = self._hosts[path]
            await host.began.wait()
            if isinstance(host.failure, Exception):
                raise ActorFailed(path, host.failure)
        return DurableRef(path, self)

    def ref(self, path: str) -> DurableRef[object]:
        """The ref of a durable actor."""
        return DurableRef(path, self)

    def states(self) -> dict[str, str]:
        """The paths of all durable actors, and whether each is "live", "ended" or "quarantined"."""
        found = dict(sorted(self._states.items()))
        found.update((path, "quarantined") for path, host in self._hosts.items() if host.quarantine is not None)
        return found

    # -- what hosts need ---------------------------------------------------------------------------------------------

    def dereference(self, path: str) -> DurableRef[object]:
        """The ref of a path that was stored."""
        return DurableRef(path, self)

    def ref_at(self, path: str) -> Ref[object]:
        """The ordinary ref of the durable actor at a path."""
        found = self.system.ref_at(path)
        if found is None or self._states.get(path) != "live":
            raise stopped(path)
        return found

    def lives(self, host: Host) -> None:
        """From now on it takes mail."""
        self._hosts[host.path] = host

    def begins(self, path: str) -> None:
        """It is in the journal."""
        self._states[path] = "live"

    def rows_below(self, path: str) -> list[ActorRow]:
        """Of all that live below an actor."""
        below = [host for at, host in self._hosts.items() if at.startswith(f"{path}/")]
        return [
            row_of(host.path, host.life.beginning)
            for host in below
            if host.life is not None and host.life.beginning is not None
        ]

    def deliver(self, mail: Mail) -> None:
        """It is in the journal: bring it to whom it is for."""
        host = self._hosts.get(mail.to)
        if self._states.get(mail.to) != "live":
            self._nursery.start_soon(self._bury, mail)
        elif host is not None and host.life is not None:
            host.life.put(Letter(mail))

    async def _bury(self, mail: Mail) -> None:
        """Nobody will take it: it is a dead letter, and whoever asked is told."""
        what = decode(mail.payload, self.dereference)
        why = "no durable actor lives there"
        row = DeadLetterRow(mail.to, mail.sender, mail.payload, why, mail.at)
        await self.journal.commit(Batch(took=[(mail.to, mail.sender, mail.number)], dead=[row]))
        sender = self._hosts.get(mail.sender)
        if isinstance(what, Message) and what.answer_to and sender is not None and sender.life is not None:
            sender.life.put(Done(what.answer_to, Error(stopped(mail.to))))

    def has_ended(self, path: str, outcome: Outcome[object]) -> None:
        """It has ended for good, and so have those below it."""
        for each in [each for each in self._states if each == path or each.startswith(f"{path}/")]:
            self._states[each] = "ended"
            self._hosts.pop(each, None)
            for call in self._watchers.pop(each, ()):
                call(outcome if each == path else Error(stopped(each)))

    def when_ended(self, path: str, call: Callable[[Outcome[object]], None]) -> None:
        """Call it when that actor has ended for good; soon, if it has."""
        if self._states.get(path) == "live":
            self._watchers.setdefault(path, []).append(call)
        else:
            self._nursery.start_soon(self._tell_end, path, call)

    async def _tell_end(self, path: str, call: Callable[[Outcome[object]], None]) -> None:
        records = await self.journal.records(path)
        if records and records[-1].kind is Kind.STOP:
            call(cast("Outcome[object]", decode(records[-1].payload, self.dereference)))
        else:
            call(Error(stopped(path)))

    async def spawn_host(self, below: Host, path: str) -> None:
        """Have a child live, which is in the journal."""
        if self._states.get(path) == "live" and path not in self._hosts:
            kind = host_class(await self._behaviour_of(path))
            name = path.rpartition("/")[2]
            stem, _, number = name.partition("#")
            if number:  # the system counts, too; this child has the number that its parent's code gave it
                cell = cell_of(below, "spawn")
                cell.born = {**(cell.born or {}), stem: int(number) - 1}
            await below.spawn(kind, self, path, None, name=None if number else name)

    async def _behaviour_of(self, path: str) -> type[object]:
        records = await self.journal.records(path)
        beginning = cast(Beginning, decode(records[0].payload, self.dereference))
        return cast("type[object]", behaviour_named(beginning.behaviour, path))

    def report(self, error: HistrioError) -> None:
        """Tell whoever runs the system."""
        self.system.engine.report(error)

    async def stop(self) -> None:
        """Stop all hosts; nothing of that is recorded."""
        for path in [path for path in self._hosts if path.count("/") == 1]:
            found = self.system.ref_at(path)
            if found is not None:
                await found.control.stop()

    async def recover(self) -> None:
        """Make all live actors again; those at the top here, and each its children."""
        rows = await self.journal.actors()
        self._states.update((row.path, row.state) for row in rows)
        for row in rows:
            if row.state != "ended" and row.path.count("/") == 1:
                behaviour = await self._behaviour_of(row.path)
                await self.system.spawn(host_class(behaviour), self, row.path, None, name=row.path[1:])
                await self._hosts[row.path].began.wait()


def host_class(behaviour: type[object]) -> type[Host]:
    """The host of a behaviour, which takes the messages that the behaviour does."""
    found = _HOSTS.get(behaviour)
    if found is None:
        table = cast("dict[type, Handler]", vars(behaviour)["__histrio_handlers__"])
        found = cast("type[Host]", type(f"{behaviour.__name__}Host", (Host,), {"__doc__": Host.__doc__}))
        settings: Settings = found.__histrio_settings__
        found.__histrio_settings__ = attrs.evolve(
            settings, handlers=table, kind=behaviour, stem=behaviour.__name__.lower()
        )
        _HOSTS[behaviour] = found
    return found


_HOSTS: Final[dict[type[object], type[Host]]] = {}


@asynccontextmanager
async def open_tree(system: System, journal: Journal) -> AsyncGenerator[DurableTree]:
    """The durable actors of a journal: those that lived are made again before the block begins.

    When the block is left they stop where they are, and go on when the journal is opened again.
    """
    async with trio.open_nursery() as nursery:
        tree = DurableTree(system, journal, nursery)
        await tree.recover()
        try:
            yield tree
        finally:
            await tree.stop()
            nursery.cancel_scope.cancel()
