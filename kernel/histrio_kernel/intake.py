"""How a behaviour that takes its messages itself, in `run()`, takes whatever comes, as cheaply as if it had handlers."""

from __future__ import annotations

from typing import Any, Final, final

from trio.lowlevel import Abort, enable_ki_protection, reschedule

from histrio_kernel.entries import NO_ENTRY, ask_of, message_of
from histrio_kernel.errors import NoMoreMail
from histrio_kernel.gate import BY_HAND, COUNTED, HALTED, HEARD, IDLE, PAUSED, RUNNING
from histrio_kernel.handling import begin_delivery, finish_delivery
from histrio_kernel.parking import RaiseCancel, again, request
from histrio_kernel.signals import Kind
from histrio_kernel.turn import Worker

__all__ = ["Intake"]


@final
class Intake:
    """Takes whatever comes into the inbox of a `run()`, and can be told that something else has come (A12).

    What `select` does of any message, for a behaviour that does nothing else: it waits as any worker does that has no work,
    so a message costs what it costs an actor with handlers. An ask that was taken is answered by whoever took it; if it never
    is, by the end of the actor.

    Attributes:
        is_nudged: whether something else has come; whoever looks after it sets it back.
        request: what to be parked by where `rests` may be called.
    """

    __slots__ = ("_is_cancelled", "_is_resting", "_worker", "is_nudged", "request")

    def __init__(self, worker: Worker) -> None:
        self._worker: Final = worker
        self.is_nudged = False
        self.request: Any = request(self._abort)
        self._is_resting = self._is_cancelled = False

    @enable_ki_protection
    def nudge(self) -> None:
        """Something else has come: who waits in `next` gets `NO_ENTRY`."""
        self.is_nudged = True
        worker = self._worker
        turn = worker.turn
        if worker.state is IDLE:
            turn.take()
            turn.idle.remove(worker)
            worker.state = RUNNING
            reschedule(worker.task)

    def at_once(self) -> object:
        """The next entry, if it can be had without a wait; else `NO_ENTRY`."""
        worker = self._worker
        turn = worker.turn
        inbox = turn.inbox
        if worker.delivery is not None and turn.account is not None:
            finish_delivery(worker, turn.account)  # who asks for the next message has handled the last one
        if not turn.gate & (PAUSED | HALTED):
            while inbox.queue:
                entry = inbox.open_entry(inbox.queue.popleft())
                if inbox.line:
                    inbox.admit()
                if entry is not NO_ENTRY:
                    self._take_in_hand(entry)
                    return entry
        return NO_ENTRY

    @enable_ki_protection
    async def next(self) -> object:
        """The next entry, or `NO_ENTRY` if there is none and this is nudged.

        Raises:
            NoMoreMail: intake is closed, and nothing waits.
        """
        worker = self._worker
        turn = worker.turn
        while True:
            if turn.gate & PAUSED:
                await turn.owner.boundary()
            if turn.gate & HALTED:
                raise NoMoreMail
            entry = self.at_once()
            if entry is not NO_ENTRY:
                return entry
            if turn.inbox.closed is not None:
                raise NoMoreMail
            if self.is_nudged:
                return NO_ENTRY
            turn.inbox.open_queue()
            turn.gate &= ~BY_HAND  # a message wakes it, and the end of the actor
            try:
                worker.park()
                turn.release()
                if worker.is_parked():  # else the turn came back at once, to wind down
                    turn.idle.append(worker)
                    await again(worker.request)
            finally:
                turn.gate |= BY_HAND

    # -- waiting for mail where it has waited for something else -----------------------------------------------------

    def rests(self) -> bool:
        """What its task is parked for, by `request`, is over; if all that it would do now is to wait in `next`, it waits for
        that where it is, and this is True. Whoever goes on calls `goes_on` first.
        """
        worker = self._worker
        turn = worker.turn
        if turn.gate & ~COUNTED != BY_HAND or self._is_cancelled:
            return False
        if worker.delivery is not None and turn.account is not None:
            finish_delivery(worker, turn.account)
        self._is_resting = True
        turn.inbox.open_queue()
        turn.gate &= ~BY_HAND
        worker.park()
        turn.idle.append(worker)
        turn.release()  # wakes it at once if there is mail, or if it is to end
        return True

    def goes_on(self) -> None:
        """Its task is not parked by `request` any more."""
        self._is_cancelled = False
        if self._is_resting:
            self._is_resting = False
            self._worker.turn.gate |= BY_HAND

    def _abort(self, raise_cancel: RaiseCancel) -> Abort:
        self._is_cancelled = True  # Trio says so once; if that is too early, this goes on when its wait is over
        return self._worker.abort(raise_cancel)

    def _take_in_hand(self, entry: object) -> None:
        worker = self._worker
        turn = worker.turn
        ask, account = ask_of(entry), turn.account
        # What is told has an account, so that it is a dead letter if the actor fails with it in hand; who asks is answered.
        if ask is not None:
            turn.owe(ask)
        if ask is None or (account is not None and account.steps is not None):
            begin_delivery(worker, turn.owner.open_account(), entry)
        if turn.gate & HEARD:
            turn.engine.signals.emit(turn.inbox.path, Kind.RECEIVE, message_of(entry))
