"""What an actor has promised is kept track of for as long as somebody has it, and no longer."""

from __future__ import annotations

from typing import Any, Final, final
from weakref import ReferenceType

from histrio_kernel.futures import Promise

__all__ = ["Made"]


@final
class Made:
    """Promises that somebody else will complete or end; those that nobody has any more are forgotten.

    They are held weakly and swept at every doubling, so adding one costs next to nothing.
    """

    __slots__ = ("_known", "_room")

    def __init__(self) -> None:
        self._known: list[ReferenceType[Promise[Any]]] = []
        self._room = 16

    def add(self, promise: Promise[Any]) -> None:
        """Keep track of `promise`."""
        if len(self._known) >= self._room:
            pending = self.pending()
            self._known = [ReferenceType(one) for one in pending]
            self._room = 2 * len(pending) + 16
        self._known.append(ReferenceType(promise))

    def pending(self) -> list[Promise[Any]]:
        """Those without an outcome that somebody has, in the order of making."""
        made = [known() for known in self._known]
        return [one for one in made if one is not None and not one.is_done]

    def settle(self, state: int, result: object) -> None:
        """Give all that are pending this outcome."""
        known: Final = self._known
        self._known = []
        for reference in known:  # one after the other: who hears of one may complete another
            promise = reference()
            if promise is not None and not promise.is_done:
                promise._settle(state, result)
