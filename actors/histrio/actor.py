"""The base class of actors: what a behaviour overrides, and what it may use of the system that it lives in."""

# Design note
# -----------
# An actor object and its kernel cell are two things: the object is the user's, is made anew at each restart, and
# knows its cell through one slot that is set after `__init__`. So `__init__` need not call `super()`, and attrs
# classes work. The names of this class are data descriptors: assigning over one raises at once (A18).

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from types import FunctionType
from typing import (
    ClassVar,
    Final,
    Generic,
    Literal,
    TypeGuard,
    TypeVar,
    TypeVarTuple,
    cast,
    overload,
)

from trio.lowlevel import current_task

from histrio.class_settings import looked_up, settings_for
from histrio.fixed import FixedMethod, FixedProperty, FixedValue
from histrio.handlers import HandlerTable
from histrio.kinds import Lives
from histrio.messages import Envelope
from histrio.patterns.timers import Timers
from histrio.ref import Ref
from histrio.spawning import spawn_child
from histrio.system import System
from histrio.taking import anything, take
from histrio_kernel.bounds import bound
from histrio_kernel.cell import Cell
from histrio_kernel.doors import Io
from histrio_kernel.entries import message_of
from histrio_kernel.errors import ActorStopped, End, NotStarted, Reason, Refusal, StashFull
from histrio_kernel.futures import HOLDERS, Future, Promise
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.shell.owned import OwnedMachine
from histrio_kernel.machine.states.base import BaseState
from histrio_kernel.machine.states.family import StatesMeta, schema_of
from histrio_kernel.machine.states.handlers import handlers_of, refuse_handlers
from histrio_kernel.overflow import Latest, Overflow
from histrio_kernel.settings import Settings
from histrio_kernel.turn import Worker
from histrio_kernel.visiting import Visit

__all__ = ["Actor", "cell_of"]

M = TypeVar("M")
N = TypeVar("N")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Actor(Generic[M]):
    """The base of actors. `class Store(histrio.Actor[Write | Read])` takes messages of these two types.

    A behaviour is written as methods marked `@histrio.handler(Message)`, or as `async def receive(self, message)` with
    a `match` statement, or as one long coroutine `run`. At most one handler runs at any moment; between two awaits it
    has the actor's state to itself. What it awaits from Histrio gives the turn away, so the next message may start;
    `await` of anything else keeps it.

    What a class may set:

    - `serial`: keep the turn across all waits (False).
    - `redeliver_max`: how often a told message is delivered again that was in hand when the actor was restarted (0).
    - `stash_max`: how many messages `stash` may put by (0).
    - `in_flight_max`: how many handlers may wait at once (256); at the bound no new message is taken.
    - `inbox_max`: how many messages may wait (1024), and `overflow`: what happens to one more (`WAIT`).
    - `waiting_max`: how many asks may stand in the senders' line (4096).
    - `io_max`: how many operations run at once (`in_flight_max`); further ones queue.
    - `start_s`, `shutdown_s`: seconds that `started()` and stopping may take (60, 5).
    - `sealed`: it shares nothing that can change: not by its arguments, messages and replies, class attributes or
      globals. The search of all schedules of a simulation uses that, and refuses what breaks it (False).
    """

    __slots__ = ("__weakref__", "_histrio_cell", "_histrio_io", "_histrio_machine", "_histrio_timers")
    __histrio_actor__: ClassVar[Literal[True]] = True

    serial: ClassVar[bool] = False
    in_flight_max: ClassVar[int] = bound("in_flight_max")
    inbox_max: ClassVar[int] = bound("inbox_max")
    waiting_max: ClassVar[int] = bound("waiting_max")
    overflow: ClassVar[Overflow | Latest] = Overflow.WAIT
    io_max: ClassVar[int | None] = None
    redeliver_max: ClassVar[int] = bound("redeliver_max")
    stash_max: ClassVar[int] = bound("stash_max")
    start_s: ClassVar[float] = bound("start_s")
    shutdown_s: ClassVar[float] = bound("shutdown_s")
    sealed: ClassVar[bool] = False

    __histrio_settings__: ClassVar[Settings]
    _histrio_cell: Cell
    __histrio_states__: ClassVar[StatesMeta | None] = None
    _histrio_io: Io
    _histrio_machine: Machine
    _histrio_timers: Timers[M]

    # -- what a behaviour overrides ------------------------------------------------------------------------------

    async def started(self) -> None:
        """Runs once before the first message, with the turn. `spawn` returns when it has. A failure fails `spawn`."""

    async def stopped(self, reason: Reason) -> None:
        """Runs when the actor stops as asked: the inbox is drained, children have ended, `self.io` still works.

        It does not run when the actor fails or is killed: clean up in `finally`, or in the context managers of `run`.
        """

    async def receive(self, message: M) -> object:
        """Handle `message`, if no marked method does; the value is the reply."""
        return await self.unhandled(message)

    async def unhandled(self, message: M) -> object:
        """Takes messages that no handler takes: a `Refusal` to an asker, a dead letter otherwise."""
        raise Refusal(f"{self.ref.path} ({type(self).__qualname__}) has no handler for {type(message).__qualname__}")

    async def run(self) -> object:
        """Override it to write the behaviour as one coroutine, which takes its messages by `receive_next`.

        The actor stops when it returns, and what it returns is its result: see `Ref.join`. Messages are not handed to
        handlers.
        """

    # -- who and where -------------------------------------------------------------------------------------------

    @property
    def ref(self) -> Ref[M]:
        """The actor's own address, to hand to others."""
        cell = cell_of(self, "ref")
        return cast(Ref[M], _system_of(cell).ref_of(cell))

    @property
    def system(self) -> System:
        """The system that the actor lives in."""
        return _system_of(cell_of(self, "system"))

    @property
    def parent(self) -> Ref[object] | None:
        """The address of the parent; None for an actor that the system itself spawned."""
        cell = cell_of(self, "parent")
        return _system_of(cell).ref_of(cell.parent) if isinstance(cell.parent, Cell) else None

    @property
    def children(self) -> tuple[Ref[object], ...]:
        """The addresses of the children that live, in the order in which they were spawned."""
        cell = cell_of(self, "children")
        system = _system_of(cell)
        return tuple(system.ref_of(child) for child in (cell.children or {}).values())

    @property
    def states(self) -> Machine:
        """The machine of this incarnation, for a class that has one: `class Downloader(Actor[Fetch], states=Download)`.

        Only the actor's own code mutates it (`WrongOwner`); others tell the actor. Its handlers are the marked methods of
        the class. Async ones run beside the message handlers, in the actor's nursery, and do not hold the turn.
        """
        cell = cell_of(self, "states")
        try:
            return self._histrio_machine
        except AttributeError:
            raise AttributeError(
                f"{cell.path}: {type(self).__qualname__} has no states: write class {type(self).__name__}(..., "
                "states=Download), with a class of states"
            ) from None

    @property
    def timers(self) -> Timers[M]:
        """Messages to itself later, once or again and again: see `histrio.Timers`."""
        try:
            return self._histrio_timers
        except AttributeError:
            timers: Timers[M] = Timers(cell_of(self, "timers"), self)
            _TIMERS_SLOT.__set__(self, timers)
            return timers

    @property
    def io(self) -> Io:
        """Operations that run beside the handlers, and the doors to the world: see `histrio_kernel.doors.Io`."""
        try:
            return self._histrio_io
        except AttributeError:
            cell = cell_of(self, "io")
            io = Io(cell.io_pool(), cell.period_of)
            _IO_SLOT.__set__(self, io)
            return io

    # -- what a handler uses -------------------------------------------------------------------------------------

    def background(self, afn: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> Future[T]:
        """Like `self.io(afn, *args)`, but it belongs to the actor: no handler waits for it at its end.

        Its error fails the actor, unless somebody awaits the future when it ends. It is cancelled with the actor. It
        holds one of the `io_max` places for as long as it runs.
        """
        pool = cell_of(self, "background").io_pool()
        return pool.start(self.io.real_or_fake(afn), args, keep=True, background=True)

    def promise(self) -> Promise[T]:
        """A future that this actor completes itself, by `set` or `fail`, from another handler (F9).

        Annotate what it carries: `done: histrio.Promise[int] = self.promise()`. It fails with `ActorStopped` when
        the actor ends first.
        """
        return cell_of(self, "promise").promise()

    async def spawn(
        self,
        cls: Callable[[*Ts], Lives[N]],
        *args: *Ts,
        name: str | None = None,
        copy_inbox: bool = False,
        within: BaseState | None = None,
    ) -> Ref[N]:
        """Start a child and return its ref when its `started()` has returned. Gives the turn away if that waits.

        The child never outlives this actor, and its failure is this actor's failure. Keywords go by
        `histrio.child(name, cls, ...)` or `functools.partial`. Cancelled, it kills the child and waits for its end.

        With *copy_inbox* the child receives a copy of every message that this actor receives from now on, and of those
        that wait in its inbox, if its class takes them. A copy is told, never asked; one for which the child has no room
        is dropped.

        With *within* the child belongs to the present activation of that state, and is stopped when it ends. A child
        that a state's task spawns belongs to its activation without being told.

        Raises:
            NotActive: the state of *within* is not active; nothing was started.
            ActorFailed: the child failed to start.
            ActorStopped: this actor takes no children any more.
            ValueError: *cls* is no actor class, or *name* is taken, empty, or has "/" or "#" in it.
        """
        cell = cell_of(self, "spawn")
        find_period = cell.period_here if within is None else partial(cell.period_of, within)
        copied = cell.inbox if copy_inbox else None
        return await spawn_child(_system_of(cell), cell, cls, args, name, copied, find_period)

    def finish(self, result: object = None) -> None:
        """Stop as if asked to, with a result for whoever joins: see `Ref.join`. Not a checkpoint.

        Messages that wait are still handled. Of several results the last counts.
        """
        cell = cell_of(self, "finish")
        cell.result = result
        cell.stop("it has finished")

    def stash(self, message: M) -> None:
        """Put the message that this handler has in hand by, until `unstash`; then nobody is answered yet.

        Put-by messages survive a restart. The class says how many there may be: `stash_max`. Not a checkpoint.

        Raises:
            StashFull: there are `stash_max` already; nothing changed.
            ValueError: *message* is not the one that the calling handler was given.
        """
        cell = cell_of(self, "stash")
        worker = HOLDERS.get(current_task())
        delivery = worker.delivery if isinstance(worker, Worker) and worker.turn is cell.turn else None
        if cell.settings.stash_max == 0:
            raise StashFull(f"{cell.path} has no stash: set stash_max on {type(self).__qualname__}")
        if delivery is None or message_of(delivery.entry) is not message:
            raise ValueError(f"{cell.path}: stash() takes the very message that the calling handler was given")
        cell.open_account().stash(delivery)

    def unstash(self) -> int:
        """Put all put-by messages back, ahead of the inbox and in order; the number of them. Not a checkpoint."""
        return cell_of(self, "unstash").open_account().unstash()

    def become(self, receive: Callable[[M], Awaitable[object]] | None) -> None:
        """From the next message on, `receive` handles all messages, instead of the class's handlers; None: these again.

        `receive` is an async method of this actor, usually. A restart begins with the class's own. Not a checkpoint.
        """
        cell = cell_of(self, "become")
        if receive is not None and not inspect.iscoroutinefunction(receive):
            raise TypeError(f"{cell.path}: become() takes an async function of one message, or None, got {receive!r}")
        cell.open_account()  # from now on messages are taken by the slow way, which asks for the behaviour
        cell.turn.behaviour = None if receive is None else lambda _, message: receive(cast(M, message))

    def tell_first(self, message: M) -> None:
        """Put `message` into the own inbox ahead of all others. Meant for `started()`. Not a checkpoint."""
        cell = cell_of(self, "tell_first")
        table = cast(HandlerTable, cell.settings.handlers)
        if message.__class__ not in table:
            table.learn(cell.path, message)
        cell.inbox.put_first(message)

    @overload
    async def select(self, match: type[N], *, envelope: Literal[False] = False) -> N: ...
    @overload
    async def select(self, match: type[N], *, envelope: Literal[True]) -> Envelope[N]: ...
    @overload
    async def select(self, match: Callable[[M], TypeGuard[N]], *, envelope: Literal[False] = False) -> N: ...
    @overload
    async def select(self, match: Callable[[M], TypeGuard[N]], *, envelope: Literal[True]) -> Envelope[N]: ...
    @overload
    async def select(self, match: Callable[[M], bool], *, envelope: Literal[False] = False) -> M: ...
    @overload
    async def select(self, match: Callable[[M], bool], *, envelope: Literal[True]) -> Envelope[M]: ...
    async def select(self, match: Callable[[M], bool] | type[N], *, envelope: bool = False) -> object:
        """Take the first message that is of a type, or that a function says yes to; the others stay, in order.

        Gives the turn away while it waits; no new message starts a handler meanwhile. With *envelope* the message
        comes as an `Envelope`, by which an asker can be answered; an ask that is taken without is answered None.

        Raises:
            Busy: another handler of this actor waits in `select`, `filter` or `receive_next`.
            SelectStalled: the inbox is full of other mail.
            trio.EndOfChannel: the actor is stopping, and nothing that waits matches.
        """
        return await take(cell_of(self, "select"), "select", match, drops=False, envelope=envelope)

    @overload
    async def filter(self, match: type[N]) -> N: ...
    @overload
    async def filter(self, match: Callable[[M], TypeGuard[N]]) -> N: ...
    @overload
    async def filter(self, match: Callable[[M], bool]) -> M: ...
    async def filter(self, match: Callable[[M], bool] | type[N]) -> object:
        """Like `select`, but messages before the match are dropped; asks among them get `MessageDropped`."""
        return await take(cell_of(self, "filter"), "filter", match, drops=True, envelope=False)

    async def receive_next(self) -> Envelope[M]:
        """The next message, in an envelope: for behaviours that override `run`.

        Raises:
            trio.EndOfChannel: the actor is stopping and its inbox is empty. `run` need not catch it.
        """
        cell = cell_of(self, "receive_next")
        return cast(Envelope[M], await take(cell, "receive_next", anything, drops=False, envelope=True))

    @contextmanager
    def unchanged(self, *names: str | BaseState) -> Generator[None, None, None]:
        """Raise `StaleState` at the end of a wait inside it if one of the named attributes or states has moved (A7).

        An attribute has moved if it is another object than at the start of the block, or if `self.touch(name)` was
        called; a state of the actor's machine, if it has ticked. An error of the wait itself goes first.
        """
        cell = cell_of(self, "unchanged")
        worker = HOLDERS.get(current_task())
        if not isinstance(worker, Worker) or worker.turn is not cell.turn:
            raise NotStarted(f"{cell.path}: unchanged() guards the waits of a handler, and this task is none")
        fields = [name for name in names if isinstance(name, str)]
        before = {name: (cast(object, getattr(self, name)), _touches(cell, name)) for name in fields}
        ticks = {state: self.states.tick(state) for state in names if not isinstance(state, str)}

        def moved() -> tuple[str, ...]:
            attributes = (
                name
                for name, (value, touches) in before.items()
                if getattr(self, name) is not value or _touches(cell, name) != touches
            )
            return (*attributes, *(state.name for state, tick in ticks.items() if self.states.tick(state) != tick))

        guards = worker.guards = worker.guards if worker.guards is not None else []
        guards.append(moved)
        try:
            yield
        finally:
            guards.remove(moved)
            if not guards:
                worker.guards = None

    def touch(self, *names: str) -> None:
        """Mark that the named attributes have changed in place, for those who guard them by `unchanged`."""
        turn = cell_of(self, "touch").turn
        turn.touches = turn.touches if turn.touches is not None else {}
        for name in names:
            turn.touches[name] = turn.touches.get(name, 0) + 1

    def turn(self) -> Visit:
        """`async with self.turn():` the actor's turn, for a task that is no handler: work in `self.io` (A17)."""
        return Visit(cell_of(self, "turn").turn)

    # ------------------------------------------------------------------------------------------------------------

    def _histrio_attach(self, cell: Cell) -> None:
        """Give a fresh actor its place; also when its class is frozen."""
        _CELL_SLOT.__set__(self, cell)
        states = type(self).__histrio_states__
        if states is not None:
            cell.machine = machine = OwnedMachine(states, cell)
            _MACHINE_SLOT.__set__(self, machine)
            handlers = handlers_of(type(self), states.schema())
            if handlers:
                machine.bind_set(handlers, self)

    def __init_subclass__(cls, states: StatesMeta | None = None, **kwargs: object) -> None:
        """Check the class and remember what its actors need."""
        super().__init_subclass__(**kwargs)
        if states is not None:
            cls.__histrio_states__ = states
        if cls.__histrio_states__ is not None:
            handlers_of(cls, schema_of(cls.__histrio_states__))
        else:
            refuse_handlers(cls)
        mixins: list[type] = [base for base in cls.__mro__[1:] if not issubclass(base, Actor)]
        mixins = [base for base in mixins if base not in Actor.__mro__]
        for name, member in (item for base in (*reversed(mixins), cls) for item in tuple(base.__dict__.items())):
            if name in _FIXED:
                raise TypeError(f"{cls.__qualname__}.{name} belongs to histrio.Actor; choose another name")
            if name in _HOOKS and isinstance(member, FunctionType) and looked_up(cls, name) is member:
                setattr(cls, name, FixedMethod(member, name))
            elif name in _SETTINGS and looked_up(cls, name) is member and not isinstance(member, FixedValue):
                setattr(cls, name, FixedValue(member, name))
        cls.__histrio_settings__ = settings_for(cls, Actor)


_IO_SLOT: Final = cast(FixedMethod, Actor.__dict__["_histrio_io"])
_MACHINE_SLOT: Final = cast(FixedMethod, Actor.__dict__["_histrio_machine"])
_TIMERS_SLOT: Final = cast(FixedMethod, Actor.__dict__["_histrio_timers"])
_CELL_SLOT: Final = cast(FixedMethod, Actor.__dict__["_histrio_cell"])
_HOOKS: Final = frozenset({"started", "stopped", "receive", "unhandled", "run"})
_OUTLIVES: Final = frozenset({"ref", "system", "parent"})
"""What the object of an ended incarnation may still be asked for."""
_SETTINGS: Final = frozenset(
    {
        "serial",
        "sealed",
        "in_flight_max",
        "inbox_max",
        "waiting_max",
        "overflow",
        "io_max",
        "redeliver_max",
        "stash_max",
        "start_s",
        "shutdown_s",
    }
)
_FIXED: Final = {
    name for name, member in Actor.__dict__.items()
    if isinstance(member, FunctionType | property) and not name.startswith("_") and name not in _HOOKS
}  # fmt: skip


def _fix_names() -> None:
    for name, member in tuple(Actor.__dict__.items()):
        if name.startswith("_"):
            continue
        if isinstance(member, FunctionType):
            setattr(Actor, name, FixedMethod(member, name))
        elif isinstance(member, property):
            setattr(Actor, name, FixedProperty(member.fget))
        elif name in _SETTINGS:
            setattr(Actor, name, FixedValue(member, name))


def cell_of(actor: Actor[N], name: str) -> Cell:
    """The cell of `actor`, for its method `name`.

    Raises:
        ActorStopped: there is another incarnation at its place already, which is none of its business (E4).
        NotStarted: it has no place yet.
    """
    try:
        cell = actor._histrio_cell
    except AttributeError:
        raise NotStarted(
            f"{type(actor).__qualname__}.{name} was used before the actor had a place in a system. In __init__ keep"
            " what you were given, and do the rest in `async def started(self)`; actors begin by `system.spawn(...)`"
        ) from None
    if cell.actor is not actor and cell.actor is not None and name not in _OUTLIVES:
        reason = Reason(End.STOPPED, "this incarnation of it has ended, and there is another one")
        raise ActorStopped(cell.path, reason, f"an old object's {name} was used; send to the ref instead")
    return cell


def _system_of(cell: Cell) -> System:
    return cast(System, cell.engine.host)


def _touches(cell: Cell, name: str) -> int:
    return (cell.turn.touches or {}).get(name, 0)


_fix_names()
