"""An ask is a message with somebody who waits for its reply: one object, one reschedule each way (F7, F8)."""

# Design note
# -----------
# An ask belongs to whoever awaits it. Its handler is never cancelled by the asker: a queued ask is withdrawn, of one
# that has begun only the reply is dropped. An error that nobody ever looks at is no failure of the asker, but it is
# not lost either: the guard that holds it becomes a dead letter when it is collected.

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Protocol, TypeVar

from histrio_kernel.errors import Reason, told
from histrio_kernel.futures import CANCELLED, ERROR, PENDING, VALUE, Future, Waiter, World
from histrio_kernel.signals import Kind, Signals

__all__ = ["Ask", "Mailbox", "Post"]

R = TypeVar("R")


class Post(World, Protocol):
    """What an inbox needs of the system."""

    @property
    def signals(self) -> Signals:
        """Who listens."""
        ...

    def dead_letter(self, path: str, message: object, why: str) -> None:
        """Keep a message that was accepted and never handled."""
        ...


class Mailbox(Protocol):
    """What an ask needs of the inbox that it was sent to."""

    replies_dropped: int
    closed: Reason | None

    @property
    def path(self) -> str:
        """Whose inbox it is."""
        ...

    @property
    def engine(self) -> Post:
        """The system."""
        ...

    def withdraw(self, ask: Ask[Any]) -> None:
        """A queued or standing ask is not wanted any more."""
        ...


class Ask(Future[R]):
    """A message with somebody who waits for its reply. It belongs to whoever awaits it (F8)."""

    __slots__ = ("begun", "inbox", "message")

    def __init__(self, inbox: Mailbox, message: object) -> None:
        self._world = inbox.engine  # what Future.__init__ does, without the call: there is one for each ask
        self._state = PENDING
        self._waiter = None
        self.inbox: Final = inbox
        self.message: Final = message
        self.begun = False

    def _request_cancel(self) -> None:
        self._settle(CANCELLED, None)
        if not self.begun:
            self.inbox.withdraw(self)

    def _abandon(self, waiter: Waiter) -> bool:
        last = self._alone(waiter)
        self._detach(waiter)
        if last:
            self._request_cancel()
        return True

    def _may_tie(self) -> bool:
        return False  # as a loser an ask ends at once (F8)

    def _waits_for_mail(self, inbox: object, in_hand: Collection[object]) -> bool:
        return self.inbox is inbox and (not self.begun or self in in_hand)

    def reply(self, value: object) -> None:
        """Answer the asker; if nobody waits any more, the reply is counted and dropped."""
        if self._state == PENDING:
            self._settle(VALUE, value)
        else:
            self.inbox.replies_dropped += 1

    def fail(self, error: BaseException) -> None:
        """Answer the asker with an error. One that is never looked at becomes a dead letter (F8)."""
        if self._state != PENDING:
            self.inbox.replies_dropped += 1
            return
        self._settle(ERROR, error)
        self._result = _Unretrieved(self, error)

    def _see(self) -> None:
        if type(self._result) is _Unretrieved:
            self._result = self._result.take()

    def _error(self) -> BaseException:
        return self._result.error if type(self._result) is _Unretrieved else super()._error()

    def _about(self) -> str:
        return f"to {self.inbox.path}"


class _Unretrieved:
    """The error of an ask that nobody awaited when it was answered; collected as such, it becomes a dead letter."""

    __slots__ = ("error", "inbox", "message", "taken")

    def __init__(self, ask: Ask[Any], error: BaseException) -> None:
        self.inbox: Final = ask.inbox
        self.message: Final = ask.message
        self.error: Final = error
        self.taken = False

    def take(self) -> BaseException:
        """Somebody looks at the error, so it is not lost."""
        self.taken = True
        return self.error

    def __del__(self) -> None:
        """Nobody did, and nobody can any more."""
        if not self.taken:
            why = f"nobody awaited its answer, which was {told(self.error)}"
            self.inbox.engine.dead_letter(self.inbox.path, self.message, why)
            if self.inbox.closed is None:  # else STOP was its actor's last signal
                self.inbox.engine.signals.emit(self.inbox.path, Kind.DROP, self.message)
