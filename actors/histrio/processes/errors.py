"""What can go wrong between a process, its author, and those who control it."""

from __future__ import annotations

import inspect
from typing import Final, final

from histrio_kernel.errors import HistrioError
from histrio_kernel.futures import Future

__all__ = ["NotRerunnable", "WrongAdvance", "what_was_meant"]


@final
class WrongAdvance(HistrioError):
    """An `advance` asked for what there is not, or returned what says nothing; the process fails by this.

    Attributes:
        path: the process.

    An `advance` returns `self.to(state)`, `self.wait(future)` or `Done(value)`.
    """

    def __init__(self, path: str, what: str) -> None:
        self.path: Final = path
        super().__init__(f"{path}: {what}")


def what_was_meant(move: object, states: type[object]) -> str:
    """A hint at what an `advance` that returned *move* wanted to say, to stand behind it; empty if nobody knows."""
    if inspect.iscoroutine(move):
        move.close()
        return " (did it forget an `await`?)"
    if move is None:
        return " (does each of its branches return?)"
    if isinstance(move, states):
        return f" (for that state: self.to({move}))"
    if isinstance(move, Future):
        return " (to wait for that: self.wait(future))"
    return ""


@final
class NotRerunnable(HistrioError):
    """`pause(now=True)` of an actor that does not say that its work may be cut off and run again; nothing changed.

    Attributes:
        path: the actor.

    Use `pause()`, which waits until the present advance is over; or declare `rerunnable = True` on the class of a
    `Process` whose advances may each be cancelled and begun again.
    """

    def __init__(self, path: str, kind: str) -> None:
        self.path: Final = path
        super().__init__(
            f"{path}: pause(now=True) would cut off what it does and run it again later, and {kind} does not say that"
            " this does no harm. Use pause(), which waits for the end of it; or set rerunnable = True on the class, if"
            " it is a histrio.Process whose advances may each be begun again"
        )
