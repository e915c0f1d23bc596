"""Trio's own moment at which no task can go on, without the package that has it for tests.

`trio.testing` is the public way to it, and imports pytest where that is installed: a third of a second, and a context
variable (of `decimal`) that every handler of every actor would then be compared by.
"""

from __future__ import annotations

from trio._core._run import wait_all_tasks_blocked

__all__ = ["wait_all_tasks_blocked"]
