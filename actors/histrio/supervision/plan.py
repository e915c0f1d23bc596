"""What a supervisor has still to do when several of its children are ended, or started again, together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, final

from histrio.supervision.kid import Kid

__all__ = ["Plan"]


@final
class Plan:
    """Whom to halt, from right to left; then whom to start, from left to right; what comes then.

    While it is not `due`, a backoff passes: those that are to be halted are, and nobody is started.
    """

    __slots__ = ("_to_halt", "call_off", "due", "first", "halt", "is_starting", "on_done", "start")

    def __init__(self, first: int, on_done: Callable[[], None] | None = None) -> None:
        self.first = first
        """The number of the leftmost child that it is about."""
        self.on_done: Final = on_done
        self.halt: Final[deque[Kid]] = deque()
        self.start: Final[deque[Kid]] = deque()
        self._to_halt: Final[set[Kid]] = set()  # the same as `halt`, to look one up: very many may end at once
        self.due = True
        self.call_off: Callable[[], None] | None = None
        self.is_starting = False
        """It has come to those that are to be started."""

    def widen(self, first: int, group: Iterable[Kid], *, restart: bool) -> None:
        """It is also about this `group`, from right to left, which is left of all others and begins at number `first`.

        With *restart* those are to be started that a group starts again.
        """
        self.first = first
        for kid in group:
            if not kid.is_down:
                self.halt.append(kid)
                self._to_halt.add(kid)
            if restart and kid.restarts_with_others:
                self.start.appendleft(kid)

    def halts(self, kid: Kid) -> bool:
        """Whether `kid` is to be ended anyway, so that its own end counts for nothing."""
        return kid in self._to_halt

    def halted(self) -> None:
        """The next of those that are to be halted is down."""
        self._to_halt.discard(self.halt.popleft())

    def skips(self, kid: Kid) -> None:
        """It is not to be started."""
        if kid in self.start:
            self.start.remove(kid)

    def stop_waiting(self) -> None:
        """The backoff is over, or counts no more."""
        call_off, self.call_off = self.call_off, None
        self.due = True
        if call_off is not None:
            call_off()

    def cancel(self) -> None:
        """Nothing of it is to be done any more."""
        self.halt.clear()
        self._to_halt.clear()
        self.start.clear()
