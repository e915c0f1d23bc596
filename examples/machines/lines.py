"""A server that speaks in lines and hangs up all the time, for `connection.py`."""

from collections.abc import Sequence
from typing import Final

import attrs

import histrio
from histrio_kernel.driver import Listener, Stream


@attrs.define
class Lines:
    """Reads a stream, line by line; None at its end."""

    stream: Stream
    rest: bytes = b""

    async def next(self) -> str | None:
        while b"\n" not in self.rest:
            data = await self.stream.receive_some()
            if not data:
                return None
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        return line.decode()


@attrs.frozen
class Where(histrio.Request[tuple[str, int]]):
    """Answered with the address at which a server listens."""


class Server(histrio.Actor[Where]):
    """Answers in capitals. Of the connections in turn it hangs up after so many lines; at 0 before it says hello."""

    def __init__(self, lines: Sequence[int]) -> None:
        self.lines: Final = lines

    async def started(self) -> None:
        (self.listener,) = await self.io.net.listen("127.0.0.1", 0)
        self.background(self.serve, self.listener)

    @histrio.handler(Where)
    async def where(self, m: Where) -> tuple[str, int]:
        return self.listener.address

    async def serve(self, listener: Listener) -> None:
        for count in self.lines:
            stream = await listener.accept()
            lines = Lines(stream)
            if count:
                await stream.send_all(b"hello\n")
            for _ in range(count):
                line = await lines.next()
                if line is not None:
                    await stream.send_all(f"{line.upper()}\n".encode())
            await stream.aclose()
        await listener.aclose()
        self.finish()
