"""What a machine consists of: a node, a clock and flags; all else only once it is needed."""

# Design note
# -----------
# A plain mutation looks at the flags once: if none is set, one look-up of the node is all there is to do. So every
# thing that needs more of a mutation has a flag, and a machine without any holds no object but its clock.

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from histrio_kernel.machine.core.automaton import Automaton
from histrio_kernel.machine.core.moves import Mutation, Node
from histrio_kernel.machine.core.source import Source
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Shell, Tracer

__all__ = [
    "BUSY",
    "DISPOSED",
    "DRAIN_MAX",
    "FAILED",
    "HANDLED",
    "HEARD",
    "QUEUED",
    "QUEUE_MAX",
    "TRACED",
    "Body",
    "More",
]

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


Listening: TypeAlias = tuple[tuple[Tracer, Callable[..., None]], ...]
"""Who is told of one step, in the order of attachment."""


class Listeners:
    """Of every step, the tracers whose classes override it: nobody is called to do nothing."""

    __slots__ = ("disposed", "end", "finals", "handler", "init", "queue_end", "queued", "schema_changed", "start")

    def __init__(self, tracers: tuple[Tracer, ...]) -> None:
        self.queued = self._of(tracers, Tracer.queued, [tracer.queued for tracer in tracers])
        self.init = self._of(tracers, Tracer.init, [tracer.init for tracer in tracers])
        self.start = self._of(tracers, Tracer.start, [tracer.start for tracer in tracers])
        self.handler = self._of(tracers, Tracer.handler, [tracer.handler for tracer in tracers])
        self.finals = self._of(tracers, Tracer.finals, [tracer.finals for tracer in tracers])
        self.end = self._of(tracers, Tracer.end, [tracer.end for tracer in tracers])
        self.queue_end = self._of(tracers, Tracer.queue_end, [tracer.queue_end for tracer in tracers])
        self.schema_changed = self._of(tracers, Tracer.schema_changed, [tracer.schema_changed for tracer in tracers])
        self.disposed = self._of(tracers, Tracer.disposed, [tracer.disposed for tracer in tracers])

    @staticmethod
    def _of(
        tracers: tuple[Tracer, ...], unheard: Callable[..., None], methods: Sequence[Callable[..., None]]
    ) -> Listening:
        """Those whose method is not the one that does nothing."""
        return tuple(
            (tracer, method)
            for tracer, method in zip(tracers, methods, strict=True)
            if getattr(method, "__func__", None) is not unheard
        )


_NOBODY: Final = Listeners(())


class More:
    """What a machine needs once it has handlers, tracers, a shell, a queue or an error."""

    __slots__ = (
        "auto_failures",
        "change",
        "current",
        "drain_max",
        "error",
        "name",
        "no_autos",
        "on",
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
        self.on: Listeners = _NOBODY
        self.shell: Shell = _SILENT
        self.current: Transition | None = None
        self.error: BaseException | None = None
        self.transitions = 0
        self.auto_failures = 0
        self.no_autos = False
        """Auto transitions failed in this drain, so it starts no more."""
        self.change: list[Callable[[], None]] = []
        """What is to be done before the next transition: handlers and tracers bound within this one."""

    def source(self) -> Source | None:
        """The transition that runs: what is mutated now comes from it."""
        return None if self.current is None else self.current.as_source(self.name)

    def set_tracers(self, tracers: tuple[Tracer, ...]) -> None:
        """These are told from now on, each of the steps that its class overrides."""
        self.tracers = tracers
        self.on = Listeners(tracers)

    def tell(self, listeners: Listening, *what: object) -> None:
        """Tell tracers of a step; one that raises is reported once and detached."""
        for tracer, listen in listeners:
            try:
                listen(*what)
            except Exception as error:
                self.set_tracers(tuple(each for each in self.tracers if each is not tracer))
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
