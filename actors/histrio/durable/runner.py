"""Lets the handlers of one durable actor run, one after another, each until it waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, final

import trio
from trio.lowlevel import ParkingLot

from histrio.durable.activation import Activation

__all__ = ["Runner"]


@final
class Runner:
    """Who runs, and who can go on.

    Attributes:
        nursery: of the handlers' tasks; set when there is one.
    """

    nursery: trio.Nursery

    def __init__(self, path: str) -> None:
        self._path: Final = path
        self._ready: Final[deque[Activation]] = deque()
        self._at_rest: Final = ParkingLot()
        self._runs = False

    def can_go_on(self, activation: Activation) -> None:
        """It goes on after those whose waits were over before (A2)."""
        self._ready.append(activation)

    def starts(self, activation: Activation) -> None:
        """It gets its task."""
        self.nursery.start_soon(activation.run, name=f"{self._path}: handler {activation.scope}")

    def rests(self) -> None:
        """The one that ran waits, or has ended."""
        self._runs = False
        self._at_rest.unpark_all()

    async def kill(self, activation: Activation) -> None:
        """End one that waits, and wait for its clean-up."""
        self._runs = True
        activation.kill()
        await self._rest()

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Let those go on who can, until all wait, or it is over."""
        await self._rest()
        while self._ready and not is_over():
            self._runs = True
            self._ready.popleft().go()
            await self._rest()

    async def _rest(self) -> None:
        while self._runs:
            await self._at_rest.park()
