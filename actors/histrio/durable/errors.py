"""What can go wrong with durable actors."""

from __future__ import annotations

from histrio_kernel.errors import HistrioError

__all__ = [
    "EffectUncertain",
    "NotRecorded",
    "PastTooLong",
    "Quarantined",
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


class StillPending(HistrioError):
    """An actor wants to go on as another, and something that it began has no outcome yet."""


class TooManyCrashes(HistrioError):
    """A durable actor has failed more often than its class allows; now its parent fails by it, or its system."""


class UnknownBehaviour(HistrioError):
    """The journal holds an actor of a behaviour that this program has no class for."""


class Quarantined(HistrioError):
    """The actor does not do what its journal says that it did, so it does nothing at all; see `NonDeterminism`."""
