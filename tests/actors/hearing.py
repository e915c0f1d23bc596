"""Actors that write down the words that they hear, and parents that spawn such children with copies of their inbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

import attrs
import trio
import trio.testing

import histrio
from histrio import Ref


@attrs.frozen
class Word(histrio.Request[str]):
    """Heard, and answered with who heard it."""

    text: str


@attrs.frozen
class Do(histrio.Request[object]):
    """Have the actor do something; it is not written down."""

    what: Callable[[Hearing], Awaitable[object]]


Mail = Word | Do


class Hearing(histrio.Actor[Mail]):
    """Writes down the words that it hears. As a child it hears copies of its parent's orders too, and follows none."""

    def __init__(self, heard: list[str] | None = None, *, follows: bool = False) -> None:
        self.heard = heard if heard is not None else []
        self.follows = follows

    @histrio.handler(Word)
    async def hear(self, m: Word) -> str:
        self.heard.append(m.text)
        return self.ref.path

    @histrio.handler(Do)
    async def do(self, m: Do) -> object:
        return await m.what(self) if self.follows else None


class Leader(Hearing):
    """A parent: it does what it is told to."""

    def __init__(self, heard: list[str] | None = None) -> None:
        super().__init__(heard, follows=True)


class Tiny(Hearing):
    inbox_max = 2


class TinyLeader(Leader):
    inbox_max = 2


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


def spawning(kind: type[Hearing], heard: list[str], name: str | None = None) -> Do:
    """An order to spawn such a child with copies, which hears into a list of the test."""

    async def spawn(parent: Hearing) -> Ref[Mail]:
        return await parent.spawn(kind, heard, name=name, copy_inbox=True)

    return Do(spawn)


async def child_of(parent: Ref[Mail], kind: type[Hearing], heard: list[str], name: str | None = None) -> Ref[Mail]:
    """Have `parent` spawn a child with copies."""
    return cast("Ref[Mail]", await parent.ask(spawning(kind, heard, name)))


async def tell_all(ref: Ref[Word], words: str) -> None:
    """Tell each letter."""
    for word in words:
        await ref.tell(Word(word))
