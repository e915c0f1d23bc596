"""At most one handler of an actor runs at any moment, and whoever has to wait gives the turn to another.

Invariant: the turn is free, or exactly one worker is RUNNING. User code of a handler runs only while its worker is
RUNNING, in `except` and `finally` too.
"""

# Design note
# -----------
# A handler runs natively in a Trio task, a *worker*, so cancel scopes, nurseries and context variables work in it.
# When it has to wait for something of ours, its worker gives the turn away and another worker of the same actor goes
# on (leader/followers). Driving the handler's coroutine by hand from one loop would be quicker to write and wrong: two
# handlers would interleave on one task's stack of cancel scopes (A4).
#
# There is no leader that sits in a `receive`. Whoever gives the turn up calls `release`, synchronously: after it
# somebody has the turn, or it is free and nobody could use it.
#
# States of a worker: RUNNING has the turn (also when woken and not yet stepped); WAITING for a future; READY, that wait
# is over and the worker stands in `ready`; IDLE parked without work; GONE.
#
# An `abort` always answers FAILED: a cancelled handler queues for the turn like any other, so its cleanup overlaps
# nobody. That ends, because every holder can itself be cancelled. Nothing is shielded and no scope is made per message.
#
# The turn is (free, gate): a bit of the gate that is set keeps new messages from being taken, for a reason of its own.

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar, final

from outcome import Error, capture
from trio.lowlevel import (
    Abort,
    Task,
    current_task,
    enable_ki_protection,
    reschedule,
)

from histrio_kernel.account import Account, Delivery
from histrio_kernel.asks import Ask
from histrio_kernel.engine import Engine
from histrio_kernel.errors import AskCycle, NoMoreMail, StaleState
from histrio_kernel.futures import CANCELLED, ERROR, HOLDERS, PENDING, VALUE, Future, Holder, PlainWait, RaiseCancel
from histrio_kernel.gate import (
    BY_HAND,
    FULL,
    GONE,
    HEARD,
    IDLE,
    READY,
    RUNNING,
    SHUT,
    STARTING,
    WAITING,
    Handler,
    Owner,
    Tracked,
)
from histrio_kernel.inbox import Inbox
from histrio_kernel.parking import request
from histrio_kernel.signals import Kind

__all__ = ["Turn", "Worker"]

T = TypeVar("T")


@final
class Turn:
    """The right to run one actor's code, and those who want it."""

    __slots__ = (
        "account",
        "actor",
        "behaviour",
        "engine",
        "free",
        "gate",
        "handlers",
        "holds_long",
        "idle",
        "in_flight_max",
        "inbox",
        "owed",
        "owner",
        "ready",
        "serial",
        "suspended",
        "tells_quiet",
        "touches",
        "watched",
    )

    def __init__(
        self,
        engine: Engine,
        owner: Owner,
        inbox: Inbox,
        actor: object,
        handlers: dict[type, Handler],
        serial: bool,
        in_flight_max: int,
        account: Account | None = None,
    ) -> None:
        self.account = account
        self.behaviour: Handler | None = None
        self.engine: Final = engine
        self.owner: Final = owner
        self.inbox: Final = inbox
        self.actor = actor
        self.handlers: Final = handlers
        self.serial: Final = serial
        self.in_flight_max: Final = in_flight_max
        self.free = False
        self.gate = STARTING
        self.ready: deque[Worker] | None = None
        self.idle: list[Worker] = []
        self.suspended = 0
        self.tells_quiet = False
        self.watched = False
        self.holds_long = False  # by intent: the watchdog is not told
        self.owed: dict[Ask[object], None] | None = None
        self.touches: dict[str, int] | None = None

    # -- passing the turn ----------------------------------------------------------------------------------------

    @enable_ki_protection
    def release(self) -> None:
        """The caller has just given the turn up; give it to whoever comes next."""
        if self.ready:
            self._grant(self.ready.popleft())
        elif self.inbox.queue and not self.gate & SHUT:
            if self.idle:
                worker = self.idle.pop()
                worker.state = RUNNING
                reschedule(worker.task)
            else:
                self.owner.start_worker()
        else:
            self.free = True
            self.inbox.hungry = not self.gate & SHUT
            if self.tells_quiet and not self.suspended:
                self.owner.quiet()

    @enable_ki_protection
    def kick(self) -> None:
        """Something has changed; if the turn is free, see whether somebody can use it now."""
        if self.free:
            assert not self.ready
            self.free = False  # `take`, without the call
            self.inbox.hungry = False
            if not self.watched:
                self.watch()
            self.release()

    def take(self) -> None:
        """A turn that was free is held from now on."""
        self.free = False
        self.inbox.hungry = False
        if not self.watched:
            self.watch()

    def watch(self) -> None:
        """Have it looked at from time to time, from now on and until it is free at such a look."""
        self.watched = True
        self.engine.watch(self)

    def _grant(self, worker: Worker) -> None:
        assert worker.state is READY
        if not worker.enters:  # a visitor that stands in line for the turn is no handler in flight
            self.suspended -= 1
            if self.gate & FULL and self.suspended < self.in_flight_max:
                self.gate &= ~FULL
        worker.state = RUNNING
        if worker.error is None:
            reschedule(worker.task)
        else:
            reschedule(worker.task, worker.error)

    def make_ready(self, worker: Worker) -> None:
        """The wait of `worker` is over; it gets the turn before new messages do, in the order of such calls (A2)."""
        assert worker.state is WAITING
        worker.state = READY
        if self.free:  # so nobody else is ready
            self.free = False  # `take`, without the call
            self.inbox.hungry = False
            if not self.watched:
                self.watch()
            self._grant(worker)
        else:
            if self.ready is None:
                self.ready = deque()
            self.ready.append(worker)

    def close_gate(self, bit: int) -> None:
        """Take no new message, for the reason that `bit` stands for."""
        self.gate |= bit
        self.inbox.hungry = False

    @enable_ki_protection
    def tell_when_quiet(self) -> None:
        """Tell the owner as soon as no handler runs or waits, and again each time until it wants no more."""
        self.tells_quiet = True
        if self.free and not self.suspended:
            self.owner.quiet()

    def open_gate(self, bits: int) -> None:
        """The reasons that `bits` stand for are gone; if no other is left, messages are taken again."""
        self.gate &= ~bits
        self.kick()

    def drain(self) -> None:
        """Intake has been closed: tell the owner when all that was accepted has been handled.

        A select that waits can never be met any more, so it ends.
        """
        self.tells_quiet = True
        self.inbox.end_selection(ERROR, NoMoreMail())
        self.kick()

    @enable_ki_protection
    def interrupt(self, raise_error: RaiseCancel) -> None:
        """End the waits of all handlers with an error; one that does not wait for something of ours is left alone."""
        for worker in [w for w in HOLDERS.values() if isinstance(w, Worker) and w.turn is self and not w.is_visitor]:
            worker.interrupt(raise_error)

    # -- waiting -------------------------------------------------------------------------------------------------

    def refuse_cycle(self, worker: Worker, future: Future[object]) -> None:
        """Refuse an await that only a further message of this very actor could end, if none can be taken (A6).

        Raises:
            AskCycle: the await can never end.
        """
        path = self.inbox.path
        if self.gate & (STARTING | BY_HAND) and future._waits_for_mail(self.inbox, ()):
            where = "started()" if self.gate & STARTING else "run()"
            raise AskCycle(
                f"{path} asks or tells itself in {where} and waits for it, but takes no message before {where} goes on."
                " Call the method directly, or use tell_first()"
            )
        if self.serial and future._waits_for_mail(self.inbox, ()):
            raise AskCycle(
                f"{path} is serial and asks itself: it would wait for its own answer, and take no message while it"
                " waits. Call the method directly, or make the actor not serial"
            )
        if not self.serial and self.suspended + 1 >= self.in_flight_max and self._nobody_can_go_on(worker, future):
            raise AskCycle(
                f"{path} may have {self.in_flight_max} handlers waiting, and all would wait for its own answers to"
                " messages that it cannot take any more. Raise in_flight_max, or do not ask yourself"
            )

    def _nobody_can_go_on(self, caller: Worker, future: Future[object]) -> bool:
        """Whether, with `caller` waiting for `future`, all wait for mail or for each other."""
        if self.ready:
            return False
        others = [w for w in HOLDERS.values() if isinstance(w, Worker) and w.turn is self and w.state is WAITING]
        in_hand = [w.asked for w in (caller, *others) if w.asked is not None]
        futures = (future, *(w.future for w in others if w.future is not None))
        return all(one._waits_for_mail(self.inbox, in_hand) for one in futures)

    def owe(self, ask: Ask[object]) -> None:
        """A handler has taken `ask` in hand; if it is never answered, the end of the actor answers it (A10)."""
        owed = self.owed
        if owed is None:
            owed = self.owed = {}
        elif not len(owed) & (len(owed) - 1):  # at every power of two, so that a long behaviour does not grow
            for one in tuple(owed):
                if one._state != PENDING:
                    del owed[one]
        owed[ask] = None

    # -- looking after it ----------------------------------------------------------------------------------------

    @enable_ki_protection
    def retire_spares(self) -> None:
        """Let the parked workers go, all but the actor's own task, when nobody is in flight (A5)."""
        if not self.free or self.suspended:
            return
        self.ready = None
        spares = [worker for worker in self.idle if not worker.is_host]
        self.idle[:] = [worker for worker in self.idle if worker.is_host]
        for worker in spares:
            worker.state = GONE
            reschedule(worker.task)

    def holder(self) -> Worker | None:
        """The worker that has the turn, if one has."""
        if self.free:
            return None
        workers = (w for w in HOLDERS.values() if isinstance(w, Worker) and w.turn is self and w.state is RUNNING)
        return next(workers, None)


@final
class Worker(Holder):
    """A Trio task that runs handlers of one actor, one after the other; or a visitor that borrows the turn (A17)."""

    __slots__ = (
        "asked",
        "delivery",
        "enters",
        "error",
        "future",
        "guards",
        "is_host",
        "is_visitor",
        "made",
        "raise_cancel",
        "request",
        "state",
        "task",
        "turn",
        "visits_from",
    )

    def __init__(
        self, turn: Turn, *, is_host: bool = False, is_visitor: bool = False, visits_from: Holder | None = None
    ) -> None:
        self.turn: Final = turn
        self.is_host: Final = is_host
        self.is_visitor: Final = is_visitor
        self.visits_from: Final = visits_from
        self.enters = False
        self.task: Task = current_task()
        self.state = RUNNING
        self.future: Future[object] | None = None
        self.error: Error | None = None
        self.raise_cancel: RaiseCancel | None = None
        self.made: Tracked | list[Tracked] | None = None
        self.guards: list[Callable[[], tuple[str, ...]]] | None = None
        self.asked: Ask[object] | None = None
        self.delivery: Delivery | None = None
        self.request = request(self.abort)
        HOLDERS[self.task] = self

    def moves_here(self) -> None:
        """It goes on in the task that calls, while the one that it was in is parked in what it cannot leave."""
        if HOLDERS.get(self.task) is self:
            del HOLDERS[self.task]
        self.task = current_task()
        HOLDERS[self.task] = self

    def works_for(self, owner: object) -> bool:
        """Whether that is its actor."""
        return self.turn.owner is owner

    def path(self) -> str:
        """Its actor's."""
        return self.turn.inbox.path

    # -- waiting with the turn given away ------------------------------------------------------------------------

    def gives_way(self, future: Future[object]) -> bool:
        """Other handlers of the actor run while this one waits for `future`."""
        turn = self.turn
        self.future = future
        if turn.serial:
            self._refuse_cycle(future)
            return False
        self.error = self.raise_cancel = None
        if turn.suspended + 1 >= turn.in_flight_max:
            self._refuse_cycle(future)
            turn.gate |= FULL
        elif turn.gate & (STARTING | BY_HAND):
            self._refuse_cycle(future)
        assert self.state is RUNNING
        self.state = WAITING
        turn.suspended += 1
        future._attach(self)
        turn.release()
        return True

    def resumed(self, future: Future[object]) -> None:
        """Tell of it, and look whether what the handler guards has moved."""
        assert self.state is RUNNING
        if self.turn.gate & HEARD:
            self.turn.engine.signals.emit(self.turn.inbox.path, Kind.RESUME, repr(future))
        if self.guards is not None and future._state == VALUE:
            self.check_guards()

    def _refuse_cycle(self, future: Future[object]) -> None:
        try:
            self.turn.refuse_cycle(self, future)
        except AskCycle:
            future.cancel()  # refused is not delivered
            raise

    def settled(self, future: Future[object]) -> None:
        """The wait is over; queue for the turn."""
        if self.raise_cancel is not None and future._state == CANCELLED:
            self.error = capture(self.raise_cancel)
        self.turn.make_ready(self)

    def abort(self, raise_cancel: RaiseCancel) -> Abort:
        """Cancelled while WAITING: queue for the turn. While READY: the outcome that came first is delivered."""
        if self.state is IDLE:
            return self.abort_parked(raise_cancel)
        if self.state is WAITING:
            future = self.future
            assert future is not None
            if future._state != PENDING:
                return Abort.FAILED
            self.raise_cancel = raise_cancel
            if future._abandon(self):
                self.error = capture(raise_cancel)
                self.turn.make_ready(self)
        return Abort.FAILED

    def interrupt(self, raise_error: RaiseCancel) -> None:
        """End the wait of this handler, if it waits, with the error that `raise_error` raises."""
        if self.state is WAITING:
            self.abort(raise_error)
        elif self.state is RUNNING and self.turn.serial and self.future is not None:
            waits = [w for w in self.future._waiters() if isinstance(w, PlainWait) and w.task is self.task]
            for wait in waits:
                if wait.abort(raise_error) is Abort.SUCCEEDED:
                    reschedule(self.task, capture(raise_error))

    # -- guards and what the handler made ------------------------------------------------------------------------

    def check_guards(self) -> None:
        """Raise `StaleState` if what a guard watches has moved while this handler waited (A7)."""
        moved = tuple(name for guard in self.guards or () for name in guard())
        if moved:
            raise StaleState(self.turn.inbox.path, tuple(dict.fromkeys(moved)))

    def track(self, made: Tracked) -> None:
        """The handler has made a future that has to end before its reply is sent (F4)."""
        before = self.made
        if before is None or (not isinstance(before, list) and before.is_done and before.lost_error() is None):
            self.made = made
        elif isinstance(before, list):
            if len(before) & (len(before) - 1) == 0:  # at every power of two, so that a long handler does not grow
                before[:] = [one for one in before if not one.is_done or one.lost_error() is not None]
            before.append(made)
        else:
            self.made = [before, made]

    def forget_made(self) -> bool:
        """Whether all that the handler made has ended with no error lost; then there is nothing more to see."""
        made = self.made
        if made is not None and not isinstance(made, list) and made._state == VALUE:
            self.made = None  # by far the most common
            return True
        if isinstance(made, list):
            if any(not one.is_done or one.lost_error() is not None for one in made):
                return False
        elif made is not None and (not made.is_done or made.lost_error() is not None):
            return False
        self.made = None
        return True

    # -- parking -------------------------------------------------------------------------------------------------

    def park(self) -> None:
        """There is no work: the caller gives the turn up, and parks unless it comes back at once."""
        self.state = IDLE
        self.future = None

    def is_parked(self) -> bool:
        """Whether it has no work."""
        return self.state is IDLE

    def is_gone(self) -> bool:
        """Whether it was let go while it was parked."""
        return self.state is GONE

    def abort_parked(self, raise_cancel: RaiseCancel) -> Abort:
        """An idle worker has no scope of its own, so its cancellation is the actor's."""
        if self.state is not IDLE:
            return Abort.FAILED
        self.turn.idle.remove(self)
        self.state = GONE
        self.turn.owner.cancelled()
        return Abort.SUCCEEDED

    @enable_ki_protection
    def leave(self) -> None:
        """This worker ends; if it has the turn, somebody else gets it."""
        had_turn = self.state is RUNNING
        self.vanish()
        if had_turn:
            self.turn.release()

    def vanish(self) -> None:
        """This worker ends, and has no turn to give."""
        self.state = GONE
        if self.visits_from is None:
            HOLDERS.pop(self.task, None)
        else:
            HOLDERS[self.task] = self.visits_from
