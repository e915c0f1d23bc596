"""What a mutation comes to: it was executed, it was canceled and why, or it waits and a ticket will tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, final

__all__ = ["EXECUTED", "Canceled", "Executed", "Queued", "Result", "Ticket"]


@final
class Executed:
    """The transition is over and was accepted. There is one, `EXECUTED`, and it is the only result that is true."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "EXECUTED"


EXECUTED: Final = Executed()


@final
class Canceled:
    """Nothing was mutated, or a final handler failed; `error` is what a handler raised, if one did. It is false."""

    __slots__ = ("error", "reason")

    def __init__(self, reason: str, error: BaseException | None = None) -> None:
        self.reason: Final = reason
        self.error: Final = error

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"CANCELED({self.reason!r})" if self.error is None else f"CANCELED({self.reason!r}, {self.error!r})"


@final
class Ticket:
    """The receipt of a queued mutation: it gets its result when the mutation's own transition is over."""

    __slots__ = ("_callbacks", "result")

    def __init__(self) -> None:
        self.result: Executed | Canceled | None = None
        """None while the mutation waits or runs."""
        self._callbacks: list[Callable[[Executed | Canceled], None]] = []

    def __repr__(self) -> str:
        return f"<Ticket: {'waiting' if self.result is None else self.result}>"

    def when_over(self, callback: Callable[[Executed | Canceled], None]) -> None:
        """Call `callback(result)` when it is over, now if it is. The callback must not raise."""
        if self.result is None:
            self._callbacks.append(callback)
        else:
            callback(self.result)

    def resolve(self, result: Executed | Canceled) -> None:
        """It is over; only the machine says so, once."""
        assert self.result is None, self
        self.result = result
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(result)


@final
class Queued:
    """The machine is in a transition, so the mutation waits for its turn.

    It is neither true nor false: ask `ticket.result` when the machine's queue has ended.
    """

    __slots__ = ("is_new", "ticket")

    def __init__(self, ticket: Ticket, is_new: bool = True) -> None:
        self.ticket: Final = ticket
        self.is_new: Final = is_new
        """False: the last mutation in the queue was the same, and this is its ticket."""

    def __bool__(self) -> bool:
        raise TypeError(
            "a mutation from inside a handler or tracer is queued, so it is not known yet whether it will be "
            "executed: look at `.ticket.result` after the transition, or compare with `is EXECUTED`"
        )

    def __repr__(self) -> str:
        return f"Queued({self.ticket})"


Result: TypeAlias = Executed | Canceled | Queued
"""What a mutation returns. Outside of handlers and tracers it is never `Queued`."""
