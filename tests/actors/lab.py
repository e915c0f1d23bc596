"""An actor whose handler is written in the test, with its reply typed; and systems that must fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs
import pytest
import trio

import histrio

R_co = TypeVar("R_co", covariant=True)


@attrs.frozen(eq=False)
class Do(histrio.Request[R_co]):
    """Run the function with the actor, as a handler; its result is the reply."""

    function: Callable[[Lab], Awaitable[R_co]]


class Lab(histrio.Actor[Do[object]]):
    """Runs what it is sent."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def receive(self, message: Do[object]) -> object:
        return await message.function(self)


async def nothing(_: Lab) -> None:
    """The quickest handler."""


class Narrow(Lab):
    """Two operations at a time."""

    io_max = 2


class Crowd:
    """Counts how many are in at once, and in which order they come."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.order: list[int] = []

    async def enter(self, number: int) -> int:
        self.order.append(number)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await trio.sleep(1)
        finally:
            self.now -= 1
        return number


def raising(error: BaseException) -> Do[None]:
    """A message whose handler raises *error*."""

    async def handler(_: Lab) -> None:
        await trio.lowlevel.checkpoint()
        raise error

    return Do(handler)


async def run_in_system(program: Callable[[histrio.System], Awaitable[object]], name: str = "histrio") -> None:
    """Open a system for *program*, and leave it again."""
    async with histrio.open_system(name) as system:
        await program(system)


async def cause_of(function: Callable[[Lab], Awaitable[object]]) -> BaseException | None:
    """What fails the actor that is told to run *function*, and with it its system."""

    async def program(system: histrio.System) -> None:
        await (await system.spawn(Lab)).tell(Do(function))
        await trio.sleep(1000)

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)
    (failure,) = raised.value.failures
    return failure.__cause__
