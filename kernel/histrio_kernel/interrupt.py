"""Ends a wait for a message from outside of the task that waits: what it waits for may come another way, too."""

from __future__ import annotations

from typing import final

from histrio_kernel.futures import ERROR, PENDING
from histrio_kernel.inbox import Selection

__all__ = ["Interrupt", "Interrupted"]


class Interrupted(Exception):
    """What `select` raises when its wait was ended."""


@final
class Interrupt:
    """Given to `select`, which does not wait while this is set.

    Attributes:
        is_set: whether it is; whoever waits sets it back.
    """

    __slots__ = ("_selection", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._selection: Selection | None = None

    def guards(self, selection: Selection) -> None:
        """This is what `set` ends."""
        self._selection = selection

    def set(self) -> None:
        """End the wait, or the next one."""
        self.is_set = True
        selection, self._selection = self._selection, None
        if selection is None or selection._state != PENDING:
            return
        error = Interrupted()
        if selection.inbox.selection is selection:
            selection.inbox.end_selection(ERROR, error)
        else:  # it is held, since the actor is paused
            selection._settle(ERROR, error)
