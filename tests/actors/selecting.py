"""An actor that does what a message says, and so can be made to select; and the mail that it selects from."""

from collections.abc import Awaitable, Callable
from typing import TypeGuard

import attrs
import trio.testing

import histrio


@attrs.frozen
class Ping(histrio.Request[str]):
    number: int


@attrs.frozen
class Pong(histrio.Request[str]):
    number: int


@attrs.frozen
class LatePong(Pong):
    """A subtype is selected where its base is."""


@attrs.frozen
class Go(histrio.Request[object]):
    """Have `Selecting` do something, for example wait for another message."""

    how: "How"


Mail = Go | Ping | Pong


class Selecting(histrio.Actor[Mail]):
    """It does what `Go` says, and writes down what else it handles."""

    inbox_max = 4

    def __init__(self, log: list[object]) -> None:
        self.log = log

    async def receive(self, message: Mail) -> object:
        if isinstance(message, Go):
            return await message.how(self)
        self.log.append(message)
        return "handled"


class Lossy(Selecting):
    overflow = histrio.DROP_OLD


class Serial(Selecting):
    serial = True


How = Callable[[Selecting], Awaitable[object]]


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


def is_even_pong(message: Mail) -> TypeGuard[Pong]:
    """A type guard."""
    return isinstance(message, Pong) and message.number % 2 == 0


def is_big(message: Mail) -> bool:
    """A predicate over several types."""
    return not isinstance(message, Go) and message.number >= 10


async def any_pong(actor: Selecting) -> Pong:
    """Wait for a Pong."""
    return await actor.select(Pong)
