"""A ref is the address of an actor: typed, hashable, and good for a whole life of sending (A13)."""

# Design note
# -----------
# A ref holds its system, its path and the inbox at that path. The inbox belongs to the path, not to an incarnation,
# so a ref survives restarts and keeps no object of an actor alive.
#
# `tell` is the hot path of every program: type, pace, room, append. All that is unusual has lowered the inbox's
# `limit` beforehand (see `histrio_kernel.inbox`).

from __future__ import annotations

from typing import Final, Generic, NoReturn, Protocol, TypeVar, cast, final, overload

import trio
from trio.lowlevel import checkpoint, checkpoint_if_cancelled, current_task, enable_ki_protection, in_trio_task

from histrio.control import Control
from histrio.handlers import HandlerTable
from histrio.messages import Askable, ChildRequest, DeleteChild, RestartChild, StartChild, TerminateChild
from histrio_kernel.asks import Ask
from histrio_kernel.cell import Cell
from histrio_kernel.engine import Engine
from histrio_kernel.errors import ActorFailed, ActorStopped, Down, End, Reason, Unbound
from histrio_kernel.feed import Feed
from histrio_kernel.futures import Future, Pace, Promise
from histrio_kernel.inbox import Inbox
from histrio_kernel.journal.refs import register_ref
from histrio_kernel.lifecycle import Phase
from histrio_kernel.signals import Kind
from histrio_kernel.visiting import home_of

__all__ = ["Home", "Ref", "Spec", "Unplaced"]

M_contra = TypeVar("M_contra", contravariant=True)
N = TypeVar("N")
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

    def ref_at(self, path: str) -> Ref[object] | None:
        """The address of whoever lives at `path`."""
        ...


class Spec(Protocol[M_contra]):
    """A child of a supervisor, as far as a ref knows it. Every `Child[M]` is one."""

    @property
    def name(self) -> str | None:
        """Its name below the supervisor."""
        ...

    @property
    def ref(self) -> Ref[M_contra]:
        """Stands for its address."""
        ...


@final
class Ref(Generic[M_contra]):
    """The address of an actor that takes messages of type `M_contra`.

    A `Ref[Write | Read]` serves where a `Ref[Read]` is wanted. Refs are equal when system and path are. A ref pickles
    to its address; unpickled it must be bound first: `system.bind(ref)`.

    It holds no object of its actor. Of one that failed it holds the reason: the error, with its traceback.
    """

    __slots__ = ("__weakref__", "_inbox", "_pace", "_system", "_table", "path")

    def __init__(
        self, system: Home | str, path: str, inbox: Inbox | None, table: HandlerTable | Unplaced | None
    ) -> None:
        self.path: Final = path
        self._system: Final = system
        self._inbox: Final[Inbox] = cast(Inbox, inbox)
        self._table: Final[HandlerTable] = cast(HandlerTable, table if table is not None else Unplaced(path, _PICKLED))
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
        except BaseException as error:
            inbox.engine.signals.unsent(self.path, message)
            if isinstance(error, ActorStopped):
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
        try:
            inbox.send_nowait(message)
        except BaseException:
            inbox.engine.signals.unsent(self.path, message)
            raise

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
        """Pause, step, stop, kill and look at the actor, past its inbox."""
        return Control(self._bound(), self.path, self._inbox)

    @overload
    async def join(self) -> object: ...
    @overload
    async def join(self, kind: type[R]) -> R: ...
    async def join(self, kind: type[R] | None = None) -> object:
        """Wait until the actor has ended for good, and return its result: what `run()` returned, or `finish` gave.

        With *kind* the result is checked to be of that type. Restarts are waited through. A checkpoint if it has not
        ended yet; in a handler it gives the turn away. Cancelling it does nothing to the actor.

        Raises:
            ActorFailed: it failed.
            ActorStopped: it was killed, or cancelled with what is above it.
            TypeError: its result is not of that *kind*.
        """
        cell = self._bound().find_cell(self.path, self._inbox)
        if self._inbox.engine.signals.heard:
            self._emit(Kind.JOIN, self.path)
        if cell is not None:
            await cell.over()
        reason = self._reason()
        if reason.end is End.FAILED and reason.cause is not None:
            raise ActorFailed(self.path, reason.cause, reason.why)
        if reason.end is not End.STOPPED:
            raise ActorStopped(self.path, reason)
        if kind is not None and not isinstance(reason.result, kind):
            raise TypeError(f"{self.path} ended with {reason.result!r}, which is no {kind.__qualname__}")
        return reason.result

    def monitor(self) -> Future[Down]:
        """A future that tells when and why the actor has ended for good; it is silent on restarts.

        It completes at once if that was before. Any task may await it; not awaiting it any more costs nothing.

        Examples:
            >>> import histrio, trio
            >>> class Idle(histrio.Actor[str]): ...
            >>> async def main(system: histrio.System) -> None:
            ...     idle = await system.spawn(Idle)
            ...     down = idle.monitor()
            ...     idle.control.kill("not needed")
            ...     print(await down)
            >>> histrio.run(main)
            Down(path='/idle#1', reason=Reason(end=<End.KILLED: 'killed'>, why='not needed', cause=None), incarnation=1)
        """
        cell = self._bound().find_cell(self.path, self._inbox)
        if cell is not None:
            return cell.open_lane().monitor()
        down: Promise[Down] = Promise(cast(Engine, self._inbox.engine))
        down.set(Down(self.path, self._reason(), self._inbox.incarnation))
        return down

    def watch(self, *, latest: bool = False) -> Feed[Phase]:
        """The phase of the actor now, and then every change, until it has ended for good.

        `async for phase in ref.watch()`: in a handler each wait gives the turn away. With *latest* a slow reader sees
        only the newest; without, one that is `feed_max` changes behind gets `Lagged`.
        """
        cell = self._bound().find_cell(self.path, self._inbox)
        if cell is not None:
            return cell.open_lane().watch(cell.phase, latest=latest)
        feed: Feed[Phase] = Feed(cast(Engine, self._inbox.engine), f"phases of {self.path}")
        feed.put(_LAST_PHASES.get(self._reason().end, Phase.KILLED))
        feed.end()
        return feed

    def _reason(self) -> Reason:
        """Why the actor has ended."""
        reason = self._inbox.closed
        assert reason is not None
        return reason

    @property
    def is_placeholder(self) -> bool:
        """Whether it stands for the ref of a child that has not been started: `child(...).ref`."""
        return self._system == ""

    # -- of a supervisor -----------------------------------------------------------------------------------------

    def child(self: Ref[ChildRequest], spec: Spec[N]) -> Ref[N]:
        """The ref of a child of this supervisor. It stays the same when the child is started again.

        Raises:
            ValueError: there is no such child at present; names those that there are.
        """
        found = None if spec.name is None else self._bound().ref_at(f"{self.path}/{spec.name}")
        if found is None:
            raise ValueError(
                f"{self.path} has no child {spec.name!r} at present; it was terminated, or never started. See"
                " system.tree() for those that there are; one without a name is found by the ref that start_child gave"
            )
        return cast("Ref[N]", found)

    def start_child(self: Ref[ChildRequest], spec: Spec[N]) -> Future[Ref[N]]:
        """Start another child and give its ref: `ref = await supervisor.start_child(spec)`.

        It stands to the right of those that there are. The future fails with `ChildNotStarted`, with `ChildRunning` if
        the name is taken, or with `ChildrenFull`.
        """
        return cast("Future[Ref[N]]", self.ask(StartChild(spec)))

    def terminate_child(self: Ref[ChildRequest], spec: Spec[N] | Ref[N] | str) -> Future[None]:
        """Stop a child, which is not started again by itself; the future completes when it has ended.

        Its supervisor still knows it, if it is not dynamic or TEMPORARY; see `restart_child`. The future fails with
        `NoSuchChild`.
        """
        return self.ask(TerminateChild(_name_of(spec)))

    def restart_child(self: Ref[ChildRequest], spec: Spec[N] | str) -> Future[Ref[N]]:
        """Start a child again that was terminated or has ended, in its old place among its siblings.

        It is a new one, with a new inbox. The future fails with `NoSuchChild`, `ChildRunning` or `ChildNotStarted`.
        """
        return cast("Future[Ref[N]]", self.ask(RestartChild(_name_of(spec))))

    def delete_child(self: Ref[ChildRequest], spec: Spec[N] | str) -> Future[None]:
        """Forget a child that has ended. The future fails with `NoSuchChild` or `ChildRunning`."""
        return self.ask(DeleteChild(_name_of(spec)))

    # ------------------------------------------------------------------------------------------------------------

    def _bound(self) -> Home:
        if isinstance(self._system, str):
            cast(Unplaced, self._table).refuse()
        return self._system

    def _signal(self, message: object) -> None:
        """Tell who sent this, if signals are heard and the sender is an actor."""
        if self._inbox.engine.signals.heard:
            self._emit(Kind.SEND, (self.path, message))

    def _emit(self, kind: Kind, detail: object) -> None:
        home = home_of(current_task()) if in_trio_task() else None
        path = None if home is None else home.path()
        if path is not None:
            self._inbox.engine.signals.emit(path, kind, detail)

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
class Unplaced:
    """The table of a ref that belongs to no system: looking something up in it is an error."""

    def __init__(self, path: str, why: str) -> None:
        self._path: Final = path
        self._why: Final = why

    def __contains__(self, kind: type) -> bool:
        self.refuse()

    def refuse(self) -> NoReturn:
        """Say why this ref cannot be used.

        Raises:
            Unbound: always.
        """
        raise Unbound(f"the ref to {self._path} {self._why}")


_PICKLED: Final = "came out of a pickle and belongs to no system: use system.bind(ref) first"
_LAST_PHASES: Final = {End.STOPPED: Phase.STOPPED, End.FAILED: Phase.FAILED}


def _unpickled(name: str, path: str) -> Ref[object]:
    return Ref(name, path, None, None)


def _name_of(child: Spec[N] | Ref[N] | str) -> str:
    """The name of a child, however it was given."""
    if isinstance(child, str):
        return child
    if isinstance(child, Ref):
        return child.path.rpartition("/")[2]
    if child.name is None:
        raise ValueError("a child without a name of its own is named by its ref, which start_child gave")
    return child.name


register_ref(Ref, lambda ref: ref.path, lasts=False)
