"""The end of a future, whatever its outcome, as a future of its own."""

from __future__ import annotations

from typing import Final

from histrio_kernel.futures import CANCELLED, PENDING, VALUE, Future, Waiter

__all__ = ["Over"]


class Over(Future[None], Waiter):
    """Completes when another future, which is pending, has ended. Looking at it does not count as awaiting that one."""

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
        self._of._detach(self)
        self._detach(waiter)
        self._settle(CANCELLED, None)
        return True

    def _about(self) -> str:
        return f"of {self._of!r}"
