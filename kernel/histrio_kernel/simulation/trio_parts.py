"""What stands in for parts of Trio in one simulated run: its clock, its queue, its sets, its deadlines, its instruments."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappush
from typing import Any, Final, TypeVar, final

import trio
from trio._core import _run
from trio.lowlevel import Task

from histrio_kernel.simulation.errors import SimUnsupportedTrio

__all__ = ["Generators", "Hooks", "OrderedSet", "Queue", "SimClock", "TieBreaking"]

T = TypeVar("T")


@final
class SimClock(trio.abc.Clock):
    """Time that moves only when somebody moves it. In seconds, from 0."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0.0

    def start_clock(self) -> None:
        """It needs no start."""

    def current_time(self) -> float:
        """What it reads."""
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """How far away that is."""
        return deadline - self.now


@final
class Queue(deque[Task]):
    """Trio's queue of runnable tasks, which shows only the one that was chosen."""

    chosen: int = -1

    def __iter__(self) -> Iterator[Task]:
        return iter(()) if self.chosen < 0 else iter((self[self.chosen],))

    def clear(self) -> None:
        """Trio has taken what it was shown."""
        if self.chosen >= 0:
            del self[self.chosen]
            self.chosen = -1

    def all(self) -> list[Task]:
        """The tasks that can go on, in the order in which they became able to."""
        return list(super().__iter__())

    def sort(self) -> None:
        """From here on they are in the order in which they began."""
        tasks = sorted(self.all(), key=lambda task: task._counter)
        super().clear()
        super().extend(tasks)

    def _unknown(self, *_: object, **__: object) -> Any:
        raise SimUnsupportedTrio("Trio takes tasks out of its queue in a way that the simulator does not know")

    popleft = pop = copy = rotate = extend = extendleft = appendleft = insert = reverse = remove = _unknown
    __copy__ = __reversed__ = __add__ = __iadd__ = __mul__ = __imul__ = _unknown


class OrderedSet(dict[T, None]):
    """As much of a set as Trio uses, in the order of insertion."""

    __slots__ = ()

    def add(self, item: T) -> None:
        """It is the last, if it is not here."""
        self[item] = None

    def remove(self, item: T) -> None:
        """It is here."""
        del self[item]

    def discard(self, item: T) -> None:
        """It may be here."""
        self.pop(item, None)


class Generators:
    """The asynchronous generators that are alive, in the order in which they began; as much of a WeakSet as Trio uses."""

    def __init__(self) -> None:
        self._refs: Final[dict[int, weakref.ref[Any]]] = {}

    def add(self, generator: object) -> None:
        """It begins now."""
        key = id(generator)
        self._refs[key] = weakref.ref(generator, lambda _: self._refs.pop(key, None))

    def __iter__(self) -> Iterator[Any]:
        return iter([found for ref in list(self._refs.values()) if (found := ref()) is not None])

    def take(self) -> list[Any]:
        """All of them, which are not here any more."""
        taken = list(self)
        self._refs.clear()
        return taken


class TieBreaking(_run.Deadlines):
    """Equal deadlines expire in the order in which they were set."""

    __slots__ = ("_count",)

    def add(self, deadline: float, cancel_scope: trio.CancelScope) -> None:
        """The scope has that deadline now."""
        self._count = getattr(self, "_count", 0) + 1
        heappush(self._heap, (deadline, self._count, cancel_scope))
        self._active += 1


class Hooks(dict[str, str]):
    """Trio's table of instruments, of which we need one. Trio looks into its own six times a pass, and that is slow.

    Whoever attaches an instrument to a simulated run gets Trio's own back, with ours in it.
    """

    def __init__(self, runner: Any, exited: Callable[[Task], None]) -> None:
        super().__init__(task_exited="")
        self._runner: Final = runner
        self._whole: Final = runner.instruments
        self._exited: Final = exited

    def call(self, _: str, task: Task) -> None:
        """There is one hook, and one who wants it."""
        self._exited(task)

    def add_instrument(self, instrument: trio.abc.Instrument) -> None:
        """From now on Trio's own table serves both."""
        self._runner.instruments = self._whole
        self._whole.add_instrument(instrument)

    def remove_instrument(self, instrument: trio.abc.Instrument) -> None:
        """It cannot be there, which is for Trio to say."""
        self._whole.remove_instrument(instrument)
