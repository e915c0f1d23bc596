"""A process waits for the end of a future without looking at its outcome: that is for its next advance."""

from __future__ import annotations

from typing import Final, final

from histrio_kernel.futures import PENDING, VALUE, Future, Waiter

__all__ = ["Over"]


@final
class Over(Future[None], Waiter):
    """The end of a future that is pending, whatever its outcome.

    Whoever gives this up gives the future up too, as if it had been awaited itself: an operation is cancelled with its
    last awaiter, a queued ask is withdrawn, a promise does not care. But an error has not been looked at. It is never
    the mail of the process that waits, which takes none.
    """

    __slots__ = ("_of",)

    is_leaf = False

    def __init__(self, of: Future[object]) -> None:
        super().__init__(of._world)
        self._of: Final = of
        of._attach(self)

    def settled(self, future: Future[object]) -> None:
        """The future is over."""
        if self._state == PENDING:
            self._settle(VALUE, None)

    def _abandon(self, waiter: Waiter) -> bool:
        if not self._of._abandon(self):
            return False  # it has been asked to end, and this ends with it
        self._detach(waiter)
        return True

    def _about(self) -> str:
        return f"of {self._of!r}"
