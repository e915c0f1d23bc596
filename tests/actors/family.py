"""A parent that does what it is told to, and children that write down how they live."""

from collections.abc import Awaitable, Callable

import attrs
import trio
import trio.testing

import histrio
from histrio import Ref


@attrs.frozen
class Do(histrio.Request[object]):
    """Have `Parent` do something."""

    what: "Callable[[Parent], Awaitable[object]]"


class Parent(histrio.Actor[Do]):
    """It does what it is told to."""

    async def receive(self, message: Do) -> object:
        return await message.what(self)


@attrs.frozen
class Work(histrio.Request[str]):
    what: str = ""


class Child(histrio.Actor[Work]):
    """It writes down how it lives."""

    def __init__(self, name: str = "child", log: list[str] | None = None) -> None:
        self.name = name
        self.log = log if log is not None else []

    async def started(self) -> None:
        self.log.append(f"{self.name} starts")
        await trio.lowlevel.checkpoint()
        self.log.append(f"{self.name} started")

    async def receive(self, message: Work) -> str:
        self.log.append(f"{self.name} {message.what}")
        if message.what == "fail":
            raise ValueError(f"{self.name} failed")
        return message.what

    async def stopped(self, reason: histrio.Reason) -> None:
        self.log.append(f"{self.name} stops")
        await trio.lowlevel.checkpoint()
        self.log.append(f"{self.name} stopped")


class Quiet(histrio.Actor[Work]):
    """It has no hooks."""

    async def receive(self, message: Work) -> str:
        return message.what


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


async def spawn_children(log: list[str], parent: Parent) -> tuple[Ref[Work], ...]:
    """Spawn three, one after the other."""
    return tuple([await parent.spawn(Child, name, log, name=name) for name in ("a", "b", "c")])
