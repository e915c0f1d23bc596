"""When a server stops, its clients are told: each answer from then on says that the connection ends with it."""

# Design note
# -----------
# A client that is not told sends its next request into a connection that is being closed. It would lose that request;
# and Hypercorn, which then has a request that it neither reads nor refuses, would wait until its time is over.
#
# So there are two steps. First the farewell: answers that begin from now on carry the header, and those that have begun
# without it are finished. Only then is the server shut down.

from typing import Final

import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ("Farewell",)


class Farewell:
    """An ASGI application that answers as *app* does, until the farewell; then it also closes the connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app
        self._begun = False
        self._untold = 0  # answers under way that do not say that the connection ends
        self._all_told: Final = trio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        untold = False

        async def send_on(message: Message) -> None:
            nonlocal untold
            if message["type"] == "http.response.start":
                if self._begun:
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
                else:
                    untold = True
                    self._untold += 1
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            if untold:
                self._untold -= 1
                if self._begun and not self._untold:
                    self._all_told.set()

    async def say(self, seconds_max: float = 1.0) -> None:
        """Tell all clients from now on; wait for the answers under way that do not, for at most *seconds_max*."""
        self._begun = True
        if self._untold:
            with trio.move_on_after(seconds_max):
                await self._all_told.wait()
