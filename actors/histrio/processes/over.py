"""A process waits for the end of a future without looking at its outcome: that is for its next advance."""

from __future__ import annotations

from typing import final

from histrio_kernel.futures import Waiter
from histrio_kernel.over import Over

__all__ = ["WaitedFor"]


@final
class WaitedFor(Over):
    """The end of a future that a process waits for.

    Whoever gives this up gives the future up too, as if it had been awaited itself: an operation is cancelled with its
    last awaiter, a queued ask is withdrawn, a promise does not care. But an error has not been looked at. It is never
    the mail of the process that waits, which takes none.
    """

    __slots__ = ()

    def _abandon(self, waiter: Waiter) -> bool:
        if not self._of._abandon(self):
            return False  # it has been asked to end, and this ends with it
        self._detach(waiter)
        return True
