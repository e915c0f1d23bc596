"""A ref is the address of an actor: typed, hashable, and good for a whole life of sending (A13)."""

# Design note
# -----------
# A ref holds its system, its path and the inbox at that path. The inbox belongs to the path, not to an incarnation,
# so a ref survives restarts and keeps no object of an actor alive.
#
# `tell` is the hot path of every program: type, pace, room, append. All that is unusual has lowered the inbox's
# `limit` beforehand (see `histrio_kernel.inbox`).

from __future__ import annotations

from typing import Final, Generic, NoReturn, Protocol, TypeVar, cast, final

import trio
from trio.lowlevel import checkpoint, checkpoint_if_cancelled, current_task, enable_ki_protection

from histrio.handlers import HandlerTable
from histrio.messages import Askable
from histrio_kernel.asks import Ask
from histrio_kernel.cell import Cell
from histrio_kernel.errors import ActorFailed, ActorStopped, Unbound
from histrio_kernel.futures import HOLDERS, Future, Pace
from histrio_kernel.inbox import Inbox
from histrio_kernel.lifecycle import Phase
from histrio_kernel.signals import Kind
from histrio_kernel.turn import Worker

__all__ = ["Control", "Home", "Ref"]

M_contra = TypeVar("M_contra", contravariant=True)
R = TypeVar("R")


class Home(Protocol):
    """The system that a ref belongs to, as far as a ref knows it."""

    @property
    def name(self) -> str:
        """What the system is called."""
        ...

    def find_cell(self, path: str, inbox: Inbox) -> Cell | None:
        """The cell that lives at `path` behind `inbox`, if its actor has not ended."""
        ...


@final
class Ref(Generic[M_contra]):
    """The address of an actor that takes messages of type `M_contra`.

    A `Ref[Write | Read]` serves where a `Ref[Read]` is wanted. Refs are equal when system and path are. A ref pickles
    to its address; unpickled it must be bound first: `system.bind(ref)`.

    It holds no object of its actor. Of one that failed it holds the reason: the error, with its traceback.
    """

    __slots__ = ("__weakref__", "_inbox", "_pace", "_system", "_table", "path")

    def __init__(self, system: Home | str, path: str, inbox: Inbox | None, table: HandlerTable | None) -> None:
        self.path: Final = path
        self._system: Final = system
        self._inbox: Final[Inbox] = cast(Inbox, inbox)
        self._table: Final[HandlerTable] = cast(HandlerTable, table if table is not None else _Unbound(path))
        self._pace: Final[Pace] = cast(Pace, None if inbox is None else inbox.engine.pace)

    @enable_ki_protection
    async def tell(self, message: M_contra) -> None:
        """Deliver `message`; if the inbox is full, wait for room in the senders' line.

        Cancellation is atomic: delivered, or `Cancelled` and not delivered. A checkpoint when it waits, and every
        64th call; else it returns at once. From one sender to one actor messages keep their order.

        Raises:
            ActorStopped: the actor is stopping or has ended, also if this stood in line; not delivered.
            InboxFull: the inbox is full and its policy is `REFUSE`; not delivered.
            TypeError: the actor does not take messages of this type; not delivered.
            Unbound: the ref was unpickled and not bound.
        """
        if message.__class__ not in self._table:
            self._table.learn(self.path, message)
        pace = self._pace
        pace.left -= 1
        if pace.left <= 0:
            pace.restart()
            await checkpoint()
        inbox = self._inbox
        queue = inbox.queue
        if len(queue) < inbox.limit:
            queue.append(message)
            if inbox.hungry:
                inbox.taker.kick()
            return
        self._signal(message)
        try:
            await inbox.send(message)
        except ActorStopped:
            await checkpoint_if_cancelled()  # whoever ends together with that actor is cancelled, not failed
            raise

    @enable_ki_protection
    def tell_nowait(self, message: M_contra) -> None:
        """Deliver `message` now. Not a checkpoint.

        Raises:
            InboxFull: there is no room, and the policy drops nothing; not delivered.
            ActorStopped, TypeError, Unbound: as `tell`.
        """
        if message.__class__ not in self._table:
            self._table.learn(self.path, message)
        inbox = self._inbox
        queue = inbox.queue
        if len(queue) < inbox.limit:
            queue.append(message)
            if inbox.hungry:
                inbox.taker.kick()
            return
        self._signal(message)
        inbox.send_nowait(message)

    @enable_ki_protection
    def ask(self, message: Askable[M_contra, R]) -> Future[R]:
        """Send `message` and return the future of its reply, at once; at a full inbox it stands in the senders' line.

        Not a checkpoint. If the last awaiter is cancelled while the message is still queued, it is withdrawn; once
        begun, the handler runs on and the reply is dropped.

        The future fails with the `Refusal` that the handler raised, with `ActorFailed` if the actor failed, with
        `ActorStopped` if it is stopping or ends first, with `InboxFull` if the line is longer than `waiting_max`, with
        `MessageDropped` if the overflow policy drops it.

        Raises:
            TypeError: the actor does not take messages of this type; nothing was sent.
            Unbound: the ref was unpickled and not bound.
        """
        if message.__class__ in self._table:
            inbox = self._inbox
            queue = inbox.queue
            if len(queue) < inbox.limit:
                ask: Ask[R] = Ask(inbox, message)
                queue.append(ask)
                if inbox.hungry:
                    inbox.taker.kick()
                return ask
        return self._ask(message, wait=True)

    def ask_nowait(self, message: Askable[M_contra, R]) -> Future[R]:
        """Like `ask`, but it never stands in line.

        Raises:
            InboxFull: there is no room; nothing was sent.
            TypeError, Unbound: as `ask`.
        """
        return self._ask(message, wait=False)

    @enable_ki_protection
    def _ask(self, message: Askable[M_contra, R], *, wait: bool) -> Future[R]:
        if message.__class__ not in self._table:
            self._table.learn(self.path, message)
        self._signal(message)
        return cast(Future[R], self._inbox.ask(message, wait=wait))

    def channel(self) -> trio.abc.SendChannel[M_contra]:
        """A Trio `SendChannel` whose `send` is `tell`, for producers that know nothing of actors.

        Closing it ends this channel only, not the actor. After the actor's end `send` raises
        `trio.BrokenResourceError`.
        """
        return _RefChannel(self)

    @property
    def control(self) -> Control:
        """Stop, kill and look at the actor, past its inbox."""
        return Control(self._bound(), self.path, self._inbox)

    async def join(self) -> None:
        """Wait until the actor has ended: until nothing of it runs any more. A checkpoint if it has not.

        Raises:
            ActorFailed: it failed.
        """
        cell = self._bound().find_cell(self.path, self._inbox)
        if self._inbox.engine.signals.heard:
            self._emit(Kind.JOIN, self.path)
        if cell is not None:
            await cell.over()
        reason = self._inbox.closed
        if reason is not None and reason.cause is not None:
            raise ActorFailed(self.path, reason.cause, reason.why)

    def _bound(self) -> Home:
        if isinstance(self._system, str):
            _not_bound(self.path)
        return self._system

    def _signal(self, message: object) -> None:
        """Tell who sent this, if signals are heard and the sender is an actor."""
        if self._inbox.engine.signals.heard:
            self._emit(Kind.SEND, (self.path, message))

    def _emit(self, kind: Kind, detail: object) -> None:
        caller = HOLDERS.get(current_task())
        if isinstance(caller, Worker):
            self._inbox.engine.signals.emit(caller.turn.inbox.path, kind, detail)

    def __eq__(self, other: object) -> bool:
        """Whether both are the address of the same place."""
        if not isinstance(other, Ref):
            return NotImplemented
        return self.path == other.path and self._system == cast("Ref[object]", other)._system

    def __hash__(self) -> int:
        """By path."""
        return hash(self.path)

    def __repr__(self) -> str:
        """Show the path."""
        return f"<Ref {self.path}>" if not isinstance(self._system, str) else f"<Ref {self.path} unbound>"

    def __copy__(self) -> Ref[M_contra]:
        """A ref is an immutable value."""
        return self

    def __deepcopy__(self, memo: object) -> Ref[M_contra]:
        """A ref is an immutable value."""
        return self

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the address only."""
        name = self._system if isinstance(self._system, str) else self._system.name
        return (_unpickled, (name, self.path))


@final
class Control:
    """What can be done to an actor past its inbox. All of it is idempotent; nothing here is a checkpoint."""

    __slots__ = ("_home", "_inbox", "_path")

    def __init__(self, home: Home, path: str, inbox: Inbox) -> None:
        self._home: Final = home
        self._path: Final = path
        self._inbox: Final = inbox

    def stop(self, grace_s: float | None = None, why: str = "") -> None:
        """Begin to stop it: intake is closed, the inbox drained, children stopped, then `stopped()` runs.

        What takes longer than *grace_s* seconds (default: the actor's `shutdown_s`) is cancelled. Await `ref.join()`
        for the end.
        """
        given = cast(object, grace_s)
        if given is not None and (isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0):
            raise ValueError(f"{self._path}: grace_s is {given!r}; it must be a number of seconds, 0 or more")
        cell = self._cell
        if cell is not None:
            cell.stop(why or "it was asked to", grace_s)

    def kill(self, why: str = "") -> None:
        """Cancel its handlers, operations and children now."""
        cell = self._cell
        if cell is not None:
            cell.kill(why or "it was killed on request")

    @property
    def is_done(self) -> bool:
        """Whether the actor has ended."""
        return self._cell is None

    def status(self) -> Phase:
        """The phase that the actor is in.

        Raises:
            ActorStopped: it has ended; with the reason.
        """
        cell = self._cell
        if cell is None:
            assert self._inbox.closed is not None
            raise ActorStopped(self._path, self._inbox.closed)
        return cell.phase

    @property
    def _cell(self) -> Cell | None:
        return self._home.find_cell(self._path, self._inbox)


@final
class _RefChannel(trio.abc.SendChannel[M_contra]):
    """A ref behind Trio's interface."""

    def __init__(self, ref: Ref[M_contra]) -> None:
        self._ref: Final = ref
        self._closed = False
        self._sending: Final[dict[trio.CancelScope, None]] = {}

    async def send(self, value: M_contra) -> None:
        """Tell the actor. A checkpoint, like every `send` of Trio."""
        if self._closed:
            raise trio.ClosedResourceError
        with trio.CancelScope() as scope:
            self._sending[scope] = None
            try:
                await checkpoint()
                await self._ref.tell(value)
            except ActorStopped as error:
                raise trio.BrokenResourceError(str(error)) from error
            finally:
                del self._sending[scope]
        if scope.cancelled_caught:
            raise trio.ClosedResourceError

    async def aclose(self) -> None:
        """End this channel, and what waits in its `send`; the actor lives on."""
        self._closed = True
        for scope in self._sending:
            scope.cancel()
        await checkpoint()


@final
class _Unbound:
    """The table of a ref that belongs to no system: looking something up in it is an error."""

    def __init__(self, path: str) -> None:
        self._path: Final = path

    def __contains__(self, kind: type) -> bool:
        _not_bound(self._path)


def _unpickled(name: str, path: str) -> Ref[object]:
    return Ref(name, path, None, None)


def _not_bound(path: str) -> NoReturn:
    raise Unbound(f"the ref to {path} came out of a pickle and belongs to no system: use system.bind(ref) first")
