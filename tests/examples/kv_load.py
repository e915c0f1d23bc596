"""Writers and readers of a key-value service, who know what each answer may be: wrong ones are noticed at once."""

# Each writer has a key of its own and counts up, so one look at the key tells: it must hold what was acknowledged last,
# or a later value that was asked for and not answered with Ok. Reads tell what was there, so they never go back.

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio
from examples.kv_service.client import Reply

__all__ = ("Ask", "Load")

Ask = Callable[[str], Awaitable[Reply]]
"""Sends a command and gives the answer."""


class Load:
    """What is known of the keys, from outside.

    Args:
        answer_s: seconds within which each request must have been answered, whatever has happened.
        pause_s: how long a client waits between two requests, drawn anew each time.
        retry_s: how long it waits after a 503.
        may_end: whether the service may be gone at once, which ends the load.

    """

    def __init__(self, answer_s: float, pause_s: Callable[[], float], retry_s: float, *, may_end: bool = False) -> None:
        self.may_end: Final = may_end
        self.answer_s: Final = answer_s
        self.pause_s: Final = pause_s
        self.retry_s: Final = retry_s
        self.asked: Final[dict[str, int]] = {}
        self.known: Final[dict[str, int]] = {}  # the least value that a read may give
        self.acknowledged: Final[dict[str, set[int]]] = {}
        self.away = 0  # answers that were 503
        self.over = False
        self._progress: Final = trio.lowlevel.ParkingLot()

    @property
    def total(self) -> int:
        """How many writes were acknowledged."""
        return sum(map(len, self.acknowledged.values()))

    async def until_acknowledged(self, more: int) -> None:
        """Wait until so many more writes were acknowledged."""
        enough = self.total + more
        while self.total < enough:
            await self._progress.park()

    async def write(self, ask: Ask, key: str) -> None:
        """Count up until the load is over."""
        acknowledged = self.acknowledged.setdefault(key, set())
        while not self.over:
            value = self.asked[key] = self.asked.get(key, 0) + 1
            if await self._answered(ask, f'Write "{key}" {value}') is not None:
                acknowledged.add(value)
                self._progress.unpark_all()
                self.known[key] = max(self.known[key], value)

    async def read(self, ask: Ask, choose: Callable[[list[str]], str]) -> None:
        """Read one key after the other until the load is over."""
        while not self.over:
            await self.check(ask, choose(list(self.known)))

    async def check(self, ask: Ask, key: str) -> None:
        """Read a key: what is there is neither older than what is known, nor newer than what was asked for."""
        least = self.known[key]
        reply = await self._answered(ask, f'Read "{key}"')
        if reply is not None:
            found = 0 if reply.text == "Result Nothing" else int(reply.text.removeprefix("Result "))
            assert least <= found <= self.asked.get(key, 0), key
            self.known[key] = max(self.known[key], found)

    async def _answered(self, ask: Ask, command: str) -> Reply | None:
        """The answer, in time; None if there was none, or it was 503."""
        try:
            with trio.fail_after(self.answer_s):
                reply = await ask(command)
        except OSError:
            assert self.may_end, "a connection broke"
            self.over = True
            return None
        if reply.status == 503:
            assert len(reply.text.splitlines()) == 1
            self.away += 1
            await trio.sleep(self.retry_s)
            return None
        assert reply.status == 200, reply
        await trio.sleep(self.pause_s())
        return reply

    async def check_all(self, ask: Ask) -> None:
        """Every key holds what was acknowledged; nothing is away."""
        away = self.away
        for key in self.known:
            await self.check(ask, key)
        assert self.away == away

    @asynccontextmanager
    async def running(
        self, writers: Sequence[Ask], readers: Sequence[Ask], choose: Callable[[list[str]], str]
    ) -> AsyncGenerator[None]:
        """Clients, each with its own way to ask, while the block runs; at its end they finish what they have begun."""
        async with trio.open_nursery() as nursery:
            for number, ask in enumerate(writers):
                self.known[f"writer {number}"] = 0
                nursery.start_soon(self.write, ask, f"writer {number}")
            for ask in readers:
                nursery.start_soon(self.read, ask, choose)
            yield
            self.over = True
