"""A change to the whole process that all simulations share: made for the first, undone after the last, in any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, final

__all__ = ["SharedChange", "swapped"]

Undo = Callable[[], None]


@final
class SharedChange:
    """What one simulation needs of the process, and another may need at the same time in another thread.

    Inside a `with` block the change is made.

    Args:
        make: makes the change, and returns what undoes it. Never called twice without the undoing between.
    """

    __slots__ = ("_lock", "_make", "_undo", "_users")

    def __init__(self, make: Callable[[], Undo]) -> None:
        self._make: Final = make
        self._lock: Final = threading.Lock()
        self._users = 0
        self._undo: Undo | None = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._undo = self._make()
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                assert self._undo is not None
                self._undo()
                self._undo = None


def swapped(*parts: tuple[object, str, Callable[[Any], object]]) -> SharedChange:
    """The change that each holder has, under that name, what a function makes of what it had."""

    def make() -> Undo:
        had: list[object] = [getattr(holder, name) for holder, name, _ in parts]
        for (holder, name, instead), real in zip(parts, had, strict=True):
            setattr(holder, name, instead(real))

        def undo() -> None:
            for (holder, name, _), real in zip(parts, had, strict=True):
                setattr(holder, name, real)

        return undo

    return SharedChange(make)
