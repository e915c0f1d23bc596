"""The trace of a run, a number for each thing that happened, and what those numbers say."""

# Design note
# -----------
# A choice is one number: of how many, which, and whose identity it is. What it takes more to tell follows in a second
# one: the name of a task that is seen for the first time, and the time that the clock has moved to.

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from histrio_kernel.simulation.choices import CLOCK

__all__ = ["DECISION", "WAYS_MAX", "identities", "name_entry", "time_entry", "told"]

WAYS_MAX: Final = 0xFFFF
"""Of so many a choice can tell which."""
DECISION: Final = 0xFFFF_FFFF
"""The identity in the entry of a decision."""


def name_entry(name: str) -> int:
    """What follows the first sight of a task."""
    return zlib.crc32(name.encode())


def time_entry(seconds: float) -> int:
    """What follows a move of the clock: all bits of what it reads."""
    entry: int = struct.unpack("<Q", struct.pack("<d", seconds))[0]
    return entry


def identities(entries: Iterable[int]) -> Iterator[int]:
    """Whoever went on, step by step."""
    entry_of = iter(entries)
    for entry in entry_of:
        identity = entry & DECISION
        if not entry >> 48:
            next(entry_of, None)
        elif identity != DECISION:
            if identity == CLOCK:
                next(entry_of, None)
            yield identity


def told(trace: bytes, names: Mapping[int, str]) -> Iterator[str]:
    """What happened, a sentence for each thing, in the words of a report."""
    entries = iter(memoryview(trace).cast("Q"))
    for entry in entries:
        ways, chosen, identity = entry >> 48, entry >> 32 & WAYS_MAX, entry & DECISION
        name = names.get(identity, "somebody")
        if not ways:
            next(entries, None)
            yield f"{name!r} appears"
        elif identity == DECISION:
            yield f"way {chosen + 1} of {ways} is decided"
        elif identity == CLOCK:
            (seconds,) = struct.unpack("<d", struct.pack("<Q", next(entries, 0)))
            yield f"the clock moves to {seconds!r} s"
        else:
            yield f"{name!r} goes on" + (f", one of {ways} that could" if ways > 1 else "")
