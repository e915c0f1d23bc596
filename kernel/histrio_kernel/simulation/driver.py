"""The simulated world of one machine: its clock, chance, disk, network, threads and processes."""

# Design note
# -----------
# Threads and processes run at a step of their own, in no task, and in one go: what they share with others they see at
# one moment, as if they were very fast. What a process is given and gives back is pickled, as in reality.
#
# A machine whose power is cut is severed first and cancelled then: what unwinds runs its `finally` blocks, but nothing
# of that gets out, which is the same as if it had not run at all.

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random as PythonRandom
from typing import Final, TypeVar, TypeVarTuple, final

import trio

from histrio_kernel.driver import Clock, Disk, Net, Random
from histrio_kernel.real.clock import RealClock
from histrio_kernel.real.disk import RealDisk
from histrio_kernel.simulation.errors import PowerCut
from histrio_kernel.simulation.files import SimFiles
from histrio_kernel.simulation.run import Simulation

__all__ = ["SimDriver", "SkewedClock"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def _nothing(_: str) -> None:
    """No boundary is looked at."""


@final
class SkewedClock:
    """A clock that is wrong: ahead by so many seconds, and faster by a factor.

    Args:
        ahead_s: what it reads at the beginning of the run.
        rate: how many of its seconds pass in one second of the run; more than 0.
    """

    __slots__ = ("_ahead_s", "_rate")

    def __init__(self, ahead_s: float, rate: float) -> None:
        if not rate > 0:
            raise ValueError(f"a clock that runs at rate {rate!r} stands still or goes back; it must be more than 0")
        self._ahead_s: Final = ahead_s
        self._rate: Final = rate

    def now(self) -> float:
        """What it reads."""
        return self._ahead_s + trio.current_time() * self._rate

    async def sleep(self, seconds: float, /) -> None:
        """Complete when so many of its seconds have passed."""
        await trio.sleep(seconds / self._rate)

    async def deadline(self, at: float, /) -> None:
        """Complete when it reads *at*."""
        await trio.sleep_until((at - self._ahead_s) / self._rate)


@final
class SimThreads:
    """Calls are made at steps of their own."""

    __slots__ = ("_boundary", "_files", "_label", "_simulation")

    def __init__(
        self, simulation: Simulation, label: str, boundary: Callable[[str], None], files: SimFiles | None = None
    ) -> None:
        self._simulation: Final = simulation
        self._label: Final = label
        self._boundary: Final = boundary
        self._files: Final = files

    async def run(self, fn: Callable[[*Ts], T], /, *args: *Ts, limiter: trio.CapacityLimiter | None = None) -> T:
        """What `fn(*args)` returns or raises."""
        seconds = 0.0 if self._files is None else self._files.delay()
        if seconds:
            await trio.sleep(seconds)
        return await self._simulation.at_a_step(self._label, partial(self._act, partial(fn, *args)), (self._label,))

    def _act(self, call: Callable[[], T]) -> T:
        if self._files is None:  # files tell of each of their changes
            self._boundary(f"before {self._label}")
        try:
            return call()
        finally:
            self._boundary(f"after {self._label}")


@final
class SimDriver:
    """The `Driver` of one machine of a simulation.

    Args:
        simulation: the run.
        name: of the machine.
        net: its network.
        files: what is on its disk.
        clock: its clock; default: that of the run.
    """

    def __init__(
        self, simulation: Simulation, name: str, net: Net, files: SimFiles, clock: Clock | None = None
    ) -> None:
        self.simulation: Final = simulation
        self.name: Final = name
        self.clock: Final[Clock] = RealClock() if clock is None else clock
        self.random: Final[Random] = PythonRandom(f"{simulation.seed}/{name}")
        self.net: Final[Net] = net
        self.files: Final = files
        self.boundary: Callable[[str], None] = _nothing
        """Called before and after what is done in its threads and processes, and after each trip to the disk: its files
        tell of what is before. It may sever."""
        disk = SimThreads(simulation, f"disk of {name}", self._at_boundary, files)
        self.disk: Final[Disk] = RealDisk(files, threads=disk)
        self.replaced: dict[Callable[..., object], Callable[..., Awaitable[object]]] = {}
        """Functions that `self.io` calls another one for."""
        self._threads: Final = SimThreads(simulation, f"a thread of {name}", self._at_boundary)
        self._processes: Final = SimThreads(simulation, f"a process of {name}", self._at_boundary)
        self._cut: PowerCut | None = None

    def wall(self) -> float:
        """What its clock reads: a run begins in 1970."""
        return self.clock.now()

    def sever(self) -> None:
        """The power is off: nothing gets out any more."""
        self._cut = PowerCut(f"{self.name} has no power: nothing that it does has an effect any more")
        self.files.sever(self._cut)

    @property
    def has_no_power(self) -> bool:
        """Whether it has been severed."""
        return self._cut is not None

    async def thread(self, fn: Callable[[*Ts], T], /, *args: *Ts) -> T:
        """Run `fn(*args)` at a step of its own."""
        self._check()
        return await self._threads.run(fn, *args)

    async def process(self, fn: Callable[[*Ts], T], /, *args: *Ts) -> T:
        """Run `fn(*args)` at a step of its own, on copies."""
        self._check()
        sent = pickle.dumps((fn, args))

        def run() -> bytes:
            function, arguments = pickle.loads(sent)
            return pickle.dumps(function(*arguments))

        result: T = pickle.loads(await self._processes.run(run))
        return result

    def _at_boundary(self, where: str) -> None:
        self.boundary(where)
        self._check()

    def _check(self) -> None:
        if self._cut is not None:
            raise self._cut
