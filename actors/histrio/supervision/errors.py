"""What can go wrong between a supervisor, its children, and those who ask it for one."""

from __future__ import annotations

from typing import Final, final

from histrio_kernel.errors import ActorFailed, ActorStopped, HistrioError, Refusal, told

__all__ = ["ChildNotStarted", "ChildRunning", "ChildrenFull", "NoSuchChild", "TooManyRestarts"]


@final
class TooManyRestarts(HistrioError):
    """A supervisor has given up: its children ended more often than it may start them again. It fails by this.

    Attributes:
        path: the supervisor.
        failures: why each child ended that was counted, oldest first, the last `failures_max` of them; the last one is
            the `__cause__`.
    """

    def __init__(
        self, path: str, failures: tuple[ActorStopped, ...], ends: int, restarts_max: int, window_s: float
    ) -> None:
        self.path: Final = path
        self.failures: Final = failures
        last = failures[-1]
        super().__init__(
            f"{path}: its children ended {ends} {'time' if ends == 1 else 'times'} within {window_s} s, more often than it may start them"
            f" again (restarts_max is {restarts_max}); the last was {last.path}: {_root(last)}"
        )
        self.__cause__ = failures[-1]


def _root(end: ActorStopped) -> str:
    """What it all began with: the first error that is not told of by another one here."""
    error: BaseException = end
    while isinstance(error, ActorFailed | TooManyRestarts) and error.__cause__ is not None:
        error = error.__cause__
    return str(end.reason) if error is end else told(error)


class ChildrenFull(Refusal):
    """The supervisor has `children_max` children already; nothing was started."""


class NoSuchChild(Refusal):
    """The supervisor knows no child of that name."""


class ChildRunning(Refusal):
    """The child is there already, or has not ended yet; nothing has changed."""


class ChildNotStarted(Refusal):
    """The child did not start; it is the `__cause__` why. The supervisor lives on, without it."""
