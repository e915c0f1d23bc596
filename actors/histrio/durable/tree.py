"""The durable actors of one journal: made again when it is opened, and reached by their paths."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar, TypeVarTuple, cast, final

import attrs
import trio
from outcome import Error, Outcome, Value

from histrio.actor import cell_of
from histrio.durable.actor import DurableActor
from histrio.durable.beginnings import Beginning
from histrio.durable.behaviours import find_behaviour, name_of, version_of
from histrio.durable.boards import Board
from histrio.durable.host import Host
from histrio.durable.items import Answer, Letter, Message
from histrio.durable.refs import DurableRef
from histrio.durable.stored import encode
from histrio.ref import Ref
from histrio.system import System
from histrio_kernel.errors import (
    ActorFailed,
    ActorStopped,
    End,
    HistrioError,
    Reason,
    first_of_group,
    split_cancelled,
)
from histrio_kernel.futures import Future, Promise
from histrio_kernel.gate import Handler
from histrio_kernel.journal.applying import is_below
from histrio_kernel.journal.codec import decode
from histrio_kernel.journal.store import ActorRow, Batch, DeadLetterRow, Journal, Mail
from histrio_kernel.settings import Settings
from histrio_kernel.signals import Kind

__all__ = ["DurableTree", "open_tree"]

M = TypeVar("M")
Ts = TypeVarTuple("Ts")

CLOSED: Final = Reason(End.STOPPED, "its journal has been closed; it goes on when that is opened again")


@final
class DurableTree:
    """The durable actors of one journal. Made by `open_tree`."""

    def __init__(self, system: System, journal: Journal, nursery: trio.Nursery, *, is_strict: bool) -> None:
        self.system: Final = system
        self.journal: Final = journal
        self.is_strict: Final = is_strict
        self._nursery: Final = nursery
        self._rows: Final[dict[str, ActorRow]] = {}
        self._children: Final[dict[str, list[str]]] = {}
        """The paths of all that there have been, by their parents'."""
        self._hosts: Final[dict[str, Host]] = {}
        self._watchers: Final[dict[str, list[Callable[[Outcome[object]], None]]]] = {}
        self._is_closed = False

    async def spawn(self, cls: Callable[[*Ts], DurableActor[M]], *args: *Ts, name: str) -> DurableRef[M]:
        """Have a durable actor of that name, and return its ref when its beginning is in the journal.

        If the journal has one of that name, this is its ref, whatever it has become by `ContinueAs`, and also if it has
        ended: a program may say so each time it starts. A checkpoint.

        Raises:
            ActorFailed: its `started()` has failed in the first step, and nothing was stored.
            ValueError: *name* is empty, has "/" or "#" in it, or belongs to an actor of the system that is not durable.
            Unencodable: an argument cannot be stored.
            WrongInputs: it is a `DurableProcess`, and these are no inputs of it.
        """
        behaviour = cast("type[DurableActor[M]]", cls)
        path = f"/{name}"
        if path not in self._rows and path not in self._hosts:
            checked = behaviour.__histrio_checked__(path, args)
            beginning = encode(Beginning(name_of(behaviour), version_of(behaviour), checked))
            await self.system.spawn(host_class(behaviour), self, path, beginning, name=name)
        host = self._hosts.get(path)
        if host is not None:
            await host.began.wait()
            if host.failure is not None:
                self._hosts.pop(path, None)
                raise ActorFailed(path, host.failure) from host.failure
        return DurableRef(path, self)

    def ref(self, path: str) -> DurableRef[object]:
        """The ref of the durable actor at a path, whether there is one or not."""
        return DurableRef(path, self)

    def states(self) -> dict[str, str]:
        """The paths of all durable actors, and whether each is "live", "ended" or "quarantined".

        Those below one that is quarantined are so, too, if they had not begun yet.
        """
        shut = [path for path, host in self._hosts.items() if host.quarantine is not None]
        return {
            path: "quarantined"
            if path in shut or (path not in self._hosts and any(is_below(path, top) for top in shut))
            else row.state
            for path, row in sorted(self._rows.items())
        }

    # -- what refs need ----------------------------------------------------------------------------------------------

    def ref_at(self, path: str) -> Ref[object]:
        """The ordinary ref of the durable actor at a path.

        Raises:
            ActorStopped: none lives there.
        """
        host, row = self._hosts.get(path), self._rows.get(path)
        if host is not None and row is not None and row.state == "live":
            found = host.address or self.system.ref_at(path)
            if found is not None:
                return found
        raise _stopped(path)

    def board_at(self, path: str) -> Board:
        """What there is to see of the durable actor at a path.

        Raises:
            ActorStopped: none lives there.
            Quarantined: it does nothing.
        """
        host = self._hosts.get(path)
        if host is None or not self.is_live(path):
            raise _stopped(path)
        if host.quarantine is not None:
            raise host.quarantine
        return host.board

    def end_of(self, path: str) -> Future[object]:
        """The result of an actor, when it has ended; its error, if it failed."""
        end: Promise[object] = Promise(self.system.engine)
        self.when_over(path, partial(_complete, end))
        return end

    # -- what hosts need ---------------------------------------------------------------------------------------------

    def dereference(self, path: str) -> DurableRef[object]:
        """The ref of a path that was stored."""
        return DurableRef(path, self)

    def lives(self, host: Host) -> None:
        """There is a host at its path."""
        self._hosts[host.path] = host

    def is_live(self, path: str) -> bool:
        """Whether an actor is in the journal, and has not ended."""
        row = self._rows.get(path)
        return row is not None and row.state == "live"

    def rows_below(self, path: str) -> list[ActorRow]:
        """Of all that live below an actor."""
        return [row for at in self._below(path) if (row := self._rows[at]).state == "live"]

    def _know(self, rows: Iterable[ActorRow]) -> None:
        for row in rows:
            if row.path not in self._rows:
                self._children.setdefault(row.path.rpartition("/")[0], []).append(row.path)
            self._rows[row.path] = row

    def _below(self, path: str) -> Iterator[str]:
        for child in self._children.get(path, ()):
            yield child
            yield from self._below(child)

    def committed(self, batch: Batch) -> None:
        """It is in the journal: know who lives, and bring the mail."""
        self._know(batch.actors)
        for mail in batch.sends:
            self._bring(mail)

    def _bring(self, mail: Mail) -> None:
        if not self.is_live(mail.to):
            self._nursery.start_soon(self._bury, mail)
        elif mail.to in self._hosts:  # else it is about to live, and will ask the journal
            self._hosts[mail.to].put(Letter(mail))

    async def _bury(self, mail: Mail) -> None:
        """Nobody will take it: it is a dead letter, and whoever asked has that for an answer."""
        why = "no durable actor lives there"
        row = DeadLetterRow(mail.to, mail.sender, mail.payload, why, mail.at)
        what = decode(mail.payload, self.dereference)
        answers: list[Mail] = []
        if isinstance(what, Message) and what.answer_to and self.is_live(mail.sender):
            answer = encode(Answer(what.answer_to, Error(_stopped(mail.to))))
            answers.append(Mail(mail.sender, mail.to, -mail.number, answer, mail.at))
        batch = Batch(took=[(mail.to, mail.sender, mail.number)], dead=[row], sends=answers)
        await self.journal.commit(batch)
        self.committed(batch)

    def is_over(self, path: str, outcome: Outcome[object]) -> None:
        """An actor, and those below it, will not go on in this process."""
        for each in (path, *self._below(path)):
            self._hosts.pop(each, None)
            for call in self._watchers.pop(each, ()):
                call(outcome if each == path else Error(_stopped(each)))

    def when_over(self, path: str, call: Callable[[Outcome[object]], None]) -> None:
        """Call it when that actor will not go on; soon, if it has ended."""
        if self._is_closed:
            call(Error(ActorStopped(path, CLOSED)))
        elif self.is_live(path):
            self._watchers.setdefault(path, []).append(call)
        else:
            self._nursery.start_soon(self._tell_end, path, call)

    async def _tell_end(self, path: str, call: Callable[[Outcome[object]], None]) -> None:
        for record in reversed(await self.journal.records(path)):
            if record.kind is Kind.STOP:  # what is behind it tells those who asked something that it has ended
                call(cast("Outcome[object]", decode(record.payload, self.dereference)))
                return
        call(Error(_stopped(path)))

    async def spawn_host(self, below: Host, path: str) -> None:
        """Have a child live, which is in the journal, unless it does."""
        if self.is_live(path) and path not in self._hosts:
            name = path.rpartition("/")[2]
            stem, _, number = name.partition("#")
            if number:  # the system counts, too; this child has the number that its parent's code gave it
                cell = cell_of(below, "spawn")
                cell.born = {**(cell.born or {}), stem: int(number) - 1}
            with contextlib.suppress(ActorStopped):  # it is being stopped, and so would the child be
                await below.spawn(self._host_of(path, stem), self, path, None, name=None if number else name)

    def _host_of(self, path: str, stem: str | None = None) -> type[Host]:
        """The class of its host; if nobody knows its behaviour, one that will say so."""
        behaviour = find_behaviour(self._rows[path].behaviour)
        return host_class(behaviour, stem)

    def report(self, error: HistrioError) -> None:
        """Tell whoever runs the system."""
        self.system.engine.report(error)

    # -- its own life ------------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Make all live actors again; those at the top here, and each its children. Mail to others is buried.

        Messages for all of them are taken then, but of those that are quarantined, and below.
        """
        self._know(await self.journal.actors())
        for path, row in tuple(self._rows.items()):
            if row.state == "ended":
                for mail in await self.journal.mail(path):
                    self._nursery.start_soon(self._bury, mail)
            elif path.count("/") == 1:
                await self.system.spawn(self._host_of(path), self, path, None, name=path[1:])
        for path in tuple(self._rows):  # parents come before their children, and make them before they have begun
            if path in self._hosts:
                await self._hosts[path].began.wait()

    async def stop(self) -> None:
        """Stop all hosts; nothing of that is recorded."""
        for path in [path for path in self._hosts if path.count("/") == 1]:
            found = self.system.ref_at(path)
            if found is not None:
                await found.control.stop()
        self._is_closed = True
        watchers = tuple(self._watchers.items())
        self._watchers.clear()
        for path, calls in watchers:
            for call in calls:
                call(Error(ActorStopped(path, CLOSED)))


def _complete(end: Promise[object], outcome: Outcome[object]) -> None:
    if isinstance(outcome, Error):
        error = outcome.error
        assert isinstance(error, Exception), error
        end.fail(error)
    else:
        assert isinstance(outcome, Value)
        end.set(outcome.value)


def host_class(behaviour: type[object] | None, stem: str | None = None) -> type[Host]:
    """The host of a behaviour, which takes the messages that the behaviour does; without one, any.

    Args:
        behaviour: the class.
        stem: what children of the class are called, with a number; default: by its name.
    """
    key = (behaviour, stem)
    found = _HOSTS.get(key)
    if found is None:
        found = cast("type[Host]", type("Host", (Host,), {"__doc__": Host.__doc__}))
        settings: Settings = found.__histrio_settings__
        if behaviour is not None:
            table = cast("dict[type, Handler]", vars(behaviour)["__histrio_handlers__"])
            settings = attrs.evolve(settings, handlers=table, kind=behaviour, stem=behaviour.__name__.lower())
        found.__histrio_settings__ = settings if stem is None else attrs.evolve(settings, stem=stem)
        _HOSTS[key] = found
    return found


_HOSTS: Final[dict[tuple[type[object] | None, str | None], type[Host]]] = {}


@asynccontextmanager
async def open_tree(system: System, journal: Journal, *, strict: bool = False) -> AsyncGenerator[DurableTree]:
    """The durable actors of a journal: those that lived are made again before the block begins.

    When the block is left they stop where they are, and go on when the journal is opened again. What the block raises leaves it
    as it is.

    Args:
        system: that they live in.
        journal: open, and ours.
        strict: have each call of a handler looked at. One that cannot be done again (of a clock, of chance, of files and
            sockets, or the plain wait for something) raises `NotRecorded` where it is made, with what to use instead. It
            takes a multiple of the time: for tests, and for a look before a deploy.
    """
    raised: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            tree = DurableTree(system, journal, nursery, is_strict=strict)
            await tree.recover()
            try:
                yield tree
            except Exception as error:
                raised = error  # it leaves as it is, and not in a group of the nursery's
            finally:
                await tree.stop()
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if raised is None:
            _, rest = split_cancelled(group)
            if rest is None:
                raise
            raised = first_of_group(rest)
    if raised is not None:
        raise raised


def _stopped(path: str) -> ActorStopped:
    """What those get who want something of an actor that is not there."""
    return ActorStopped(path, Reason(End.STOPPED, "no durable actor lives there"))
