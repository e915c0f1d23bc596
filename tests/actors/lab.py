"""An actor whose handler is written in the test, with its reply typed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs

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
