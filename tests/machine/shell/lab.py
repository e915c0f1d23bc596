"""A machine of a few states, handlers that do deeds and write them down, and looks at what a machine holds behind its front."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar

import attrs

from histrio_kernel.futures import HOLDERS, Future
from histrio_kernel.machine.core.body import HEARD
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.shell.tasks import StateHolder
from histrio_kernel.machine.states.family import States
from histrio_kernel.machine.states.handlers import Handlers
from histrio_kernel.machine.states.state import State

__all__ = [
    "Letters",
    "Oops",
    "Page",
    "Tasks",
    "assert_idle",
    "is_listening",
    "lines_of",
    "now",
    "raises",
    "state_tasks",
    "waits_of",
]

T = TypeVar("T")

Deed: TypeAlias = Callable[[Transition[object]], object]
AsyncDeed: TypeAlias = Callable[[Transition[object]], Awaitable[None]]


class Oops(Exception):
    """What a handler raises here."""


def raises(transition: Transition[object]) -> object:
    """Fail."""
    raise Oops


@attrs.frozen
class Page:
    """The arguments of `Letters.page`."""

    url: str
    level: int = 0


class Letters(States):
    """States without relations, but for the last."""

    a = State()
    b = State()
    c = State()
    again = State(multi=True)
    kept = State(multi="keep")
    page = State(Page)
    done = State(until_done=True)
    base = State()
    higher = State(require=[base])


class Tasks(Handlers, states=Letters):
    """Writes down the tasks of `a`, and runs what it is given in them."""

    def __init__(self, entered: AsyncDeed | None = None, exited: AsyncDeed | None = None, name: str = "") -> None:
        self.log: Final[list[str]] = []
        self.prefix: Final = name and f"{name} "
        self._entered: Final = entered
        self._exited: Final = exited

    @Letters.a.entered
    async def begin(self, transition: Transition[None]) -> None:
        self.log.append(f"{self.prefix}entered {transition.number}")
        try:
            if self._entered is not None:
                await self._entered(transition)
        finally:
            self.log.append(f"{self.prefix}left {transition.number}")

    @Letters.a.exited
    async def end(self, transition: Transition[None]) -> None:
        self.log.append(f"{self.prefix}exited {transition.number}")
        if self._exited is not None:
            await self._exited(transition)


def now(future: Future[T]) -> T:
    """The value that a future has already; fail if it has none."""
    assert future.is_done, f"{future!r} has no outcome yet"
    try:
        future.__await__().send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise AssertionError("an await of what is complete returns at once, 63 times of 64")


def waits_of(machine: Machine) -> int:
    """How many waits stand in a machine."""
    return 0 if machine._keeper is None else len(machine._keeper.waits)


def lines_of(machine: Machine) -> int:
    """How many states of a machine have activations that hold something."""
    return 0 if machine._keeper is None else len(machine._keeper._lines)


def is_listening(machine: Machine) -> bool:
    """Whether it tells of its transitions, which costs."""
    return bool(machine.flags & HEARD)


def state_tasks() -> int:
    """How many Trio tasks run for states, of whatever machine."""
    return sum(isinstance(holder, StateHolder) for holder in HOLDERS.values())


def assert_idle(machine: Machine) -> None:
    """Nothing is waited for, nothing belongs to a state, and nobody hears of its transitions."""
    assert (waits_of(machine), lines_of(machine), is_listening(machine)) == (0, 0, False)
