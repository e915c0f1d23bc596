"""What stands in the queue of an inbox: a message, an ask, or one of these wrapped, with what it needs there."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, final

from histrio_kernel.asks import Ask

__all__ = ["NO_ENTRY", "Again", "Slot", "ask_of", "message_of", "withdrawn"]

NO_ENTRY: Final = object()
"""Instead of an entry: there is none, or it was withdrawn. Not None, which is a message like any other."""


@final
class Slot:
    """A place in the queue whose entry may be replaced by a later one of the same key."""

    __slots__ = ("entry", "key")

    def __init__(self, key: Hashable, entry: object) -> None:
        self.key: Final = key
        self.entry = entry


@final
class Again:
    """A message that an earlier incarnation had in hand when it ended: it is delivered once more."""

    __slots__ = ("entry", "times")

    def __init__(self, entry: object, times: int) -> None:
        self.entry: Final = entry
        self.times: Final = times


def ask_of(entry: object) -> Ask[object] | None:
    """The ask that an entry of the queue is, if it is one."""
    if type(entry) is Slot:
        entry = entry.entry
    return entry if isinstance(entry, Ask) else None  # pyright: ignore[reportUnknownVariableType]


def message_of(entry: object) -> object:
    """The message in an entry of the queue."""
    if type(entry) is Slot or type(entry) is Again:
        entry = entry.entry
    return entry.message if isinstance(entry, Ask) else entry


def withdrawn(entry: object) -> bool:
    """Whether this is the tombstone of an ask that nobody wants any more."""
    ask = ask_of(entry)
    return ask is not None and ask.is_done
