"""The disk of a simulated world: the real one, over files in memory, with no thread."""

from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple, final

import trio

from histrio_kernel.real.disk import RealDisk
from histrio_kernel.simulation.files import SimFiles

__all__ = ("InlineThreads", "sim_disk")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def _at_once() -> float:
    return 0.0


@final
class InlineThreads:
    """`Threads` that are none: the task that waits makes the call, at one step of the schedule.

    There is a step before the call and one after it, so that others run between asking, effect and answer, as they do
    beside a thread.

    Args:
        delay: how many seconds the next call takes; asked once for each.

    """

    __slots__ = ("_delay",)

    def __init__(self, delay: Callable[[], float] = _at_once) -> None:
        self._delay: Final = delay

    async def run(self, fn: Callable[[*Ts], T], /, *args: *Ts, limiter: trio.CapacityLimiter) -> T:
        """What `fn(*args)` returns or raises; see `Threads.run`."""
        async with limiter:
            seconds = self._delay()
            if seconds > 0:
                with trio.CancelScope(shield=True):
                    await trio.sleep(seconds)
            try:
                return fn(*args)
            finally:
                await trio.lowlevel.cancel_shielded_checkpoint()


def sim_disk(files: SimFiles) -> RealDisk:
    """A disk over *files*."""
    return RealDisk(files, threads=InlineThreads(files.delay))
