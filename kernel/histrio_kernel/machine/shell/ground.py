"""What a machine stands on: a world for its waits, a nursery for the tasks of its states, and who is told of trouble."""

# Design note
# -----------
# A machine has the same shell by itself and in an actor; what differs is its ground. By itself it has a nursery only
# within `async with machine:`, and reports by the log. In an actor all of that is the actor's.
#
# A machine that nobody has opened can be mutated and waited for all the same: its waits need no task, only a world, and
# one world serves all such machines of a Trio run.

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Final, Protocol, final

import trio

from histrio_kernel.engine import pace_of_this_run
from histrio_kernel.errors import ActorStopped, HistrioError
from histrio_kernel.futures import Holder, Pace, Telling, World
from histrio_kernel.visiting import home_of

__all__ = ["Ground", "LooseGround", "OwnGround"]

_log: Final = logging.getLogger("histrio.machine")


class Ground(Protocol):
    """What the shell needs of its surroundings."""

    @property
    def name(self) -> str:
        """What reports call the machine: its name, or the path of its actor."""
        ...

    @property
    def world(self) -> World:
        """Where its futures live."""
        ...

    @property
    def identity(self) -> object:
        """What the tasks of its states have in common with other code that may mutate the machine."""
        ...

    @property
    def opener(self) -> Holder | None:
        """Whose code has opened it, and so whose tasks those of its states are, too."""
        ...

    def start(self, context: Context, task: Callable[[], Awaitable[None]], name: str) -> bool:
        """Start a task in that context; False if none can be started (yet, or any more)."""
        ...

    def base(self) -> Context:
        """A copy of the context that the tasks of states begin in."""
        ...

    def report(self, error: HistrioError) -> None:
        """Tell whoever should know."""
        ...

    def unhandled(self, error: BaseException) -> None:
        """The machine has an `exception` that no handler takes."""
        ...


@final
class _LooseWorld:
    """The world of futures that belong to no system."""

    def __init__(self) -> None:
        self.pace: Final[Pace] = pace_of_this_run()
        self.telling: Final[Telling] = deque()

    def now(self) -> float:
        """Trio's clock, in seconds."""
        return trio.current_time()

    def ended(self) -> ActorStopped | None:
        """It has no end of its own."""
        return None

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Run `call` once, later; the returned function prevents it."""
        scope = trio.CancelScope()

        async def wait() -> None:
            with scope:
                await trio.sleep(seconds)
                call()

        trio.lowlevel.spawn_system_task(wait, name=f"histrio: timer of {seconds} s")
        return scope.cancel

    def report(self, error: HistrioError) -> None:
        """Log it."""
        _log.warning("%s: %s", type(error).__name__, error)


_WORLD: Final[trio.lowlevel.RunVar[_LooseWorld]] = trio.lowlevel.RunVar("histrio machines")


def _world_of_this_run(name: str) -> _LooseWorld:
    """One world for all machines of a Trio run that stand by themselves.

    Raises:
        HistrioError: there is no Trio run.
    """
    try:
        return _WORLD.get()
    except LookupError:
        world = _LooseWorld()
        _WORLD.set(world)
        return world
    except RuntimeError:
        raise HistrioError(
            f"{name}: to wait for something takes a Trio run, in which it could come; outside of one a machine can be "
            "mutated and read"
        ) from None


class LooseGround:
    """The ground of a machine that stands by itself and is not open: it has no tasks."""

    __slots__ = ("_world", "name")

    def __init__(self, name: str) -> None:
        self.name: Final = name or "machine"
        self._world: World | None = None

    @property
    def world(self) -> World:
        """That of the Trio run in which it was first waited for.

        Kept, because to find it costs a tenth of a wait. A machine that outlives that run takes it along into the next
        one: all that is of the run in it is where the count of awaits stands.
        """
        if self._world is None:
            self._world = _world_of_this_run(self.name)
        return self._world

    @property
    def identity(self) -> object:
        """Itself: anybody may mutate it."""
        return self

    @property
    def opener(self) -> Holder | None:
        """Nobody has."""
        return None

    def start(self, context: Context, task: Callable[[], Awaitable[None]], name: str) -> bool:
        """Not yet, or not any more: a machine has tasks only while it is open."""
        return False

    def base(self) -> Context:
        """The caller's context."""
        return copy_context()

    def report(self, error: HistrioError) -> None:
        """Log it."""
        _log.warning("%s: %s: %s", self.name, type(error).__name__, error, exc_info=error.__cause__)

    def unhandled(self, error: BaseException) -> None:
        """The state `exception` says it; whoever holds the machine waits for it or asks."""


@final
class OwnGround(LooseGround):
    """The ground of a machine within its own `async with`."""

    __slots__ = ("_base", "_nursery", "_opener")

    def __init__(self, name: str, nursery: trio.Nursery) -> None:
        super().__init__(name)
        self._nursery: Final = nursery
        self._base: Final = copy_context()
        self._opener: Final = home_of(nursery.parent_task)

    @property
    def opener(self) -> Holder | None:
        """An actor, if it was opened in one: its states' tasks are that actor's own code."""
        return self._opener

    def start(self, context: Context, task: Callable[[], Awaitable[None]], name: str) -> bool:
        """In the machine's nursery."""
        try:
            context.run(lambda: self._nursery.start_soon(task, name=name))
        except RuntimeError:  # it is closed: the block is being left in haste, which we shall hear of in a moment
            return False
        return True

    def base(self) -> Context:
        """The context in which the machine was opened."""
        return self._base.copy()
