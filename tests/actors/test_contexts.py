"""A4: what a handler or a hook sets in its context ends with it, told by identity and never by comparing values."""

from contextvars import ContextVar
from typing import Final

import histrio

fields: Final[ContextVar[dict[str, str]]] = ContextVar("fields")
strict: Final[ContextVar[object]] = ContextVar("strict")


class Incomparable:
    """Like an array: two of them are neither equal nor unequal, and none has a hash."""

    def __hash__(self) -> int:
        raise TypeError("unhashable")

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


class Logging(histrio.Actor[str]):
    """Begins each message with log fields of its own, which are empty at first, as those at the spawn are."""

    def __init__(self, found: list[dict[str, str]]) -> None:
        self.found = found

    async def receive(self, message: str) -> None:
        self.found.append(fields.get())
        fields.set({})


async def test_an_equal_value_of_a_handler_ends_with_it() -> None:
    """A4: a handler that sets a value equal to the one at the spawn leaves the next handler the one at the spawn."""
    at_spawn: dict[str, str] = {}
    fields.set(at_spawn)
    found: list[dict[str, str]] = []

    async with histrio.open_system() as system:
        actor = await system.spawn(Logging, found)
        for _ in range(3):
            await actor.tell("log")

    assert [one is at_spawn for one in found] == [True, True, True]


class SetsInHooks(histrio.Actor[str]):
    """Sets, when it starts, what cannot be compared with the value at the spawn."""

    async def started(self) -> None:
        strict.set(Incomparable())

    async def receive(self, message: str) -> object:
        return strict.get()


async def test_a_hook_may_set_what_cannot_be_compared() -> None:
    """A4: a hook's context ends with it, too, whatever objects are in it."""
    at_spawn = Incomparable()
    strict.set(at_spawn)
    found: list[object] = []

    class Noting(SetsInHooks):
        async def receive(self, message: str) -> None:
            found.append(strict.get())

    async with histrio.open_system() as system:
        actor = await system.spawn(Noting)
        await actor.tell("which?")

    assert found[0] is at_spawn
