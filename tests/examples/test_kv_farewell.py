"""A server that stops tells its clients first: no answer that does not say so is under way when it closes."""

import trio
import trio.testing
from examples.kv_service.farewell import Farewell
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from trio.testing import MockClock

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
CLOSE = (b"connection", b"close")


async def receive() -> Message:
    """Nothing is asked of the client here."""
    raise AssertionError


class Slow:
    """An application that waits before and after the beginning of its answer."""

    def __init__(self) -> None:
        self.may_begin = trio.Event()
        self.may_end = trio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_slowly(message: Message) -> None:
            await send(message)
            await self.may_end.wait()

        await self.may_begin.wait()
        await PlainTextResponse("")(scope, receive, send_slowly)


async def test_answers_from_then_on_say_that_the_connection_ends() -> None:
    """Before the farewell an answer is as the application made it; after it, it has the header."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    app = Farewell(PlainTextResponse("hello"))
    await app(SCOPE, receive, send)
    await app.say()
    await app(SCOPE, receive, send)

    assert [CLOSE in message["headers"] for message in sent[::2]] == [False, True]


async def test_answers_that_have_begun_are_finished_first() -> None:
    """The farewell ends when the last answer without the header has; one that has not begun does not hold it up."""
    heads: list[Message] = []

    async def send(message: Message) -> None:
        heads.append(message)

    early, late = Slow(), Slow()
    early.may_begin.set()
    said = False

    async def say() -> None:
        nonlocal said
        await app.say()
        said = True

    app = Farewell(early)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app, SCOPE, receive, send)
        await trio.testing.wait_all_tasks_blocked()
        app_late = Farewell(late)
        nursery.start_soon(app_late, SCOPE, receive, send)
        await trio.testing.wait_all_tasks_blocked()
        await app_late.say()
        nursery.start_soon(say)
        await trio.testing.wait_all_tasks_blocked()
        assert not said

        early.may_end.set()
        await trio.testing.wait_all_tasks_blocked()
        assert said
        late.may_begin.set()
        late.may_end.set()

    assert [CLOSE in message["headers"] for message in heads if message["type"] == "http.response.start"] == [
        False,
        True,
    ]


async def test_the_farewell_is_bounded_in_time(autojump_clock: MockClock) -> None:
    """A client that takes no answer does not hold it up."""
    slow = Slow()
    slow.may_begin.set()

    async def send(message: Message) -> None:
        pass

    app = Farewell(slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(app, SCOPE, receive, send)
        await trio.testing.wait_all_tasks_blocked()
        await app.say(3)
        assert trio.current_time() == 3
        slow.may_end.set()
