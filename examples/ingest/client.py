"""A client that gives no line up: what was not answered with `ok` is sent again, over a new connection."""

from collections.abc import Awaitable, Callable, Iterable

import trio

Connect = Callable[[], Awaitable[trio.abc.Stream]]
"""Connects to the listener. Raises `OSError` when nobody listens."""

ANSWER_S = 2.0
"""How long it waits for an answer before it connects anew."""


class Client:
    """Sends lines, some at a time.

    `accepted` are the numbers of those that were answered.
    """

    def __init__(self, connect: Connect, at_once: int = 20) -> None:
        self.connect = connect
        self.at_once = at_once
        self.accepted: set[int] = set()
        self.connections = 0

    async def send(self, lines: Iterable[tuple[int, str]]) -> None:
        """Send these, and return when all have been answered."""
        open_lines = dict(lines)
        while open_lines:
            try:
                async with await self.connect() as stream:
                    self.connections += 1
                    await self._send_over(stream, open_lines)
            except (OSError, trio.BrokenResourceError, trio.TooSlowError):
                await trio.sleep(0.05)

    async def _send_over(self, stream: trio.abc.Stream, open_lines: dict[int, str]) -> None:
        """Send over one connection until all are answered, or it fails."""
        rest = b""
        while open_lines:
            some = list(open_lines.items())[: self.at_once]
            await stream.send_all(b"".join(b"%d %s\n" % (number, text.encode()) for number, text in some))
            waiting = {number for number, _ in some}
            with trio.fail_after(ANSWER_S):
                while waiting:
                    data = await stream.receive_some()
                    if not data:
                        raise trio.BrokenResourceError("the connection was closed")
                    *whole, rest = (rest + data).split(b"\n")
                    for one in whole:
                        number = int(one.removeprefix(b"ok "))
                        waiting.discard(number)
                        open_lines.pop(number, None)
                        self.accepted.add(number)
