"""What a machine consists of: a node, a clock and flags; all else only once it is needed."""

# Design note
# -----------
# A plain mutation looks at the flags once: if none is set, one look-up of the node is all there is to do. So every
# thing that needs more of a mutation has a flag, and a machine without any holds no object but its clock.

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from histrio_kernel.machine.core.automaton import Automaton
from histrio_kernel.machine.core.moves import Node
from histrio_kernel.machine.core.transition import Mutation, Source, Transition
from histrio_kernel.machine.core.watching import Shell, Tracer

__all__ = ["BUSY", "DISPOSED", "DRAIN_MAX", "FAILED", "HANDLED", "HEARD", "QUEUED", "QUEUE_MAX", "TRACED", "Body", "More"]

HANDLED: Final = 1
"""Some handler is bound."""
TRACED: Final = 2
"""Some tracer is attached."""
HEARD: Final = 4
"""The shell wants to hear of transitions."""
BUSY: Final = 8
"""The queue is being worked off."""
QUEUED: Final = 16
"""An interrupt has left mutations in the queue."""
FAILED: Final = 32
"""`error` holds one, which ends with `exception`."""
DISPOSED: Final = 64

QUEUE_MAX: Final = 1000
DRAIN_MAX: Final = 10_000

_SILENT: Final = Shell()


class More:
    """What a machine needs once it has handlers, tracers, a shell, a queue or an error."""

    __slots__ = (
        "change",
        "current",
        "drain_max",
        "error",
        "name",
        "no_autos",
        "owners",
        "queue",
        "queue_max",
        "shell",
        "tracers",
        "transitions",
    )

    def __init__(self, name: str, queue_max: int, drain_max: int) -> None:
        self.name: Final = name
        self.queue_max: Final = queue_max
        self.drain_max: Final = drain_max
        self.queue: Final[deque[Mutation]] = deque()
        self.owners: tuple[object, ...] = ()
        """Of the tables of the automaton, one each."""
        self.tracers: tuple[Tracer, ...] = ()
        self.shell: Shell = _SILENT
        self.current: Transition | None = None
        self.error: BaseException | None = None
        self.transitions = 0
        self.no_autos = False
        """An auto transition failed in this drain."""
        self.change: list[Callable[[], None]] = []
        """What is to be done before the next transition: handlers and tracers bound within this one."""

    def source(self) -> Source | None:
        """The transition that runs: what is mutated now comes from it."""
        return None if self.current is None else self.current.as_source(self.name)

    def trace(self, step: str, *what: object) -> None:
        """Tell every tracer of a step; one that raises is reported and detached."""
        for tracer in self.tracers:
            try:
                getattr(tracer, step)(*what)
            except Exception as error:  # noqa: BLE001, PERF203 - whatever a guest raises
                self.drop(tracer, error)

    def drop(self, tracer: Tracer, error: Exception) -> None:
        """A tracer raised: it is reported once and detached."""
        self.tracers = tuple(each for each in self.tracers if each is not tracer)
        self.shell.tracer_failed(tracer, error)


class Body:
    """The data of a machine."""

    __slots__ = ("__weakref__", "automaton", "clock", "flags", "more", "node")

    def __init__(self, automaton: Automaton) -> None:
        self.automaton = automaton
        self.node: Node = automaton.intern(())
        self.clock = 0
        self.flags = 0
        self.more: More | None = None
