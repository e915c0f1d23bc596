"""What a durable actor does to the world outside: how often at least, or at most, and under which key (J6)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

import attrs

__all__ = ["THIS_EFFECT", "Effect", "Mode", "this_effect"]


class Mode(enum.Enum):
    """How often an effect may happen if the process dies while it runs."""

    AT_LEAST_ONCE = "at least once"
    """It is tried again, with the same key, so that whoever gets it can tell (the default)."""
    AT_MOST_ONCE = "at most once"
    """It is not tried again: `reconcile` finds out whether it happened, or the await raises `EffectUncertain`."""


@attrs.frozen
class Effect:
    """What an effect knows of itself, while it runs.

    Attributes:
        key: the same in each attempt, and no other effect has it: an idempotency key.
        attempt: 1, or more if the process has died meanwhile.
        progress: what the last attempt gave to `heartbeat`; None if nothing.
    """

    key: str
    attempt: int
    progress: object = None
    _beat: Callable[[object], None] = attrs.field(default=lambda _: None, repr=False)

    def heartbeat(self, progress: object) -> None:
        """Say how far it is; the next attempt finds that in `progress`, also after a crash. Not a checkpoint."""
        self._beat(progress)


THIS_EFFECT: Final[ContextVar[Effect]] = ContextVar("histrio effect")


def this_effect() -> Effect:
    """The effect that the caller runs in.

    Raises:
        LookupError: it runs in none.
    """
    try:
        return THIS_EFFECT.get()
    except LookupError:
        raise LookupError("this_effect() is for functions that a durable actor calls by self.io(...)") from None
