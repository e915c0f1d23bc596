"""Which driver a system has that is given none: the real one, or that of the simulation that it runs in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from histrio_kernel.driver import Driver

__all__ = ["driver_of_this_run", "use_driver"]

_DRIVER: Final[trio.lowlevel.RunVar[Callable[[], Driver | None]]] = trio.lowlevel.RunVar("histrio driver")


def driver_of_this_run() -> Driver | None:
    """What somebody has set for this Trio run, such as the simulator; None for the real world."""
    return _DRIVER.get(_no_driver)()


def _no_driver() -> Driver | None:
    return None


def use_driver(driver: Callable[[], Driver]) -> None:
    """Systems of this Trio run that are given no driver ask here for one, from now on."""
    _DRIVER.set(driver)
