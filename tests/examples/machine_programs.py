"""The programs of examples/machines as tests run them: on a virtual clock, with a network in memory."""

from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Final, TypeVar, TypeVarTuple, final

import trio
from examples.machines import (
    complicated,
    connection,
    dependencies,
    expense,
    fan_out,
    file_pipeline,
    file_processor,
    hosts,
    lines,
    minimal,
    nfa,
    office,
    traffic_light,
    weather,
)
from tests.examples.memory_net import MemoryListener, MemoryNet
from trio.testing import MockClock

import histrio
from histrio_kernel.driver import Clock, Disk, Random
from histrio_kernel.real.driver import RealDriver

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PLAIN: Final[dict[str, Callable[[], None]]] = {
    "minimal": minimal.main,
    "weather": weather.main,
    "nfa": nfa.main,
}
"""Machines that need no Trio."""

ALONE: Final[dict[str, Callable[[], Awaitable[None]]]] = {
    "complicated": complicated.main,
    "dependencies": dependencies.main,
    "fan_out": fan_out.main,
    "traffic_light": traffic_light.main,
}
"""Machines in a Trio program without actors."""

ACTORS: Final[dict[str, Callable[[histrio.System], Awaitable[None]]]] = {
    "connection": connection.main,
    "expense": expense.main,
    "file_pipeline": file_pipeline.main,
    "file_processor": file_processor.main,
}
"""Machines of actors."""

PROGRAMS: Final = (*PLAIN, *ALONE, *ACTORS)
PARTS: Final[tuple[ModuleType, ...]] = (hosts, lines, office)
"""What some of them import."""


def play(name: str) -> None:
    """Run a program to its end."""
    clock = MockClock(autojump_threshold=0)
    if name in PLAIN:
        PLAIN[name]()
    elif name in ALONE:
        trio.run(ALONE[name], clock=clock)
    else:
        histrio.run(ACTORS[name], driver=MemoryWorld(), clock=clock)


@final
class MemoryWorld:
    """A driver whose network is in memory, so that nothing takes time but what the program says."""

    def __init__(self) -> None:
        self._real: Final = RealDriver()
        self.net: Final = MemoryTcp()

    def wall(self) -> float:
        return self._real.wall()

    @property
    def clock(self) -> Clock:
        return self._real.clock

    @property
    def random(self) -> Random:
        return self._real.random

    @property
    def disk(self) -> Disk:
        return self._real.disk

    async def thread(self, fn: Callable[[*Ts], T], /, *args: *Ts) -> T:
        raise AssertionError("no program of these has use for a thread")

    async def process(self, fn: Callable[[*Ts], T], /, *args: *Ts) -> T:
        raise AssertionError("no program of these has use for a process")


@final
class MemoryTcp:
    """One place to listen at, whatever its address."""

    def __init__(self) -> None:
        self._net: Final = MemoryNet()

    async def connect(self, host: str, port: int, /) -> trio.abc.HalfCloseableStream:
        stream = await self._net.connect()
        assert isinstance(stream, trio.abc.HalfCloseableStream)
        return stream

    async def listen(self, host: str, port: int, /) -> "tuple[_Addressed, ...]":
        return (_Addressed(await self._net.listen(), (host, port)),)


@final
class _Addressed:
    """A listener that says where it is."""

    def __init__(self, listener: MemoryListener, address: tuple[str, int]) -> None:
        self._listener: Final = listener
        self.address: Final = address

    async def accept(self) -> trio.abc.HalfCloseableStream:
        stream = await self._listener.accept()
        assert isinstance(stream, trio.abc.HalfCloseableStream)
        return stream

    async def aclose(self) -> None:
        await self._listener.aclose()
