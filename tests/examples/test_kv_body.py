"""Bodies of requests are bounded in bytes and in time, whatever the application behind does with them."""

import pytest
import trio
from examples.kv_service.body import WholeBody
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from trio.testing import MockClock

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/", "headers": []}


def piece(body: bytes, *, more: bool) -> Message:
    """One piece of a body, as a server gives it."""
    return {"type": "http.request", "body": body, "more_body": more}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body; the second message of the server, if it is asked for, is a line more."""
    request = Request(scope, receive)
    body = await request.body()
    if body == b"wait":
        body = str((await receive())["type"]).encode()
    await PlainTextResponse(body)(scope, receive, send)


class Server:
    """What a server is to an application: messages that come, after a while each, and those that were sent."""

    def __init__(self, *incoming: tuple[float, Message]) -> None:
        self.incoming = list(incoming)
        self.sent: list[Message] = []
        self.sent_at: list[float] = []

    async def receive(self) -> Message:
        if not self.incoming:
            await trio.sleep_forever()
        seconds, message = self.incoming.pop(0)
        await trio.sleep(seconds)
        return message

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self.sent_at.append(trio.current_time())

    async def run(self, *, body_bytes_max: int = 10) -> tuple[int, bytes]:
        """Have one request answered: status and body."""
        app = WholeBody(echo, body_bytes_max=body_bytes_max, body_s=10, linger_s=2)
        await app(SCOPE, self.receive, self.send)
        if not self.sent:
            return 0, b""
        assert [message.get("more_body", False) for message in self.sent[1:]].count(False) == 1
        return self.sent[0]["status"], b"".join(message["body"] for message in self.sent[1:])


async def test_the_application_gets_the_whole_body(autojump_clock: MockClock) -> None:
    """Pieces are put together; behind the body the application hears the server itself."""
    server = Server((0, piece(b"wa", more=True)), (1, piece(b"it", more=False)), (1, {"type": "http.disconnect"}))

    assert await server.run() == (200, b"http.disconnect")
    assert trio.current_time() == 2


@pytest.mark.parametrize("length", [0, 1, 10])
async def test_up_to_the_bound_a_body_is_taken(length: int) -> None:
    """A body of exactly the bound is taken."""
    assert await Server((0, piece(b"x" * length, more=False))).run() == (200, b"x" * length)


async def test_beyond_the_bound_nothing_more_is_kept(autojump_clock: MockClock) -> None:
    """The answer is 413 at the first byte too many; what comes then is thrown away until the client has stopped."""
    server = Server(
        (0, piece(b"x" * 10, more=True)),
        (0, piece(b"x", more=True)),
        (0.5, piece(b"x" * 1_000, more=True)),
        (0.5, piece(b"", more=False)),
    )

    assert await server.run() == (413, b"expected a body of at most 10 bytes\n")
    assert (b"connection", b"close") in server.sent[0]["headers"]
    assert server.sent_at == [0, 0, 1]
    assert trio.current_time() == 1


async def test_who_never_stops_is_left_behind(autojump_clock: MockClock) -> None:
    """Throwing away ends after `linger_s`."""
    server = Server(*[(0.25, piece(b"x" * 11, more=True))] * 100)

    assert (await server.run())[0] == 413
    assert trio.current_time() == 2.25


async def test_a_slow_body_is_408(autojump_clock: MockClock) -> None:
    """A body that has not come in time is refused, and the connection closed."""
    server = Server((0, piece(b"x", more=True)), (11, {"type": "http.disconnect"}))

    assert await server.run() == (408, b"expected the whole body within 10 s\n")
    assert trio.current_time() == 12


async def test_nobody_is_answered_who_has_gone() -> None:
    """A client that goes away in the middle of a body is not answered, and the application is not called."""
    assert await Server((0, piece(b"x", more=True)), (0, {"type": "http.disconnect"})).run() == (0, b"")
