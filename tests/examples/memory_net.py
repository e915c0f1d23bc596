"""A network in memory, on whatever clock Trio runs: one listener at a time, and streams that a close breaks."""

from __future__ import annotations

from typing import final

import trio
from trio.testing import memory_stream_pair


@final
class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    """Gives the server's ends of connections, until it is closed."""

    def __init__(self) -> None:
        self.give, self.take = trio.open_memory_channel[trio.abc.Stream](0)

    async def accept(self) -> trio.abc.Stream:
        return await self.take.receive()

    async def aclose(self) -> None:
        self.take.close()
        await trio.lowlevel.checkpoint()


@final
class MemoryNet:
    """Where clients find the present listener."""

    def __init__(self) -> None:
        self.listener: MemoryListener | None = None

    async def listen(self) -> MemoryListener:
        await trio.lowlevel.checkpoint()
        self.listener = MemoryListener()
        return self.listener

    async def connect(self) -> trio.abc.Stream:
        """Raises `OSError` when nobody listens."""
        listener = self.listener
        if listener is None:
            raise ConnectionRefusedError("nobody has listened yet")
        ours, theirs = memory_stream_pair()
        try:
            await listener.give.send(theirs)
        except trio.BrokenResourceError:
            raise ConnectionRefusedError("nobody listens") from None
        return ours
