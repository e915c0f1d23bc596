"""An actor that is told to set timers, and writes down when their messages come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import cast

import attrs
import trio
import trio.testing

import histrio
from histrio import Ref


@attrs.frozen
class Tick:
    """What a timer sends."""

    name: str = "tick"


@attrs.frozen
class Do(histrio.Request[object]):
    """Have the actor do something, usually with its timers."""

    what: Callable[[Ticking], object]


@attrs.frozen
class Hold(histrio.Request[None]):
    """Keep the turn for a while."""

    seconds: float


Mail = Tick | Do | Hold
Log = list[tuple[float, str]]


class Ticking(histrio.Actor[Mail]):
    """It writes down when ticks come; times count from its making."""

    def __init__(self, log: Log, at_start: Callable[[Ticking], object] | None = None) -> None:
        self.log = log
        self.born = trio.current_time()
        self.at_start = at_start

    async def started(self) -> None:
        if self.at_start is not None:
            self.at_start(self)

    @histrio.handler(Tick)
    async def tick(self, m: Tick) -> None:
        self.log.append((trio.current_time() - self.born, m.name))
        if m.name == "fail":
            raise ValueError("told to fail")

    @histrio.handler(Do)
    async def do(self, m: Do) -> object:
        value = m.what(self)
        return await cast(Awaitable[object], value) if isinstance(value, Awaitable) else value

    @histrio.handler(Hold)
    async def hold(self, m: Hold) -> None:
        await trio.sleep(m.seconds)


class Tiny(Ticking):
    inbox_max = 2


class Refusing(Tiny):
    overflow = histrio.REFUSE


class New(Tiny):
    overflow = histrio.DROP_NEW


class Old(Tiny):
    overflow = histrio.DROP_OLD


def _name(message: Mail) -> str:
    return message.name if isinstance(message, Tick) else repr(message)


class Last(Tiny):
    overflow = histrio.LATEST(_name)


@attrs.frozen
class Scene:
    """A system with one such actor in it."""

    system: histrio.System
    ref: Ref[Mail]
    log: Log

    async def do(self, what: Callable[[Ticking], object]) -> object:
        """Have the actor do it."""
        return await self.ref.ask(Do(what))

    async def until(self, seconds: float) -> Log:
        """Wait until so much time has passed since the start, and what was due at that moment is done."""
        await trio.sleep_until(self._born + seconds)
        await trio.testing.wait_all_tasks_blocked()
        return self.log

    _born: float = attrs.field(factory=trio.current_time)


@asynccontextmanager
async def ticking(kind: type[Ticking] = Ticking) -> AsyncGenerator[Scene]:
    """Open a system with such an actor."""
    async with histrio.open_system(held_turn_s=1000) as system:
        log: Log = []
        yield Scene(system, await system.spawn(kind, log, name="clock"), log)


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


def new_log() -> Log:
    """Nothing has come yet."""
    return []


def cancelling(key: Hashable) -> Callable[[Ticking], object]:
    """Call a timer off, and tell whether there was one."""
    return lambda actor: actor.timers.cancel(key)


def setting(seconds: float, name: str) -> Callable[[Ticking], object]:
    """Set a timer of its own key."""
    return lambda actor: actor.timers.after(seconds, Tick(name))
