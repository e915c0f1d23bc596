"""The pages of the store: a request is never lost in one that is away, it is answered at once: 503, come again."""

# Design note
# -----------
# They find the store by its key, and watch its phase. While it runs it is asked with `ask_nowait`: when its inbox is
# full the client is told, and comes again, instead of standing in a line that it cannot see. While it does not run
# nobody asks it. And who has asked a store that has gone since, and still waits in its inbox for the next one, waits
# no longer: the watcher ends all these waits, which withdraws what has not begun.
#
# So a client waits for a disk that is slow, and for nothing else.

from http import HTTPStatus
from typing import Final, TypeVar

import trio
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

import histrio
from examples.kv_service import wire
from examples.kv_service.front import Front, make_app
from examples.kv_service.messages import STORE, Read, Status, StoreMessage, Unavailable, Write, WriteRefused

__all__ = ("StorePages", "store_app")

R = TypeVar("R")

RETRY_AFTER_S: Final = 1
HEALTH_S: Final = 1.0  # seconds after which a store that does not tell how it is, is not well
NOT_ASKED: Final = "the store is being started again; nothing was done, come again in a second"
GONE: Final = "the store is being started again; whether this was done is not known, come again in a second"


def store_app(front: Front) -> ASGIApp:
    """The application that *front* serves: the pages of the store of its system."""
    pages = StorePages(front.system)
    front.background(pages.follow)
    return make_app(pages.command, pages.health, pages.tree)


class StorePages:
    """The pages of the store of *system*; they are right while `follow` runs."""

    def __init__(self, system: histrio.System) -> None:
        self._system: Final = system
        self._waiting: Final[set[trio.CancelScope]] = set()
        self._store: histrio.Ref[StoreMessage] | None = None  # only while it runs
        store = system.registry.find(STORE)
        if store is not None:
            self._see(store, store.control.status())

    async def follow(self) -> None:
        """Know the store, each that comes in the course of time, and whether it runs; until this is cancelled."""
        while True:
            store = await self._system.registry.wait(STORE)
            async for phase in store.watch(latest=True):
                self._see(store, phase)

    def _see(self, store: histrio.Ref[StoreMessage], phase: histrio.Phase) -> None:
        runs = phase is histrio.Phase.RUNNING
        self._store = store if runs else None
        if phase in (histrio.Phase.RESTARTING, histrio.Phase.STARTING):
            for scope in self._waiting:
                scope.cancel()

    async def command(self, body: bytes) -> Response:
        """Carry out a command of the wire."""
        try:
            match wire.parse(body):
                case Read() as read:
                    return _line(wire.show_result(await self._ask(read)))
                case Write() as write:
                    await self._ask(write)
                    return _line("Ok")
        except wire.Malformed as error:
            return _line(str(error), HTTPStatus.BAD_REQUEST)
        except WriteRefused as error:
            return _line(str(error), HTTPStatus.INSUFFICIENT_STORAGE)
        except (histrio.InboxFull, Unavailable) as error:
            return _later(error)

    async def health(self, _body: bytes) -> Response:
        """Say that the store answers, and whether it takes writes."""
        try:
            with trio.fail_after(HEALTH_S):
                health = await self._ask(Status())
        except (histrio.InboxFull, Unavailable) as error:
            return _later(error)
        except trio.TooSlowError:
            return _later(Unavailable(f"the log does not answer within {HEALTH_S:g} s; is the disk slow?"))
        state = "ok" if health.refusing is None else f"reads only: {health.refusing}"
        return _line(f"{state}\nkeys {health.keys}\nlog_bytes {health.log_bytes}")

    async def tree(self, _body: bytes) -> Response:
        """Draw the actors of the system."""
        return _line(str(self._system.tree()))

    async def _ask(self, message: histrio.Askable[StoreMessage, R]) -> R:
        """What the store answers.

        Raises:
            Unavailable: it does not run, or not any more.
            Refusal: what it answered.
        """
        if self._store is None:
            raise Unavailable(NOT_ASKED)
        with trio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                return await self._store.ask_nowait(message)
            except histrio.ActorStopped as error:
                raise Unavailable(GONE) from error
            finally:
                self._waiting.discard(scope)
        raise Unavailable(GONE)


def _line(text: str, status: int = HTTPStatus.OK) -> Response:
    return PlainTextResponse(f"{text}\n", status)


def _later(error: histrio.HistrioError) -> Response:
    return PlainTextResponse(f"{error}\n", HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": str(RETRY_AFTER_S)})
