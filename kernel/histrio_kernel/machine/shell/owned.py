"""The machine of an actor: it stands on the actor's ground, and only the actor's own code mutates it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Final, Protocol, final

import trio
from trio.lowlevel import current_task

from histrio_kernel.engine import Engine
from histrio_kernel.errors import HistrioError
from histrio_kernel.futures import Holder, World
from histrio_kernel.machine.core.exporting import Exported
from histrio_kernel.machine.core.moves import Mutation
from histrio_kernel.machine.core.results import Result
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer
from histrio_kernel.machine.shell.errors import WrongOwner
from histrio_kernel.machine.shell.ground import Ground
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.states.family import StatesMeta
from histrio_kernel.machine.states.state import StateLike
from histrio_kernel.signals import Kind
from histrio_kernel.visiting import holder_of, home_of

__all__ = ["OwnedMachine", "Owner"]


class Owner(Protocol):
    """The actor, as far as its machine knows it."""

    base: Context

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        ...

    @property
    def engine(self) -> Engine:
        """What all actors of the system share."""
        ...

    @property
    def io_nursery(self) -> trio.Nursery | None:
        """Where its tasks run; None when it takes none any more."""
        ...

    def fail(self, error: Exception) -> None:
        """`error` ends this incarnation."""
        ...


@final
class _ActorGround:
    """The ground of an actor's machine: everything is the actor's."""

    __slots__ = ("_owner", "name")

    def __init__(self, owner: Owner) -> None:
        self._owner: Final = owner
        self.name: Final = owner.path

    @property
    def world(self) -> World:
        """The system."""
        return self._owner.engine

    @property
    def identity(self) -> object:
        """The actor."""
        return self._owner

    @property
    def opener(self) -> Holder | None:
        """Nobody: it is open as long as the actor lives."""
        return None

    def start(self, context: Context, task: Callable[[], Awaitable[None]], name: str) -> bool:
        """In the actor's nursery, beside its handlers."""
        nursery = self._owner.io_nursery
        if nursery is None:
            return False
        context.run(lambda: nursery.start_soon(task, name=name))
        return True

    def base(self) -> Context:
        """The actor's context."""
        return self._owner.base.copy()

    def report(self, error: HistrioError) -> None:
        """To the system."""
        self._owner.engine.report(error)

    def unhandled(self, error: BaseException) -> None:
        """It is the actor's failure."""
        if isinstance(error, Exception):
            self._owner.fail(error)


@final
class _Signaller(Tracer):
    """Tells the readers of signals what the machine does."""

    __slots__ = ("_machine", "_owner")

    def __init__(self, owner: Owner, machine: Machine) -> None:
        self._owner: Final = owner
        self._machine: Final = machine

    def queued(self, mutation: Mutation) -> None:
        """A mutation was asked for: its operation, and the names of the states called."""
        names = tuple(self._machine.schema.names[state] for state in mutation.called)
        self._owner.engine.signals.emit(self._owner.path, Kind.MUTATION, (mutation.op.name, names))

    def end(self, transition: Transition) -> None:
        """It is over: its operation, the names of the states called, and whether it was accepted."""
        names = tuple(transition.schema.names[state] for state in transition.called)
        detail = (transition.op.name, names, bool(transition.result))
        self._owner.engine.signals.emit(self._owner.path, Kind.TRANSITION, detail)


@final
class OwnedMachine(Machine):
    """The machine of one incarnation of an actor: `self.states`."""

    __slots__ = ("_owner", "_signaller")

    def __init__(self, states: StatesMeta | Schema, owner: Owner) -> None:
        super().__init__(states, owner.path)
        self._owner: Final = owner
        self._signaller: Tracer | None = None
        self._open_keeper()  # which knows what becomes of an error that no handler takes
        self.hear(owner.engine.signals.heard)

    def hear(self, heard: bool) -> None:
        """Whether somebody reads the signals of the actor."""
        if self._signaller is not None:
            self.detach(self._signaller)
            self._signaller = None
        if heard:
            self._signaller = _Signaller(self._owner, self)
            self.attach(self._signaller)

    def _ground(self, name: str) -> Ground:
        return _ActorGround(self._owner)

    def _check_caller(self) -> None:
        """Let only the actor's own code through: its handlers, its operations, the tasks of its states, its visitors.

        Raises:
            WrongOwner: the present task belongs to somebody else.
        """
        try:
            task = current_task()
        except RuntimeError:
            raise WrongOwner(self._refusal("by a thread that runs no Trio task")) from None
        for holder in (holder_of(task), home_of(task)):
            if holder is not None and holder.works_for(self._owner):
                return
        raise WrongOwner(self._refusal(f"by the task {task.name!r}, which is not the actor's"))

    def _refusal(self, by: str) -> str:
        """What whoever is refused reads."""
        return (
            f"the machine of {self._owner.path} was to be mutated {by}; nothing has changed. Tell the actor, and let its "
            "handler do it"
        )

    # What follows is the core's, behind the check.

    def add(self, *states: StateLike, args: object = None) -> Result:
        """Make these states active; see `Machine.add`.

        Raises:
            WrongOwner: by code that is not the actor's own.
        """
        self._check_caller()
        return super().add(*states, args=args)

    def remove(self, *states: StateLike, args: object = None) -> Result:
        """Make these states inactive; see `add`."""
        self._check_caller()
        return super().remove(*states, args=args)

    def set(self, *states: StateLike, args: object = None) -> Result:
        """Make these states, and what they imply, the only active ones; see `add`."""
        self._check_caller()
        return super().set(*states, args=args)

    def toggle(self, *states: StateLike, args: object = None) -> Result:
        """Remove these states if all are active now, else add them; see `add`."""
        self._check_caller()
        return super().toggle(*states, args=args)

    def fail(self, error: Exception, state: StateLike | None = None) -> Result:
        """Add `exception`, behind `state` if one is given, because of this error; see `add`."""
        self._check_caller()
        return super().fail(error, state)

    def dispose(self) -> None:
        """Take no more mutations; see `Machine.dispose`. The actor does so by itself when it stops. See `add`."""
        self._check_caller()
        super().dispose()

    def end(self) -> None:
        """The actor ends."""
        super().dispose()

    def evolve(self, schema: StatesMeta | Schema) -> Result:
        """Go on under another schema; see `add`."""
        self._check_caller()
        return super().evolve(schema)

    def load(self, exported: Exported) -> None:
        """Take over what another machine exported; see `add`."""
        self._check_caller()
        super().load(exported)
