"""The words that a turn, its workers and its owner share: why no message is taken, what a worker does, who is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Final, Protocol

from histrio_kernel.account import Account
from histrio_kernel.asks import Ask

__all__ = [
    "BY_HAND",
    "COUNTED",
    "EXITING",
    "FULL",
    "GONE",
    "HALTED",
    "HEARD",
    "IDLE",
    "KILLED",
    "PAUSED",
    "READY",
    "RUNNING",
    "SELECTING",
    "SHUT",
    "STARTING",
    "WAITING",
    "Handler",
    "Owner",
    "Tracked",
]

Handler = Callable[[object, object], Awaitable[object]]
"""A message handler, unbound: it is called with the actor and the message."""

# Why no message is taken at present; bits of `Turn.gate`.
STARTING: Final = 1
KILLED: Final = 2
EXITING: Final = 4
FULL: Final = 8
SELECTING: Final = 16
BY_HAND: Final = 32
"""The actor takes its messages itself, in `run()`."""
HEARD: Final = 64
"""Signals are heard: messages are taken, by the slow way."""
PAUSED: Final = 128
HALTED: Final = 256
"""The incarnation ends now; what waits in the inbox is for the next one."""
COUNTED: Final = 512
"""Messages are taken by the slow way, because each is accounted for: steps, redelivery, a stash, another behaviour."""
SHUT: Final = STARTING | KILLED | EXITING | FULL | SELECTING | BY_HAND | PAUSED | HALTED

RUNNING: Final = "running"
WAITING: Final = "waiting"
READY: Final = "ready"
IDLE: Final = "idle"
GONE: Final = "gone"


class Owner(Protocol):
    """What a turn needs from the life of its actor."""

    base: Context

    def start_worker(self) -> None:
        """Start one more worker; it begins RUNNING."""
        ...

    def handler_raised(self, error: BaseException, ask: Ask[object] | None, entry: object) -> bool:
        """A handler raised what is no `Refusal`. True if the actor lives on all the same."""
        ...

    def why_lost(self, error: BaseException) -> str:
        """What is said of a message whose handler raised `error`."""
        ...

    def cancelled(self) -> None:
        """The actor is being cancelled from outside."""
        ...

    def retire_spares(self) -> None:
        """Nobody has used the actor lately."""
        ...

    def open_account(self) -> Account:
        """Where messages in hand are accounted for, made on first use."""
        ...

    def step_taken(self) -> None:
        """One of the messages that a paused actor may take has been taken."""
        ...

    async def boundary(self) -> None:
        """Wait until the actor is not paused any more."""
        ...

    def quiet(self) -> None:
        """The owner wanted to be told: no handler runs or waits, and the turn is free."""
        ...


class Tracked(Protocol):
    """A future that its handler has to see the end of (F4)."""

    _state: int

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        ...

    def lost_error(self) -> BaseException | None:
        """The error that nobody has looked at, if there is one."""
        ...

    def hand_over(self) -> None:
        """The handler cannot see its end; the actor does."""
        ...
