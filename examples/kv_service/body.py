"""No request makes the service hold more than `body_bytes_max` of its body, or wait for it longer than `body_s`."""

# Design note
# -----------
# This stands before the application and reads the whole body first, so no page behind it can forget to. What is too
# long or too slow is answered here, and the connection closed.
#
# It is not closed at once. A client that still sends when the connection is closed gets a reset, which may reach it
# before the answer and wipe that out. So the answer goes first, then what comes is thrown away until the client has
# stopped or `linger_s` is over. Somebody must go on reading while the connection is closed, too: Hypercorn puts the
# news of it into the same bounded queue as the body, and would wait for room in it for ever.

from typing import Final

import trio
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ("BODY_BYTES_MAX", "WholeBody")

BODY_BYTES_MAX: Final = 64 * 1024


class _NoBody(Exception):
    """The body was not taken; the client, if it is still there, is told why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status: Final = status


class _ClientGone(Exception):
    """The client has closed the connection, so there is nobody to answer."""


class WholeBody:
    """An ASGI application that gives *app* requests with their whole body in one piece.

    A longer body than *body_bytes_max* is answered 413, one that has not come after *body_s* seconds 408.
    """

    def __init__(
        self, app: ASGIApp, *, body_bytes_max: int = BODY_BYTES_MAX, body_s: float = 10.0, linger_s: float = 2.0
    ) -> None:
        self._app: Final = app
        self._bytes_max: Final = body_bytes_max
        self._body_s: Final = body_s
        self._linger_s: Final = linger_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read_in_time(receive)
        except _NoBody as refusal:
            await self._refuse(refusal, scope, receive, send)
        except _ClientGone:
            return
        else:
            await self._app(scope, _replay(body, receive), send)

    async def _read_in_time(self, receive: Receive) -> bytes:
        try:
            with trio.fail_after(self._body_s):
                return await self._read(receive)
        except trio.TooSlowError:
            raise _NoBody(408, f"expected the whole body within {self._body_s:g} s") from None

    async def _read(self, receive: Receive) -> bytes:
        """The body; nothing is read beyond its bound."""
        pieces: list[bytes] = []
        left = self._bytes_max
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise _ClientGone
            piece: bytes = message.get("body", b"")
            left -= len(piece)
            if left < 0:
                raise _NoBody(413, f"expected a body of at most {self._bytes_max} bytes")
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)

    async def _refuse(self, refusal: _NoBody, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, linger, close."""

        async def send_unfinished(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["more_body"] = True
            await send(message)

        answer = PlainTextResponse(f"{refusal}\n", refusal.status, {"connection": "close"})
        async with trio.open_nursery() as nursery:
            client_is_done = trio.Event()
            nursery.start_soon(_throw_away, receive, client_is_done)
            await answer(scope, receive, send_unfinished)
            with trio.move_on_after(self._linger_s):
                await client_is_done.wait()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            nursery.cancel_scope.cancel()


async def _throw_away(receive: Receive, done: trio.Event) -> None:
    """Read on, and say when the client sends no more."""
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            done.set()


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives *body* first, in one piece."""
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return whole.pop() if whole else await receive()

    return replay
