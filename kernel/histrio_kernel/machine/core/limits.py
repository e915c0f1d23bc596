"""The bounds of machines. The kernel's table of all bounds takes them from here: the core imports nothing of the kernel."""

from __future__ import annotations

from typing import Final

__all__ = ["AUTO_FAILURES_MAX", "DRAIN_MAX", "EDGES_MAX", "QUEUE_MAX", "SLOW_HANDLER_S"]

QUEUE_MAX: Final = 1000
"""Mutations that wait in one machine."""

DRAIN_MAX: Final = 10_000
"""Transitions that follow from one mutation."""

EDGES_MAX: Final = 4096
"""Outcomes of mutations that one automaton remembers; one takes about 2 KB."""

AUTO_FAILURES_MAX: Final = 16
"""Auto transitions that were cancelled by an error of a handler, in one drain; then it starts no more of them.

The exception that follows each is a change, and so calls the same auto states again. One that failed after its states
had entered would fail for ever just so, and it starts none at once.
"""

SLOW_HANDLER_S: Final = 0.1
"""Real time that the sync handlers of one transition may take."""
