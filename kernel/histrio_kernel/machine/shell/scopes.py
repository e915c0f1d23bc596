"""`with machine.scope(S) as scope:` a block that ends, quietly, with the present activation of a state."""

from __future__ import annotations

from types import TracebackType
from typing import Final, final

import trio

from histrio_kernel.machine.shell.activations import Activation

__all__ = ["StateScope"]


@final
class StateScope:
    """A cancel scope that belongs to an activation. Its `ended` says whether the activation ended it."""

    __slots__ = ("_activation", "_scope", "ended")

    def __init__(self, activation: Activation) -> None:
        self._activation: Final = activation
        self._scope: Final = trio.CancelScope()
        self.ended = activation.is_over
        """Whether the activation has ended since."""

    def __enter__(self) -> StateScope:
        """Begin the block. If the activation has ended since `scope` was called, its first checkpoint ends it."""
        self._scope.__enter__()
        if self._activation.is_over:
            self.end()
        else:
            self._activation.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """End the block; a cancellation by the end of the activation ends here."""
        try:
            return bool(self._scope.__exit__(kind, error, traceback))
        finally:
            self._activation.done(self)

    def end(self) -> None:
        """The activation is over."""
        self.ended = True
        self._scope.cancel()
