"""A bar for explorations that take long, on a terminal that can show one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import monotonic
from typing import Final

__all__ = ["progress"]

_AFTER_S: Final = 2.0
_WIDTH: Final = 30


@contextmanager
def progress(total: int) -> Generator[Callable[[int], None] | None]:
    """What is to be called with the number of runs so far; None if nobody would see a bar."""
    if not sys.stderr.isatty():
        yield None
        return
    began = last = monotonic()

    def show(runs: int) -> None:
        nonlocal last
        now = monotonic()
        if now - began < _AFTER_S or now - last < 0.1:
            return
        last = now
        full = min(_WIDTH, _WIDTH * runs // max(total, 1))
        bar = "█" * full + "·" * (_WIDTH - full)
        sys.stderr.write(f"\rexploring {bar} {runs:,} of {total:,} schedules")
        sys.stderr.flush()

    try:
        yield show
    finally:
        if last != began:
            sys.stderr.write("\r\x1b[K")
