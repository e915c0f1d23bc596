"""Where lines come in: each connection is an actor, so one that fails or is killed harms no other."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import trio

import histrio
from examples.ingest.messages import WORKERS, Line
from histrio import Ref

Listen = Callable[[], Awaitable[trio.abc.Listener[trio.abc.Stream]]]
"""Opens the place where clients connect."""

LINE_BYTES_MAX = 64 * 1024


class Listener(histrio.Actor[None]):
    """Accepts connections, and has each looked after by a child of the supervisor `connections`."""

    def __init__(self, listen: Listen, connections: Ref[histrio.ChildRequest]) -> None:
        self.listen = listen
        self.connections = connections

    async def started(self) -> None:
        self.listener = await self.listen()  # a restart opens it afresh
        self.background(self.accept)

    async def accept(self) -> None:
        async with self.listener:
            while True:
                stream = await self.listener.accept()
                connection = histrio.child(None, Connection, stream).with_(restart=histrio.TEMPORARY)
                try:
                    await self.connections.start_child(connection)
                except BaseException:
                    await trio.aclose_forcefully(stream)
                    raise


class Connection(histrio.Actor[None]):
    """Hands the lines of one client to the workers, and says `ok NUMBER` when a worker has one in its inbox.

    It does so by turns and waits for a worker with room, so a client that is too quick is slowed down.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream

    async def run(self) -> None:
        workers = histrio.RoundRobin(self.system.registry.group(WORKERS))
        async with self.stream, aclosing(self.lines()) as lines:
            async for line in lines:
                await self.hand_over(workers, line)
                await self.stream.send_all(b"ok %d\n" % line.number)

    async def hand_over(self, workers: histrio.Router[Line], line: Line) -> None:
        while True:
            try:
                await workers.tell(line)
            except histrio.NoRoutee:
                await self.system.registry.wait(WORKERS)  # all workers are being replaced
            else:
                return

    async def lines(self) -> AsyncGenerator[Line, None]:
        """What the client sends, until it closes, or sends what is no line."""
        rest = b""
        while len(rest) < LINE_BYTES_MAX:
            data = await self.stream.receive_some()
            if not data:
                return
            *whole, rest = (rest + data).split(b"\n")
            for one in whole:
                number, _, text = one.decode(errors="replace").partition(" ")
                if not number.isdecimal():
                    return
                yield Line(int(number), text)
