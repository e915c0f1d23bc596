"""What can go wrong with durable actors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from histrio_kernel.errors import HistrioError, told

__all__ = [
    "BeginningFailed",
    "EffectUncertain",
    "NotRecorded",
    "PastTooLong",
    "Quarantined",
    "SnapshotFailed",
    "StepFailed",
    "StillPending",
    "TooManyCrashes",
    "UnknownBehaviour",
]


class NotRecorded(HistrioError):
    """A durable handler waits for something that its journal knows nothing of, so it could not be done again."""


class EffectUncertain(HistrioError):
    """An effect that may happen at most once had begun when the process died: it happened, or it did not.

    Give `self.io(..., mode=Mode.AT_MOST_ONCE, reconcile=ask)` a function that finds out, by the key.
    """


class PastTooLong(HistrioError):
    """An actor's journal grows without end; first a warning, then the actor stops, and can be opened by better code."""

    def __init__(self, path: str, length: int, then: str) -> None:
        super().__init__(
            f"{path} has {length:,} records since its beginning; {then}. Return ContinueAs(...) from a handler, or give it "
            "snapshot_every with snapshot() and restore(), which roll the past up"
        )


class SnapshotFailed(HistrioError):
    """`snapshot()` or `restore()` of an actor has raised: its past is not rolled up until the process starts again."""

    def __init__(self, path: str, what: str, error: Exception) -> None:
        super().__init__(
            f"{path}: {what} raised {told(error)}. Its past is whole and grows, and is not rolled up by itself until the process "
            "starts again. Mend the method"
        )
        self.__cause__ = error


class StillPending(HistrioError):
    """An actor wants to go on as another, and something that it began has no outcome yet."""

    def __init__(self, path: str, wanted: object, waiting: Sequence[str]) -> None:
        super().__init__(
            f"{path} wants to go on as {wanted!r}, and has begun what has no outcome yet: {', '.join(waiting)}. Wait for it, "
            "or cancel it, before you return ContinueAs"
        )


class TooManyCrashes(HistrioError):
    """A durable actor has failed more often than its class allows; now its parent fails by it, or its system."""


class UnknownBehaviour(HistrioError):
    """The journal holds an actor of a behaviour that this program has no class for."""


class Quarantined(HistrioError):
    """The actor does not do what its journal says that it did, so it does nothing at all; see `NonDeterminism`."""


class StepFailed(HistrioError):
    """A handler has raised what is no refusal; the journal says so, and the actor is to be made again."""


class BeginningFailed(HistrioError):
    """The first step of an actor has failed, so it has never been. Whoever wanted it gets an `ActorFailed` of *error*."""

    def __init__(self, error: Exception) -> None:
        super().__init__(told(error))
        self.error: Final = error
