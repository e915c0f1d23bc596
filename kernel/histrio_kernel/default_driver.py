"""Which driver a system has that is given none: the real one, or that of the simulation that it runs in."""

from __future__ import annotations

from typing import Final

import trio

from histrio_kernel.driver import Driver

__all__ = ["driver_of_this_run", "use_driver"]

_DRIVER: Final[trio.lowlevel.RunVar[Driver]] = trio.lowlevel.RunVar("histrio driver")


def driver_of_this_run() -> Driver | None:
    """What somebody has set for this Trio run, such as the simulator; None for the real world."""
    return _DRIVER.get(None)


def use_driver(driver: Driver) -> None:
    """Systems of this Trio run that are given no driver get this one, from now on."""
    _DRIVER.set(driver)
