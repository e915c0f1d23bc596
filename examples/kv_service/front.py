"""HTTP in front of the store: an actor that runs Starlette on Hypercorn inside the system, and goes down with it."""

# Design note
# -----------
# A page is an async function from the body of a request to a response. The store's pages ask it with `ask_nowait`: when
# its inbox is full the client is told at once, and comes again, instead of standing in a line that it cannot see.
#
# A request that has come whole is carried out, whether or not its client is still there: a write is then durable and
# answered to nobody. Of a request that did not come whole nothing is carried out.

import logging
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import ClassVar, Final, TypeAlias, cast

import attrs
import trio
from hypercorn.config import Config
from hypercorn.trio import serve  # pyright: ignore[reportUnknownVariableType] - of WSGI, which is not used here
from hypercorn.typing import ASGIFramework
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

import histrio
from examples.kv_service import wire
from examples.kv_service.body import WholeBody
from examples.kv_service.farewell import Farewell
from examples.kv_service.messages import Read, Status, Write, WriteRefused

__all__ = ("Address", "Front", "Page", "StorePages", "make_app")

Page: TypeAlias = Callable[[bytes], Awaitable[Response]]

USAGE: Final = """\
POST /        Write "key" 1     answers Ok when it is safe on the disk
              Read "key"        answers Result 1, or Result Nothing
GET  /tree    the actors of this service, and what they do
GET  /health  how the store is
"""
RETRY_AFTER_S: Final = 1


class StorePages:
    """The pages of a store."""

    def __init__(self, store: histrio.Ref[Write | Read | Status], system: histrio.System) -> None:
        self._store: Final = store
        self._system: Final = system

    async def command(self, body: bytes) -> Response:
        """Carry out a command of the wire."""
        try:
            match wire.parse(body):
                case Read() as read:
                    return _line(wire.show_result(await self._store.ask_nowait(read)))
                case Write() as write:
                    await self._store.ask_nowait(write)
                    return _line("Ok")
        except wire.Malformed as error:
            return _line(str(error), HTTPStatus.BAD_REQUEST)
        except WriteRefused as error:
            return _line(str(error), HTTPStatus.INSUFFICIENT_STORAGE)
        except (histrio.InboxFull, histrio.ActorStopped) as error:
            return _later(error)

    async def health(self, _body: bytes) -> Response:
        """Say that the store answers, and whether it takes writes."""
        try:
            health = await self._store.ask_nowait(Status())
        except (histrio.InboxFull, histrio.ActorStopped) as error:
            return _later(error)
        state = "ok" if health.refusing is None else f"reads only: {health.refusing}"
        return _line(f"{state}\nkeys {health.keys}\nlog_bytes {health.log_bytes}")

    async def tree(self, _body: bytes) -> Response:
        """Draw the actors of the system."""
        return _line(str(self._system.tree()))


def make_app(command: Page, health: Page, tree: Page) -> ASGIApp:
    """The application that answers with these pages, and bounds what clients may send."""
    routes = [
        Route("/", _endpoint(command), methods=["POST"]),
        Route("/", _endpoint(_usage), methods=["GET"]),
        Route("/health", _endpoint(health), methods=["GET"]),
        Route("/tree", _endpoint(tree), methods=["GET"]),
    ]
    return WholeBody(Starlette(routes=routes))


@attrs.frozen
class Address(histrio.Request[str]):
    """Answered with the URL at which the front listens."""


class Front(histrio.Actor[Address]):
    """Serves *app* at *listener*, a bound socket, which belongs to it from now on.

    It has started when it takes requests. Stopping, it takes no more connections and finishes the requests that it
    has; what takes longer than *grace_s* seconds is cancelled.
    """

    shutdown_s: ClassVar[float] = 10.0

    def __init__(self, app: ASGIApp, listener: socket.socket, grace_s: float = 5.0) -> None:
        host, port = listener.getsockname()[:2]
        self.url: Final = f"http://{host}:{port}"
        self.app: Final = Farewell(app)
        self.listener: Final = listener
        self.grace_s: Final = grace_s
        self.closing: Final = trio.Event()

    async def started(self) -> None:
        """Serve in the background. If the server fails, this actor does."""
        serving: histrio.Promise[None] = self.promise()
        self.served = self.background(self._serve, serving)
        await serving

    async def stopped(self, reason: histrio.Reason) -> None:
        """Finish the requests that are here."""
        await self.app.say()
        self.closing.set()
        await self.served

    @histrio.handler(Address)
    async def address(self, m: Address) -> str:
        return self.url

    async def _serve(self, serving: histrio.Promise[None]) -> None:
        with self.listener:
            config = _config(self.listener, self.grace_s)
            async with trio.open_nursery() as nursery:
                app = cast(ASGIFramework, self.app)
                await nursery.start(partial(serve, app, config, shutdown_trigger=self.closing.wait, mode="asgi"))
                serving.set(None)


def _config(listener: socket.socket, grace_s: float) -> Config:
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = 1024
    config.graceful_timeout = grace_s
    config.keep_alive_max_requests = 1_000_000
    config.errorlog = logging.getLogger("hypercorn.error")
    return config


def _endpoint(page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await page(await request.body())

    return endpoint


async def _usage(_body: bytes) -> Response:
    return PlainTextResponse(USAGE)


def _line(text: str, status: int = HTTPStatus.OK) -> Response:
    return PlainTextResponse(f"{text}\n", status)


def _later(error: histrio.HistrioError) -> Response:
    return PlainTextResponse(f"{error}\n", HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": str(RETRY_AFTER_S)})
