"""One actor's life: it starts, handles messages, has children, stops or fails, and ends; here and nowhere else.

An actor has ended when its nursery has: when no handler, operation or child of it runs any more (A10). Its phase
changes only by the table in `lifecycle`.
"""

# Design note
# -----------
# A cell is one Trio task, the *host*, in the nursery of its parent, so a child cannot outlive its parent. The host is
# the first worker too. An actor that was never used is a parked task and no nursery (2.5 KB); the nursery for workers,
# operations and children is opened by the host when it first runs something.
#
# Stopping goes in phases: intake is closed, the inbox drained, children are stopped from the last to the first,
# `stopped()` runs, and then the nursery is cancelled, which ends what runs in the background. The deadline of all that
# is the deadline of the nursery's own cancel scope, so it needs no task.
#
# Killing is cancelling that scope. Workers unwind one after the other, each with the turn.
#
# The cell knows its parent and its children as `Parent` and `Cell`; who else lives in the system it does not know.

from __future__ import annotations

import functools
import math
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any, Final, Protocol, TypeVar, cast, final
from weakref import ReferenceType

import trio
from trio.lowlevel import Abort, Task, current_task, enable_ki_protection, reschedule

from histrio_kernel.asks import Ask
from histrio_kernel.engine import Engine
from histrio_kernel.errors import (
    ActorFailed,
    ActorStopped,
    End,
    NoMoreMail,
    Reason,
    raise_interrupt,
    split_cancelled,
    told,
)
from histrio_kernel.futures import ERROR, PENDING, VALUE, Future, Promise, RaiseCancel
from histrio_kernel.gate import BY_HAND, EXITING, HEARD, KILLED, RUNNING, STARTING
from histrio_kernel.handling import call_hook, serve
from histrio_kernel.inbox import Inbox, message_of
from histrio_kernel.io import IoPool
from histrio_kernel.lifecycle import ENDED, Event, Phase, follow
from histrio_kernel.parking import park
from histrio_kernel.settings import Behaviour, Settings
from histrio_kernel.signals import Kind
from histrio_kernel.turn import Turn, Worker

__all__ = ["Cell", "Parent"]

_NO_CONTEXT: Final = Context()

T = TypeVar("T")


class Parent(Protocol):
    """Whoever an actor is a child of: another cell, or the system."""

    def child_failed(self, error: ActorFailed) -> None:
        """A child has ended by an error."""
        ...

    def child_ended(self, child: Cell) -> None:
        """A child has ended, in whatever way; nothing of it runs any more."""
        ...


@final
class Cell:
    """The kernel's side of one actor. The front door's `Actor` is its behaviour."""

    __slots__ = (
        "actor",
        "bare",
        "base",
        "born",
        "children",
        "deadline",
        "ended",
        "engine",
        "failures",
        "host",
        "inbox",
        "io",
        "name",
        "nursery",
        "parent",
        "path",
        "phase",
        "promises",
        "promises_room",
        "reason",
        "settings",
        "started",
        "turn",
    )

    def __init__(self, engine: Engine, parent: Parent, path: str, name: str, settings: Settings, actor: object) -> None:
        self.engine: Final = engine
        self.parent: Final = parent
        self.path: Final = path
        self.name: Final = name
        self.deadline = math.inf
        self.settings: Final = settings
        self.actor: Behaviour | None = cast(Behaviour, actor)
        self.base = _NO_CONTEXT
        self.phase = Phase.STARTING
        self.reason: Reason | None = None
        self.failures: list[BaseException] | None = None
        self.children: dict[str, Cell] | None = None
        self.born: dict[str, int] | None = None
        self.nursery: trio.Nursery | None = None
        self.host: Worker | None = None
        self.bare: Task | None = None
        self.io: IoPool | None = None
        self.promises: list[ReferenceType[Promise[Any]]] | None = None
        self.promises_room = 0
        self.started: Promise[None] | None = None
        self.ended: Promise[None] | None = None
        self.inbox: Final = Inbox(engine, path, settings.policy)
        self.turn: Final = Turn(
            engine,
            self,
            self.inbox,
            actor,
            settings.handlers,
            settings.serial,
            settings.in_flight_max,
        )
        self.inbox.taker = self.turn
        if engine.signals.heard:
            self.turn.gate |= HEARD

    # -- the life ------------------------------------------------------------------------------------------------

    def start(self, nursery: trio.Nursery) -> None:
        """Begin to live, in the nursery of the parent. Without a hook to run first, it has started at once."""
        if not (self.settings.has_started or self.settings.runs_by_hand):
            self._opened()
        nursery.start_soon(self.live, name=self.path)

    async def live(self) -> None:
        """The host task: from the start to the end."""
        try:
            await self._live()
        except BaseException as error:
            cancelled, rest = split_cancelled(error)
            if isinstance(rest, Exception):
                self.fail(rest)
            self._end()
            if rest is not None and not isinstance(rest, Exception):
                raise_interrupt(rest)
            if cancelled is not None:
                raise cancelled from None
        else:
            self._end()

    async def _live(self) -> None:
        self.base = copy_context()
        if not self.turn.gate & (STARTING | KILLED) and not self.inbox.queue:
            # Not used yet: park without nursery and worker. Such an actor is a task, and its objects.
            self.turn.release()
            if self.turn.free:  # else it came back at once, to wind down
                self.bare = current_task()
                await park(self._abort_bare)
        if self.turn.gate & KILLED:
            return
        self.host = host = Worker(self.turn, is_host=True)
        if not self.turn.watched:
            self.turn.watch()
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            if self.phase is Phase.DRAINING:
                self._set_deadline()
            try:
                await self._run(host)
            except BaseException:
                self.cancelled()
                raise
            finally:
                host.leave()

    def _abort_bare(self, raise_cancel: RaiseCancel) -> Abort:
        if self.bare is None:
            return Abort.FAILED  # woken, and on its way
        self.bare = None
        self.cancelled()
        return Abort.SUCCEEDED

    def _wake_bare(self) -> None:
        """The turn, which has been taken, is for the host, which has not been used yet."""
        bare, self.bare = self.bare, None
        if bare is not None:
            reschedule(bare)

    async def _run(self, host: Worker) -> None:
        """Everything that the host does while the nursery is open."""
        if self.turn.gate & STARTING and not await self._start(host):
            return
        if self.settings.runs_by_hand:
            await self._run_by_hand(host)
        await serve(host)
        if not self.turn.gate & KILLED:
            assert self.turn.gate & EXITING
            await self._wind_down(host)

    async def _start(self, host: Worker) -> bool:
        actor = self.actor
        assert actor is not None
        with trio.move_on_after(self.settings.start_s) as scope:
            if await self._hook(host, actor.started, scope):
                self._opened()
                return True
        return False

    def _opened(self) -> None:
        """The actor has started: mail is handled from now on."""
        if self.turn.gate & KILLED:
            return
        self._follow(Event.STARTED)
        self.turn.gate &= ~STARTING
        if self.settings.runs_by_hand:
            self.turn.gate |= BY_HAND
        if self.engine.signals.heard:
            self.engine.signals.emit(self.path, Kind.START)
        if self.started is not None:
            self.started._settle(VALUE, None)

    async def _run_by_hand(self, host: Worker) -> None:
        """The behaviour is one long coroutine; its end is the actor's."""
        actor = self.actor
        assert actor is not None
        if await self._hook(host, actor.run):
            self.stop("its run() returned")
            self.turn.draining = False
            self.turn.gate |= EXITING

    async def _wind_down(self, host: Worker) -> None:
        """All that was accepted has been handled: children from last to first, then `stopped()`, then what remains."""
        self._follow(Event.DRAINED)
        actor, reason = self.actor, self.reason
        assert actor is not None
        assert reason is not None
        assert self.nursery is not None
        for child in reversed(tuple((self.children or {}).values())):
            child.stop(f"its parent {self.path} stops")
            await child.over()
        if self.settings.has_stopped and not await self._hook(host, lambda: actor.stopped(reason)):
            return
        if not self.turn.gate & KILLED:
            self.turn.gate |= KILLED  # from here on nothing new is started, and this is no kill
            self.nursery.cancel_scope.cancel()

    async def _hook(
        self, host: Worker, hook: Callable[[], Awaitable[None]], limit: trio.CancelScope | None = None
    ) -> bool:
        """Run a hook of the actor as a handler; its error is the actor's failure, and so is to pass the *limit*."""
        try:
            await call_hook(host, hook)
        except BaseException as error:
            cancelled, rest = split_cancelled(error)
            if rest is not None and not isinstance(rest, Exception):
                raise
            if isinstance(rest, NoMoreMail):
                return True
            if limit is not None and limit.cancel_called:
                self.fail(TimeoutError(f"{self.path}: started() took longer than start_s = {self.settings.start_s} s"))
            if isinstance(rest, Exception):
                self.fail(rest)
            if cancelled is not None:
                raise cancelled from None
            return False
        return True

    # -- what the turn asks of its owner -------------------------------------------------------------------------

    def start_worker(self) -> None:
        """One more worker, which begins with the turn, in the actor's context."""
        if self.nursery is None:
            self._wake_bare()
            return
        self.base.run(functools.partial(self.nursery.start_soon, self._work, name=self.path))

    async def _work(self) -> None:
        worker = Worker(self.turn)
        try:
            await serve(worker)
        except BaseException:
            self.cancelled()  # before the turn is passed on: nobody may start a handler now
            raise
        finally:
            worker.leave()

    def drained(self) -> None:
        """Wake the host to wind down."""
        self.turn.gate |= EXITING
        self._wake_host()

    def _wake_host(self) -> None:
        host = self.host
        assert self.turn.free
        self.turn.take()
        if host is None:
            self._wake_bare()
            return
        assert host.is_parked()
        host.state = RUNNING
        if host in self.turn.idle:  # else it is about to park, and sees that it need not
            self.turn.idle.remove(host)
            reschedule(host.task)

    def handler_raised(self, error: BaseException, ask: Ask[object] | None, entry: object) -> bool:
        """A handler raised what is no `Refusal`: the actor fails, or is being cancelled (A9)."""
        cancelled, rest = split_cancelled(error)
        if isinstance(rest, NoMoreMail):
            self._let_down(ask, entry)  # its select could never be met any more
            return True
        if rest is None:
            self.cancelled()
            self._let_down(ask, entry)
        elif isinstance(rest, Exception):
            if ask is not None:
                ask.fail(ActorFailed(self.path, rest))
            else:
                self.engine.dead_letter(self.path, message_of(entry), f"its handler raised {told(rest)}")
            self.fail(rest)
        else:
            self.cancelled()
            self._let_down(ask, entry)
            raise_interrupt(rest)
        if cancelled is not None:
            raise cancelled
        return False

    def _let_down(self, ask: Ask[object] | None, entry: object) -> None:
        """A handler was ended before it could answer."""
        if ask is not None:
            ask.fail(self._end_error())
        else:
            self.engine.dead_letter(self.path, message_of(entry), f"its handler was cancelled: {self.reason}")

    def _end_error(self) -> ActorStopped:
        reason = self.reason
        assert reason is not None
        if reason.end is End.FAILED and reason.cause is not None:
            return ActorFailed(self.path, reason.cause, reason.why)
        return ActorStopped(self.path, reason)

    def retire_spares(self) -> None:
        """Let tasks go that are parked for work that does not come (A5)."""
        self.turn.retire_spares()
        if self.turn.free and not self.turn.suspended:
            self.inbox.drop_queue()
        if self.io is not None and not self.io.running:
            self.io.retire_spares()

    # -- operations ----------------------------------------------------------------------------------------------

    @property
    def io_nursery(self) -> trio.Nursery | None:
        """Where operations and children run; None when the actor takes none any more (E4)."""
        return None if self.turn.gate & KILLED else self.nursery

    def io_pool(self) -> IoPool:
        """The actor's operations, made on first use."""
        if self.io is None:
            self.io = IoPool(self.engine, self, self.settings.io_max)
        return self.io

    def operation_failed(self, error: BaseException) -> None:
        """An operation that no handler and nobody else looks after has failed, so the actor has."""
        self.fail(cast(Exception, error))

    def promise(self) -> Promise[T]:
        """A promise that fails when this actor ends before it is completed."""
        promise: Promise[T] = Promise(self.engine)
        promises = self.promises
        if promises is None or len(promises) >= self.promises_room:
            if self.phase in ENDED:
                promise._settle(ERROR, self._end_error())
                return promise
            promises = self._sweep_promises()
        promises.append(ReferenceType(promise))
        return promise

    def _sweep_promises(self) -> list[ReferenceType[Promise[Any]]]:
        """Keep those, in the order of making, that are pending and that somebody has; with room for as many again."""
        made = [(one, known) for known in self.promises or () if (one := known()) is not None]
        self.promises = promises = [known for one, known in made if not one.is_done]
        self.promises_room = 2 * len(promises) + 16
        return promises

    # -- ending --------------------------------------------------------------------------------------------------

    @enable_ki_protection
    def stop(self, why: str = "", grace_s: float | None = None) -> None:
        """Close intake, drain, stop children, run `stopped()`, end; what takes longer than `grace_s` is cancelled.

        Idempotent; a second call can only shorten the time. Not a checkpoint.
        """
        if self.phase in ENDED:
            return
        self._follow(Event.STOP)
        if self.reason is None:
            self.engine.signals.emit(self.path, Kind.CONTROL, "stop")
            self.reason = Reason(End.STOPPED, why)
            self.deadline = trio.current_time() + (self.settings.shutdown_s if grace_s is None else grace_s)
            self.inbox.close(self.reason)
            self.inbox.refuse_line()
        elif grace_s is not None:
            self.deadline = min(self.deadline, trio.current_time() + grace_s)
        self._set_deadline()
        if self.phase is Phase.DRAINING:
            self.turn.drain()

    def _set_deadline(self) -> None:
        if self.nursery is not None and self.phase in (Phase.DRAINING, Phase.STOPPING):
            self.nursery.cancel_scope.deadline = self.deadline

    @enable_ki_protection
    def kill(self, why: str = "") -> None:
        """Cancel everything of this actor; it ends when that has unwound. Idempotent. Not a checkpoint."""
        if self.phase in ENDED or self.turn.gate & KILLED:
            return
        self.engine.signals.emit(self.path, Kind.CONTROL, "kill")
        self._follow(Event.KILL)
        self.reason = Reason(End.KILLED, why)
        self._cancel()

    @enable_ki_protection
    def fail(self, error: Exception) -> None:
        """`error` ends this actor. Of several the first is the reason, and none is lost."""
        if self.phase in ENDED:
            return
        if self.failures is None:
            self.failures = []
        elif isinstance(error, ActorStopped) and error.path == self.path:
            return  # a consequence: another handler awaited an answer of this very actor
        self._follow(Event.FAIL)
        self.failures.append(error)
        if len(self.failures) == 1:
            self.reason = Reason(End.FAILED, cause=error)
        self.engine.signals.emit(self.path, Kind.CRASH, error)
        self._cancel()

    @enable_ki_protection
    def cancelled(self) -> None:
        """Something of this actor has seen a cancellation that came from outside of its handlers."""
        if self.turn.gate & KILLED:
            return
        stopping = self.phase in (Phase.DRAINING, Phase.STOPPING)
        self._follow(Event.KILL)
        if stopping and trio.current_time() >= self.deadline:
            self.reason = Reason(End.KILLED, "it had not stopped at its deadline, see shutdown_s")
        else:
            self.reason = Reason(End.CANCELLED, "the scope around it was cancelled")
        self._cancel()

    def _cancel(self) -> None:
        self.turn.close_gate(KILLED)
        assert self.reason is not None
        self.inbox.close(self.reason)  # the line is told at the end: who stands in it may be cancelled with us
        if self.nursery is not None:
            self.nursery.cancel_scope.cancel()
        elif self.bare is not None:
            self._wake_host()

    @enable_ki_protection
    def _end(self) -> None:
        """Nothing of this actor runs any more: tell everybody who waits, and let go of its objects."""
        if not self.turn.gate & KILLED:
            self.cancelled()
        self._follow(Event.ENDED)
        reason = self.reason
        assert reason is not None
        self.inbox.finish(reason)
        for ask in self.turn.owed or ():
            ask.fail(self._end_error())
        if self.io is not None:
            self.io.close()
        promises, self.promises = self.promises, None  # so that what is made from here on has its outcome at once
        for known in promises or ():
            promise = known()
            if promise is not None and promise._state == PENDING:
                promise._settle(ERROR, self._end_error())
        self.engine.signals.emit(self.path, Kind.STOP, reason)
        self.engine.signals.forget(self.path)
        self._announce()
        self.turn.actor = self.actor = self.host = self.nursery = None

    def _announce(self) -> None:
        """Tell the parent and those who wait; a failure to start is told to whoever waits for the start, only."""
        failure = self.failure()
        started = self.started
        told_spawner = started is not None and started._state == PENDING and started._waiter is not None
        if started is not None and started._state == PENDING:
            started._settle(ERROR, failure or self._end_error())
        self.parent.child_ended(self)
        if failure is not None and not told_spawner:
            self.parent.child_failed(failure)
        if self.ended is not None:
            self.ended._settle(VALUE, None)

    def failure(self) -> ActorFailed | None:
        """The error that this actor ended by, with all causes."""
        if not self.failures:
            return None
        if len(self.failures) == 1:
            return ActorFailed(self.path, self.failures[0])
        return ActorFailed(self.path, BaseExceptionGroup(f"{len(self.failures)} errors in {self.path}", self.failures))

    def over(self) -> Future[None]:
        """Completes when the actor has ended, in whatever way."""
        if self.ended is None:
            self.ended = Promise(self.engine)
            if self.phase in ENDED:
                self.ended._settle(VALUE, None)
        return self.ended

    # -- children ------------------------------------------------------------------------------------------------

    def child_failed(self, error: ActorFailed) -> None:
        """Without a supervisor a child's failure is its parent's."""
        self.fail(error)

    def child_ended(self, child: Cell) -> None:
        """Forget a child that has ended."""
        assert self.children is not None
        del self.children[child.name]

    # ------------------------------------------------------------------------------------------------------------

    def _follow(self, event: Event) -> None:
        self.phase = follow(self.phase, event)
