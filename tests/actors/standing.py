"""Actors that do what a message says, for systems that are to stand still: and the messages that make them wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio

import histrio
from histrio import Future, Ref


@attrs.frozen(eq=False)
class Do(histrio.Request[object]):
    """Have the actor do something."""

    name: str
    what: Callable[[Doing], Awaitable[object]] = attrs.field(repr=False)


class Doing(histrio.Actor[Do]):
    """It does what it is told to."""

    shutdown_s = 1.0

    def __init__(self) -> None:
        self.promises: list[histrio.Promise[None]] = []

    async def receive(self, message: Do) -> object:
        return await message.what(self)


class Serial(Doing):
    serial = True


class One(Doing):
    in_flight_max = 1


class Tiny(Serial):
    inbox_max = 1


def asking(other: Ref[Do], then: Do | None = None) -> Do:
    """Ask another actor to do something, and wait for its answer."""

    async def ask(_: Doing) -> object:
        return await other.ask(then if then is not None else nothing())

    return Do("ask", ask)


def nothing() -> Do:
    """Do nothing."""

    async def do(_: Doing) -> None:
        return None

    return Do("nothing", do)


def asking_each_other(one: Ref[Do], other: Ref[Do]) -> Do:
    """For `one`: ask `other` to ask `one`."""
    return asking(other, asking(one))


def sleeping(seconds: float) -> Do:
    """Sleep, with the turn given away."""

    async def sleep(actor: Doing) -> None:
        await actor.io.clock.sleep(seconds)

    return Do("sleep", sleep)


def holding(seconds: float = float("inf")) -> Do:
    """Sleep, with the turn kept."""

    async def hold(_: Doing) -> None:
        await trio.sleep(seconds)

    return Do("hold", hold)


def awaiting(make: Callable[[Doing], Future[object]]) -> Do:
    """Wait for a future."""

    async def wait(actor: Doing) -> object:
        return await make(actor)

    return Do("wait", wait)
