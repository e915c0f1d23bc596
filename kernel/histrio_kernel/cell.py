"""One actor's life: it starts, handles messages, has children, stops or fails, and ends; here and nowhere else.

An incarnation has ended when its nursery has: when no handler, operation or child of it runs any more (A10). What comes
then, its parent decides: the end, or another incarnation. The phase changes only by the table in `lifecycle`.
"""

# Design note
# -----------
# A cell is a *place* in the tree: its path, inbox, stash, monitors and watchers live through restarts (S3). What has a
# turn, a nursery, operations, children and an actor object is an *incarnation*, see there; a restart makes all of that
# anew. Between two incarnations there is no task; one that begins at once has that of the one before.
#
# Stopping goes in phases: intake is closed, the inbox drained, children are stopped from the last to the first,
# `stopped()` runs, and then the nursery is cancelled, which ends what runs in the background. The deadline of all that
# is the deadline of the nursery's own cancel scope, so it needs no task. To *halt* is the same, but what waits in the
# inbox is kept for the next incarnation, and handlers that wait are interrupted: what they wait for may be the very
# sibling that is to be restarted together with this one.
#
# Killing is cancelling that scope. Workers unwind one after the other, each with the turn.
#
# A cell knows its parent and its children as `Parent` and `Cell`; how a supervisor decides, and who else lives in the
# system, it does not know.

from __future__ import annotations

from typing import NoReturn, Protocol, final

import attrs
import trio
from trio.lowlevel import enable_ki_protection

from histrio_kernel.engine import Engine
from histrio_kernel.errors import ActorFailed, ActorStopped, Down, End, FutureCancelled, NoMoreMail, Reason
from histrio_kernel.futures import ERROR, PENDING, VALUE, Future, Promise
from histrio_kernel.gate import HALTED, KILLED
from histrio_kernel.inbox import Inbox
from histrio_kernel.incarnation import NO_CONTEXT, Incarnation
from histrio_kernel.lifecycle import ENDED, Event, Phase, follow
from histrio_kernel.settings import Settings
from histrio_kernel.signals import Kind

__all__ = ["Cell", "Guardian", "Parent"]


class Keeper(Protocol):
    """Whoever decides what becomes of children whose incarnation has ended."""

    def keeps(self, child: Cell) -> bool:
        """Whether `child`, which is ending, may live again: then its inbox stays open, and its place is kept."""
        ...

    def child_over(self, child: Cell, failure: ActorFailed | None) -> None:
        """Nothing of this incarnation of `child` runs any more; its phase tells whether it was kept."""
        ...


class Guardian(Keeper, Protocol):
    """Who decides for a cell: the supervisor that is its behaviour."""

    def closes(self) -> None:
        """The cell begins to end: from here on no child of it lives again. May be called more than once."""
        ...


class Parent(Keeper, Protocol):
    """Whoever an actor is a child of: another cell, or the system."""

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        ...

    @property
    def reason(self) -> Reason | None:
        """Why it ends, if it does."""
        ...


@final
class Cell(Incarnation):
    """The kernel's side of one place in the tree. The front door's `Actor` is the behaviour of an incarnation."""

    __slots__ = ("announced", "born", "children", "ended", "guardian", "last_failure", "name", "parent")

    parent: Parent
    name: str
    last_failure: Exception | None
    ended: Promise[None] | None
    announced: bool
    children: dict[str, Cell] | None
    born: dict[str, int] | None
    guardian: Guardian | None

    def __init__(self, engine: Engine, parent: Parent, path: str, name: str, settings: Settings, actor: object) -> None:
        self.engine = engine
        self.parent = parent
        self.path = path
        self.name = name
        self.settings = settings
        self.base = NO_CONTEXT
        self.phase = Phase.STARTING
        self.incarnation = 1
        self.announced = self.can_go_on = False
        # One statement, because every spawn pays for it.
        self.last_failure = self.ended = self.children = self.born = self.guardian = self.lane = self.account = (
            self.machine
        ) = None
        self.inbox = Inbox(engine, path, settings.policy)
        self.begin(actor)

    # -- ending --------------------------------------------------------------------------------------------------

    @enable_ki_protection
    def stop(self, why: str = "", grace_s: float | None = None, because: Reason | None = None) -> None:
        """Close intake, drain, stop children, run `stopped()`, end; what takes longer than `grace_s` is cancelled.

        Idempotent; a second call can only shorten the time. A pause ends. Not a checkpoint.
        """
        if self.phase in ENDED:
            return
        if self.phase is Phase.RESTARTING:
            self.engine.signals.emit(self.path, Kind.CONTROL, "stop")
            self._rest_over(Reason(End.STOPPED, why, because=because))
            return
        self._stopping(Reason(End.STOPPED, why, because=because), grace_s)
        if self.lane is not None:
            self.lane.end_pause()
        if self.phase is Phase.DRAINING:
            assert self.reason is not None
            self.inbox.close(self.reason)
            self.inbox.refuse_line()
            self.turn.gate &= ~HALTED  # if it was being halted: there will be no other incarnation to keep mail for
            self.turn.drain()

    @enable_ki_protection
    def halt(self, why: str, because: Reason | None) -> None:
        """End this incarnation in order, for another one: what waits in the inbox is kept, and a pause too.

        Handlers that wait are interrupted by `ActorStopped`; children are stopped, and `stopped()` runs. One that is
        still starting is killed. Idempotent. Not a checkpoint.
        """
        if self.phase in ENDED or self.phase is Phase.RESTARTING:
            return
        if self.phase is Phase.STARTING:
            self.kill(why)
            return
        cause = None if because is None else because.cause
        self._stopping(Reason(End.STOPPED, why, cause, because), None)
        if self.phase is Phase.DRAINING and not self.turn.gate & HALTED:
            self.turn.close_gate(HALTED)
            self.inbox.end_selection(ERROR, NoMoreMail())
            if self.lane is not None:
                self.lane.release()
            self.turn.interrupt(self._raise_interruption)
            self.turn.tell_when_quiet()

    def _stopping(self, reason: Reason, grace_s: float | None) -> None:
        """Begin to stop, or shorten the time that it may take."""
        self.follow(Event.STOP)
        if self.reason is None:
            self.engine.signals.emit(self.path, Kind.CONTROL, "stop")
            self.reason = reason
            self.deadline = trio.current_time() + (self.settings.shutdown_s if grace_s is None else grace_s)
            if self.guardian is not None:
                self.guardian.closes()
        elif grace_s is not None:
            self.deadline = min(self.deadline, trio.current_time() + grace_s)
        self.engine.ends(self, self.deadline - trio.current_time() + self.settings.shutdown_s)
        self._set_deadline()

    def _raise_interruption(self) -> NoReturn:
        assert self.reason is not None
        raise ActorStopped(self.path, self.reason, "this wait is over")

    def _set_deadline(self) -> None:
        if self.nursery is not None and self.phase in (Phase.DRAINING, Phase.STOPPING):
            self.nursery.cancel_scope.deadline = self.deadline

    @enable_ki_protection
    def kill(self, why: str = "") -> None:
        """Cancel everything of this actor; it ends when that has unwound. Idempotent. Not a checkpoint."""
        if self.phase is Phase.RESTARTING:
            self.engine.signals.emit(self.path, Kind.CONTROL, "kill")
            self._rest_over(Reason(End.KILLED, why))
            return
        if self.phase in ENDED or self.turn.gate & KILLED:
            return
        self.engine.signals.emit(self.path, Kind.CONTROL, "kill")
        self.follow(Event.KILL)
        self.reason = Reason(End.KILLED, why)
        self._cancel()

    @enable_ki_protection
    def fail(self, error: Exception) -> None:
        """`error` ends this incarnation. Of several the first is the reason, and none is lost."""
        if self.phase in ENDED:
            return
        if isinstance(error, FutureCancelled) and self.nursery is not None and self.nursery.cancel_scope.cancel_called:
            self.cancelled()  # a consequence: what it awaited under a shield was cancelled with it
            return
        if self.failures is None:
            self.failures = []
        elif isinstance(error, ActorStopped) and error.path == self.path:
            return  # a consequence: another handler awaited an answer of this very actor
        self.follow(Event.FAIL)
        self.failures.append(error)
        if len(self.failures) == 1:
            self.reason = Reason(End.FAILED, cause=error)
            self.last_failure = error
        self.engine.signals.emit(self.path, Kind.CRASH, error)
        self._cancel()

    @enable_ki_protection
    def cancelled(self) -> None:
        """Something of this actor has seen a cancellation that came from outside of its handlers."""
        own = self.nursery is not None and self.nursery.cancel_scope.cancel_called
        if not own and isinstance(self.parent, Cell) and not self.turn.gate & KILLED:
            self.parent.cancelled()  # it comes from there, so the reason does; whoever hears of it first
        if self.turn.gate & KILLED:
            return
        stopping = self.phase in (Phase.DRAINING, Phase.STOPPING)
        self.follow(Event.KILL)
        if stopping and trio.current_time() >= self.deadline:
            self.reason = Reason(End.KILLED, "it had not stopped at its deadline, see shutdown_s", because=self.reason)
        elif self.parent.reason is not None:
            self.reason = Reason(End.CANCELLED, f"its parent {self.parent.path} ended", because=self.parent.reason)
        else:
            self.reason = Reason(End.CANCELLED, "the scope around it was cancelled")
        self._cancel()

    def _cancel(self) -> None:
        self.turn.close_gate(KILLED)
        assert self.reason is not None
        if self.guardian is not None:
            self.guardian.closes()
        if not self.parent.keeps(self):
            self.inbox.close(self.reason)  # the line is told at the end: who stands in it may be cancelled with us
        if self.bare is not None:  # nothing else of it runs, so nothing of it is to be looked after
            assert self.turn.free
            self.turn.free = self.inbox.hungry = False
            self.wake_bare()
            return
        self.is_to_end()
        for child in (self.children or {}).values():
            child.is_to_end()  # one that shields itself hears nothing of it
        if self.nursery is not None:
            self.nursery.cancel_scope.cancel()

    def is_to_end(self) -> None:
        """It is cancelled, or what is around it is: if it has not ended in a while, somebody should know."""
        if self.phase not in ENDED and self.phase is not Phase.RESTARTING:
            self.engine.ends(self, self.settings.shutdown_s)

    @enable_ki_protection
    def has_ended(self) -> None:
        """Nothing of this incarnation runs any more: tell everybody who waits for it, and let go of its objects."""
        if not self.turn.gate & KILLED:
            self.cancelled()
        reason = self.reason
        assert reason is not None
        if reason.end is End.STOPPED and self.result is not None:
            self.reason = reason = attrs.evolve(reason, result=self.result)
        self.engine.has_ended(self)
        for child in tuple((self.children or {}).values()):  # those that had no task: they waited for a restart
            child.give_up(Reason(End.CANCELLED, f"its parent {self.path} ended", because=reason))
        kept = self.parent.keeps(self)
        self.follow(Event.KEPT if kept else Event.ENDED)
        if self.io is not None:
            self.io.close()
        if self.machine is not None:
            self.machine.end()
        # What is made from here on ends at once.
        self.turn.actor = self.actor = self.host = self.nursery = self.machine = None
        if self.turn.watched:
            self.engine.awake.pop(self.turn, None)
        self._answer()
        if kept and self.account is not None:
            self.account.redeliver()
        self.engine.signals.emit(self.path, Kind.STOP, reason)
        if not kept:
            self._close(reason)
        failure = self.failure()
        told_spawner = self._tell_spawner(failure)
        if self.lane is not None:
            self.lane.incarnation_over(self.phase, self.end_error)
        self.parent.child_over(self, None if told_spawner else failure)
        if not kept:
            self._announce(reason)

    def _answer(self) -> None:
        """Who waits for an answer or a promise of this incarnation gets none."""
        for ask in self.turn.owed or ():
            ask.fail(self.end_error())
        if self.promises is not None:
            self.promises.settle(ERROR, self.end_error())

    def _tell_spawner(self, failure: ActorFailed | None) -> bool:
        """A failure to start is told to whoever waits for the start, only; whether somebody does."""
        started = self.started
        if started is None or started._state != PENDING:
            return False
        waited_for = started._waiter is not None
        started._settle(ERROR, failure or self.end_error())
        return waited_for and failure is not None

    def _close(self, reason: Reason) -> None:
        """There will be no other incarnation: answer every queued ask, bury what was only told (A10)."""
        self.inbox.finish(reason)
        if self.account is not None:
            self.account.bury(f"never handled: {reason}")
        self.engine.signals.forget(self.path)

    def _announce(self, reason: Reason) -> None:
        """The actor has ended for good, and so has its subtree."""
        self.announced = True
        if self.ended is not None:
            self.ended._settle(VALUE, None)
        if self.lane is not None:
            self.lane.ended(Down(self.path, reason, self.incarnation))

    # -- the next incarnation ------------------------------------------------------------------------------------

    @enable_ki_protection
    def restart(self, nursery: trio.Nursery, actor: object) -> None:
        """Begin another incarnation with this `actor`, in the nursery of the parent. Not a checkpoint."""
        assert self.phase is Phase.RESTARTING
        self.follow(Event.RESTART)
        because = self.reason
        self.incarnation += 1
        self.inbox.incarnation = self.incarnation
        self.engine.signals.reborn(self.path, self.incarnation)
        self.children = self.born = self.guardian = None
        self.begin(actor)
        self.engine.signals.emit(self.path, Kind.RESTART, because)
        if self.inbox.closed is not None:
            self.inbox.reopen()
        self.base.run(self.start, nursery)

    def _rest_over(self, reason: Reason) -> None:
        """It is stopped or killed while it waits for its next incarnation: one that would live again lives again."""
        before, self.reason = self.reason, reason
        kept = self.parent.keeps(self)
        self.reason = before
        if not kept:
            self.give_up(reason)

    @enable_ki_protection
    def give_up(self, reason: Reason) -> None:
        """There will be no other incarnation after all. Not a checkpoint."""
        assert self.phase is Phase.RESTARTING
        self.reason = reason = attrs.evolve(reason, cause=reason.cause or self._last_cause())
        self.follow({End.STOPPED: Event.STOP, End.FAILED: Event.FAIL}.get(reason.end, Event.KILL))
        self._close(reason)
        if self.lane is not None:
            self.lane.incarnation_over(self.phase, self.end_error)
        self.parent.child_over(self, None)
        self._announce(reason)

    def _last_cause(self) -> BaseException | None:
        return None if self.reason is None else self.reason.cause

    def failure(self) -> ActorFailed | None:
        """The error that this incarnation ended by, with all causes."""
        if not self.failures:
            return None
        if len(self.failures) == 1:
            return ActorFailed(self.path, self.failures[0])
        return ActorFailed(self.path, BaseExceptionGroup(f"{len(self.failures)} errors in {self.path}", self.failures))

    def over(self) -> Future[None]:
        """Completes when the actor has ended for good, in whatever way."""
        if self.ended is None:
            self.ended = Promise(self.engine)
            if self.announced:
                self.ended._settle(VALUE, None)
        return self.ended

    # -- children ------------------------------------------------------------------------------------------------

    def children_in_order(self) -> tuple[Cell, ...]:
        """The children, from the last to the first: whoever came later may depend on who came before."""
        return tuple(reversed((self.children or {}).values()))

    def keeps(self, child: Cell) -> bool:
        """Without a guardian no child lives again."""
        return self.guardian is not None and self.guardian.keeps(child)

    def child_over(self, child: Cell, failure: ActorFailed | None) -> None:
        """Forget a child that has ended. Without a guardian its failure is its parent's."""
        if child.phase in ENDED and self.children is not None:
            del self.children[child.name]
        if self.guardian is not None:
            self.guardian.child_over(child, failure)
        elif failure is not None:
            self.fail(failure)

    # ------------------------------------------------------------------------------------------------------------

    def follow(self, event: Event) -> None:
        """Its phase changes here and nowhere else, by the table."""
        before, self.phase = self.phase, follow(self.phase, event)
        if self.lane is not None and self.phase is not before:
            self.lane.moved(self.phase)
