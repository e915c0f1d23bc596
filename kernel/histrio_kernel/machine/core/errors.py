"""What can be wrong with a schema, a handler table or a call of a machine; each message names the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["DrainStuck", "ImportRefused", "MachineBusy", "QueueFull", "SchemaError", "UnknownState", "nearest"]


class SchemaError(ValueError):
    """A schema, or a table of handlers for it, contradicts itself or names what is not there.

    It is raised where the schema or the table is made, so a machine never holds a bad one.
    """


class UnknownState(LookupError):
    """A call names a state that the machine's schema does not have; nothing has changed."""


class QueueFull(RuntimeError):
    """A mutation from inside a handler or tracer found `queue_max` others waiting; it was not queued."""


class DrainStuck(RuntimeError):
    """One drain of a machine's queue took `drain_max` transitions and saw no end; what waited is CANCELED.

    Handlers or tracers keep queueing mutations for each other. It becomes the machine's `exception`.
    """


class MachineBusy(RuntimeError):
    """What was asked for is possible between transitions only, and one is running."""


class ImportRefused(ValueError):
    """An exported machine does not fit this one, or contradicts itself; nothing has changed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A phrase that names the likeliest of `known` for a mistyped `name`, or all that there are.

    Examples:
        >>> nearest("fetchd", ["idle", "fetched"])
        "did you mean 'fetched'?"
        >>> nearest("x", ["idle", "fetched"])
        "the states are 'idle', 'fetched'"
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"the states are {', '.join(map(repr, names))}" if names else "there are no states"
