"""All of the real world in one object: what a system uses unless it is given another driver."""

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple, final

import trio

from histrio_kernel.bounds import bound
from histrio_kernel.driver import Clock, Disk, Net, Random
from histrio_kernel.real.clock import RealClock
from histrio_kernel.real.disk import RealDisk
from histrio_kernel.real.net import RealNet
from histrio_kernel.real.process import RUN_IN_PROCESS, ProcessRunner, run_in_process

__all__ = ("DRIVER_THREADS_MAX", "RealDriver")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# threads that run for `thread` at once; further calls wait. Trio's own default for a whole program is 40 too.
DRIVER_THREADS_MAX: Final = bound("driver_threads_max")


@final
class RealDriver:
    """The real `Driver`. Whoever makes one closes it, with `aclose` or `async with`.

    Args:
        disk: the disk; by default one of its own over the operating system's files. It is closed with the driver.
        processes: what runs a function in a process; by default trio-parallel's workers, if installed.

    """

    __slots__ = ("_disk", "_processes", "_threads", "_wall", "clock", "net", "random")

    def __init__(self, *, disk: RealDisk | None = None, processes: ProcessRunner | None = RUN_IN_PROCESS) -> None:
        self.clock: Final[Clock] = RealClock()
        self.random: Final[Random] = random.Random()  # seeded by the operating system
        self.net: Final[Net] = RealNet()
        self._wall: float | None = None
        self._disk: Final = RealDisk() if disk is None else disk
        self._processes: Final = processes
        self._threads: Final = trio.CapacityLimiter(DRIVER_THREADS_MAX)

    def wall(self) -> float:
        """The time of day when this was asked first, and what the clock has counted since; so it stands still with it."""
        if self._wall is None:
            self._wall = time.time() - self.clock.now()
        return self._wall + self.clock.now()

    @property
    def disk(self) -> Disk:
        """Files, with group commit."""
        return self._disk

    async def thread(self, fn: Callable[[*Ts], T], /, *args: *Ts) -> T:
        """Run `fn(*args)` in a thread.

        A checkpoint. Cancelled before the thread has begun, *fn* is not called; afterwards it is waited for, and this
        ends with its true outcome.
        """
        return await trio.to_thread.run_sync(fn, *args, limiter=self._threads)

    async def process(self, fn: Callable[[*Ts], T], /, *args: *Ts) -> T:
        """Run `fn(*args)` in a worker process; it is killed if this is cancelled.

        Raises:
            RuntimeError: the extra `process` is not installed.

        """
        return await run_in_process(self._processes, fn, *args)

    async def aclose(self) -> None:
        """Close the files that are still open. Appends under way are finished first."""
        await self._disk.aclose()

    async def __aenter__(self) -> "RealDriver":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
