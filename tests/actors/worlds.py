"""Worlds to put in the place of the real one: chance that is known, and doors that tell what went through them."""

import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, TypeVarTuple

import trio

from histrio_kernel.driver import Clock, Disk, Net, Random
from histrio_kernel.real import RealDriver

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class KnownChance(random.Random):
    """Answers `uniform` by *share* of the way from the one end to the other, and remembers what was asked."""

    def __init__(self, share: float) -> None:
        super().__init__(0)
        self.share: Final = share
        self.asked: Final[list[tuple[float, float]]] = []

    def uniform(self, a: float, b: float) -> float:
        self.asked.append((a, b))
        return a + (b - a) * self.share


class LateClock:
    """Trio's clock, a thousand seconds ahead; it counts who slept on it."""

    def __init__(self) -> None:
        self.sleeps: Final[list[float]] = []

    def now(self) -> float:
        return trio.current_time() + 1000

    async def sleep(self, seconds: float, /) -> None:
        self.sleeps.append(seconds)
        await trio.sleep(seconds)

    async def deadline(self, at: float, /) -> None:
        await trio.sleep_until(at - 1000)


class World:
    """A driver with a clock and a chance of its own; the rest is real, and counted."""

    def __init__(self, chance: Random | None = None) -> None:
        self._real: Final = RealDriver()
        self._clock: Final = LateClock()
        self._chance: Final[Random] = random.Random(1) if chance is None else chance
        self.calls: Final[list[str]] = []

    def wall(self) -> float:
        return self._real.wall()

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def sleeps(self) -> list[float]:
        """What was slept, in order."""
        return self._clock.sleeps

    @property
    def random(self) -> Random:
        return self._chance

    @property
    def disk(self) -> Disk:
        self.calls.append("disk")
        return self._real.disk

    @property
    def net(self) -> Net:
        self.calls.append("net")
        return self._real.net

    def thread(self, fn: Callable[[*Ts], T], /, *args: *Ts) -> Awaitable[T]:
        self.calls.append("thread")
        return self._real.thread(fn, *args)

    async def process(self, fn: Callable[[*Ts], T], /, *args: *Ts) -> T:
        self.calls.append("process")
        await trio.lowlevel.checkpoint()
        return fn(*args)
