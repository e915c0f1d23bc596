"""Actors for the tests of patterns: they keep what they hear, and answer who they are."""

from __future__ import annotations

from typing import TypeVar

import attrs
import trio
import trio.testing

import histrio
from histrio import Ref

T = TypeVar("T")


@attrs.frozen
class Say:
    """Heard and kept."""

    word: str


@attrs.frozen
class Name(histrio.Request[str]):
    """Who are you?"""


class Person(histrio.Actor[Say | Name]):
    """Keeps what it hears in a list of the test."""

    def __init__(self, heard: list[str] | None = None) -> None:
        self.heard = heard if heard is not None else []

    async def receive(self, message: Say | Name) -> object:
        match message:
            case Say(word):
                self.heard.append(word)
                if word == "fail":
                    raise ValueError("told to fail")
                return None
            case Name():
                return self.ref.path


class Small(Person):
    """Has room for two."""

    inbox_max = 2


PERSON = histrio.Key[Say | Name]("person")


async def spawn_people(system: histrio.System, names: str) -> list[Ref[Say | Name]]:
    """One for each letter."""
    return [await system.spawn(Person, name=name) for name in names]


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


async def end(ref: Ref[Say]) -> None:
    """Kill it and wait for its end."""
    ref.control.kill()
    with trio.move_on_after(10):
        try:
            await ref.join()
        except histrio.ActorStopped:
            return


async def news(feed: histrio.Feed[T]) -> list[T]:
    """What can be read without waiting."""
    return [await feed.next() for _ in range(feed.kept)]
