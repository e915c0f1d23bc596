"""HTTP: an actor that runs Starlette on Hypercorn inside the system, and goes down with it."""

# Design note
# -----------
# A page is an async function from the body of a request to a response. What the pages are about, this actor does not
# know: it makes them, with what it is given for that, each time when it starts.
#
# The socket is not its own. It serves at a duplicate, so that the port stays open when it is started again: clients
# that come meanwhile wait in the socket's queue.
#
# A request that has come whole is carried out, whether or not its client is still there: a write is then durable and
# answered to nobody. Of a request that did not come whole nothing is carried out.

import logging
import socket
from collections.abc import Awaitable, Callable
from functools import partial
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
from examples.kv_service.body import WholeBody
from examples.kv_service.farewell import Farewell

__all__ = ("Address", "Front", "Page", "make_app")

Page: TypeAlias = Callable[[bytes], Awaitable[Response]]

USAGE: Final = """\
POST /        Write "key" 1     answers Ok when it is safe on the disk
              Read "key"        answers Result 1, or Result Nothing
GET  /tree    the actors of this service, and what they do
GET  /health  how the store is
"""


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
    """Serves what *make* makes for it at *listener*, a bound socket that stays its owner's.

    It has started when it takes requests. Stopping, it takes no more connections and finishes the requests that it
    has; what takes longer than *grace_s* seconds is cancelled.
    """

    shutdown_s: ClassVar[float] = 10.0

    def __init__(self, make: Callable[["Front"], ASGIApp], listener: socket.socket, grace_s: float = 5.0) -> None:
        host, port = listener.getsockname()[:2]
        self.url: Final = f"http://{host}:{port}"
        self.make: Final = make
        self.listener: Final = listener
        self.grace_s: Final = grace_s
        self.closing: Final = trio.Event()

    async def started(self) -> None:
        """Serve in the background. If the server fails, this actor does."""
        serving: histrio.Promise[None] = self.promise()
        self.app = Farewell(self.make(self))
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
        config = _config(self.listener.dup(), self.grace_s)
        async with trio.open_nursery() as nursery:
            app = cast(ASGIFramework, self.app)
            await nursery.start(partial(serve, app, config, shutdown_trigger=self.closing.wait, mode="asgi"))
            serving.set(None)


def _config(listener: socket.socket, grace_s: float) -> Config:
    """The settings of a server at *listener*, which is its own from now on."""
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
