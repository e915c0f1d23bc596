"""How one incarnation of an actor runs: its host task, its hooks, its workers, its operations.

An incarnation has ended when its nursery has: when no handler, operation or child of it runs any more (A10).
"""

# Design note
# -----------
# An incarnation is one Trio task, the *host*, in the nursery of its parent, so a child cannot outlive its parent. The
# host is the first worker too. An actor that was never used is a parked task and no nursery (2.5 KB); the nursery for
# workers, operations and children is opened by the host when it first runs something.
#
# When an incarnation has ended and the next one begins at that moment, the same task goes on with it: that is a third of
# a restart. It does not if a handler has set a context variable in it, which would then outlive its incarnation (A4).
# Others run in between all the same: an actor that nobody uses parks, and the end of a nursery is a checkpoint.
#
# What an error or a cancellation leads to, and what comes after the end, is decided in `cell`, whose base this is.

from __future__ import annotations

import functools
import math
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Final, Protocol, TypeVar, cast

import trio
from trio.lowlevel import Abort, Task, current_task, reschedule

from histrio_kernel.account import Account
from histrio_kernel.asks import Ask
from histrio_kernel.belonging import ActorMachine as MachineOfActor
from histrio_kernel.belonging import Period
from histrio_kernel.contexts import same_values
from histrio_kernel.engine import Engine
from histrio_kernel.entries import NO_ENTRY, message_of
from histrio_kernel.errors import (
    ActorFailed,
    ActorStopped,
    NoMoreMail,
    NotStarted,
    Reason,
    raise_interrupt,
    split_cancelled,
    told,
)
from histrio_kernel.futures import ERROR, VALUE, Promise, RaiseCancel
from histrio_kernel.gate import (
    BY_HAND,
    COUNTED,
    EXITING,
    HALTED,
    HEARD,
    KILLED,
    PAUSED,
    RUNNING,
    STARTING,
)
from histrio_kernel.handling import call_hook, serve
from histrio_kernel.inbox import Inbox
from histrio_kernel.io import IoPool
from histrio_kernel.lane import Lane
from histrio_kernel.lifecycle import ENDED, Event, Phase
from histrio_kernel.machine.states.base import BaseState
from histrio_kernel.made import Made
from histrio_kernel.parking import park
from histrio_kernel.settings import Behaviour, Settings
from histrio_kernel.signals import Kind
from histrio_kernel.turn import Turn, Worker
from histrio_kernel.visiting import home_of

__all__ = ["NO_CONTEXT", "Child", "Incarnation"]

NO_CONTEXT: Final = Context()
"""Of an actor that has not begun to live."""

T = TypeVar("T")


class Child(Protocol):
    """A child of an actor, as far as its parent stops it."""

    def stop(self, why: str = "", grace_s: float | None = None, because: Reason | None = None) -> None:
        """Begin to stop."""
        ...

    def over(self) -> Awaitable[None]:
        """Completes when it has ended for good."""
        ...


class Incarnation:
    """What lives between a start and an end; and the state of the place that it lives at."""

    __slots__ = (
        "account",
        "actor",
        "bare",
        "base",
        "can_go_on",
        "deadline",
        "engine",
        "failures",
        "host",
        "inbox",
        "incarnation",
        "io",
        "lane",
        "machine",
        "nursery",
        "path",
        "phase",
        "promises",
        "reason",
        "result",
        "settings",
        "started",
        "turn",
    )

    # The place sets these when it is made.
    engine: Engine
    path: str
    settings: Settings
    inbox: Inbox
    base: Context
    can_go_on: bool  # its task has nothing more to do for this incarnation, and may have the next one
    phase: Phase
    incarnation: int
    lane: Lane | None
    account: Account | None

    # An incarnation has these to itself.
    actor: Behaviour | None
    turn: Turn
    reason: Reason | None
    result: object
    failures: list[BaseException] | None
    nursery: trio.Nursery | None
    host: Worker | None
    bare: Task | None
    io: IoPool | None
    machine: MachineOfActor | None
    promises: Made | None
    started: Promise[None] | None
    deadline: float

    def begin(self, actor: object) -> None:
        """Make what belongs to one incarnation."""
        settings, inbox, account = self.settings, self.inbox, self.account
        self.actor = cast(Behaviour, actor)
        self.deadline = math.inf
        # One statement, because every spawn pays for it.
        self.reason = self.result = self.failures = self.nursery = self.host = self.bare = self.io = self.promises = (
            self.started
        ) = None
        if account is None and (settings.redeliver_max or settings.stash_max):
            account = self.account = Account(inbox, settings.redeliver_max, settings.stash_max)
        self.turn = inbox.taker = turn = Turn(
            self.engine, self, inbox, actor, settings.handlers, settings.serial, settings.in_flight_max, account
        )
        if self.engine.signals.heard:
            turn.gate |= HEARD
        if account is not None:
            turn.gate |= COUNTED
        if self.lane is not None and self.lane.paused and not (account is not None and account.steps):
            turn.gate |= PAUSED

    # -- the life ------------------------------------------------------------------------------------------------

    def start(self, nursery: trio.Nursery) -> None:
        """Begin to live, in the nursery of the parent. Without a hook to run first, it has started at once.

        Otherwise `started` is a promise of that.
        """
        if self.settings.has_started or self.settings.runs_by_hand:
            self.started = Promise(self.engine)
        else:
            self._opened()
        if self.can_go_on:
            self.can_go_on = False
        else:
            nursery.start_soon(self.live, name=self.path)

    async def live(self) -> None:
        """The host task: from the start to the end, and of the next incarnation too if that begins at once."""
        goes_on = True
        while goes_on:
            try:
                await self._live()
            except BaseException as error:
                cancelled, rest = split_cancelled(error)
                if isinstance(rest, Exception):
                    self.fail(rest)
                self.has_ended()
                if rest is not None and not isinstance(rest, Exception):
                    raise_interrupt(rest)
                if cancelled is not None:
                    raise cancelled from None
                return
            self.can_go_on = goes_on = same_values(copy_context(), self.base)  # else a handler has set something here
            self.has_ended()
            goes_on = goes_on and not self.can_go_on
            self.can_go_on = False

    async def _live(self) -> None:
        if self.incarnation == 1:
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
                nursery.cancel_scope.deadline = self.deadline
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

    def wake_bare(self) -> None:
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
        self.follow(Event.STARTED)
        self.turn.gate &= ~STARTING
        if self.settings.runs_by_hand:
            self.turn.gate |= BY_HAND
        elif self.turn.gate & PAUSED:
            self.turn.tells_quiet = True
        if self.engine.signals.heard:
            self.engine.signals.emit(self.path, Kind.START)
        if self.started is not None:
            self.started._settle(VALUE, None)

    async def _run_by_hand(self, host: Worker) -> None:
        """The behaviour is one long coroutine; its end is the actor's."""
        if await self._hook(host, lambda: self._run_to_result(host)):
            if not self.turn.gate & HALTED:
                self.stop("its run() returned")
            self.turn.tells_quiet = False
            self.turn.gate |= EXITING

    async def _run_to_result(self, host: Worker) -> None:
        assert self.actor is not None
        self.result = await self.actor.run()
        if host.delivery is not None and self.account is not None:
            self.account.finish(host.delivery)  # else it is in hand still
            host.delivery = None

    async def _wind_down(self, host: Worker) -> None:
        """All that was accepted has been handled: children from last to first, then `stopped()`, then what remains."""
        self.follow(Event.DRAINED)
        actor, reason = self.actor, self.reason
        assert actor is not None
        assert reason is not None
        assert self.nursery is not None
        for child in self.children_in_order():
            child.stop(f"its parent {self.path} stops", because=reason)
            await child.over()
        if self.settings.has_stopped and not await self._hook(host, lambda: actor.stopped(reason)):
            return
        if self.machine is not None:
            self.machine.end()
            await self.machine.wound_down()
        if not self.turn.gate & KILLED:
            self.turn.gate |= KILLED  # from here on nothing new is started, and this is no kill
            self.engine.ends(self, self.settings.shutdown_s)
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
            if isinstance(rest, NoMoreMail) or self._is_interruption(rest):
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
            self.wake_bare()
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

    def quiet(self) -> None:
        """No handler runs or waits: wind down if all is handled that will be, or be paused."""
        turn = self.turn
        if turn.gate & (STARTING | BY_HAND | KILLED):
            return
        if self.phase is Phase.DRAINING:
            if turn.gate & HALTED or not self.inbox.queue:
                turn.tells_quiet = False
                turn.gate |= EXITING
                self.wake_host()
        else:
            turn.tells_quiet = False
            if turn.gate & PAUSED:
                self.open_lane().has_paused()

    def wake_host(self) -> None:
        """The turn, which is free, is for the host: it has something to look after."""
        host = self.host
        assert self.turn.free
        self.turn.take()
        if host is None:
            self.wake_bare()
            return
        assert host.is_parked()
        host.state = RUNNING
        if host in self.turn.idle:  # else it is about to park, and sees that it need not
            self.turn.idle.remove(host)
            reschedule(host.task)

    def handler_raised(self, error: BaseException, ask: Ask[object] | None, entry: object) -> bool:
        """A handler raised what is no `Refusal`: the actor fails, or is being cancelled (A9)."""
        cancelled, rest = split_cancelled(error)
        if isinstance(rest, NoMoreMail) or self._is_interruption(rest):
            self._let_down(ask, entry)  # what it waited for could never come any more
            return True
        if rest is None:
            self.cancelled()
            self._let_down(ask, entry)
        elif isinstance(rest, Exception):
            if ask is not None:
                ask.fail(ActorFailed(self.path, rest))
            else:
                self._bury(entry, f"its handler raised {told(rest)}")
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
            ask.fail(self.end_error())
        else:
            self._bury(entry, f"its handler was cancelled: {self.reason}")

    def why_lost(self, error: BaseException) -> str:
        """What is said of a message whose handler raised `error`."""
        rest = split_cancelled(error)[1]
        if rest is None or isinstance(rest, NoMoreMail) or self._is_interruption(rest):
            return f"its handler was cancelled: {self.reason}"
        return f"its handler raised {told(rest)}"

    def _bury(self, entry: object, why: str) -> None:
        """A told message will not be handled."""
        if entry is not NO_ENTRY:
            self.engine.dead_letter(self.path, message_of(entry), why)

    def _is_interruption(self, error: BaseException | None) -> bool:
        """Whether `error` is what a halted actor interrupts its handlers with."""
        return bool(self.turn.gate & HALTED) and isinstance(error, ActorStopped) and error.path == self.path

    def end_error(self) -> ActorStopped:
        """What those are told who wait for something of this incarnation."""
        reason = self.reason
        assert reason is not None
        if reason.cause is not None:
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

    def period_of(self, state: BaseState) -> Period:
        """The present activation of a state of its machine.

        Raises:
            NotActive: the state is not active.
            NotStarted: there is no machine.
        """
        if self.machine is None:
            why = "has ended" if self.actor is None else "has no machine: give its class `states=`"
            raise NotStarted(f"{self.path} {why}, so nothing can belong to {state!r}")
        return self.machine.activation(state)

    def period_here(self) -> Period | None:
        """The activation that what the present task starts belongs to; None if to none."""
        holder = home_of(current_task())
        return None if holder is None else holder.period(self)

    def promise(self) -> Promise[T]:
        """A promise that fails when this incarnation ends before it is completed."""
        promise: Promise[T] = Promise(self.engine)
        if self.phase in ENDED or self.actor is None:
            promise._settle(ERROR, self.end_error())
            return promise
        if self.promises is None:
            self.promises = Made()
        self.promises.add(promise)
        return promise

    def beside(self, afn: Callable[[], Awaitable[None]], name: str) -> None:
        """Run `afn` beside the handlers until it returns or the actor ends; its error fails the actor."""
        nursery = self.io_nursery
        if nursery is not None:
            self.base.run(functools.partial(nursery.start_soon, afn, name=f"{self.path}: {name}"))

    # -- what is wanted from outside (S6) ------------------------------------------------------------------------

    @property
    def is_paused_wanted(self) -> bool:
        """Whether it is to be paused, whatever it does at the moment."""
        return self.lane is not None and self.lane.paused

    def open_lane(self) -> Lane:
        """Its lane, made on first use."""
        if self.lane is None:
            self.lane = Lane(self.engine, self)
        return self.lane

    def open_account(self) -> Account:
        """Its account, made on first use; from now on messages are accounted for."""
        if self.account is None:
            self.account = Account(self.inbox, self.settings.redeliver_max, self.settings.stash_max)
        self.turn.account = self.account
        self.turn.gate |= COUNTED
        return self.account

    def step_taken(self) -> None:
        """One of the messages that it may handle has been taken."""
        self.open_lane().step_taken()

    async def boundary(self) -> None:
        """A `run()` that is paused waits here until it is resumed."""
        await self.open_lane().boundary()

    # -- what the place decides ----------------------------------------------------------------------------------

    def children_in_order(self) -> tuple[Child, ...]:
        """The children, in the order in which they are to be stopped."""
        raise NotImplementedError

    def follow(self, event: Event) -> None:
        """Its phase changes here and nowhere else, by the table."""
        raise NotImplementedError

    def stop(self, why: str = "", grace_s: float | None = None, because: Reason | None = None) -> None:
        """Begin to stop."""
        raise NotImplementedError

    def fail(self, error: Exception) -> None:
        """`error` ends this incarnation."""
        raise NotImplementedError

    def cancelled(self) -> None:
        """Something of this actor has seen a cancellation that came from outside of its handlers."""
        raise NotImplementedError

    def has_ended(self) -> None:
        """Nothing of this incarnation runs any more."""
        raise NotImplementedError
