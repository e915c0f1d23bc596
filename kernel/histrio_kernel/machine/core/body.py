"""What a machine consists of: a node, a clock and flags; all else only once it is needed."""

# Design note
# -----------
# A plain mutation looks at the flags once: if none is set, one look-up of the node is all there is to do. So every
# thing that needs more of a mutation has a flag, and a machine without any holds no object but its clock.

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from threading import get_ident
from typing import Final, TypeAlias, final

from histrio_kernel.machine.core.automaton import Automaton
from histrio_kernel.machine.core.clock import zero
from histrio_kernel.machine.core.limits import DRAIN_MAX, QUEUE_MAX, SLOW_HANDLER_S
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
    "QUIET",
    "SLOW_HANDLER_S",
    "TRACED",
    "UNTIDY",
    "Body",
    "Here",
    "More",
]

HANDLED: Final = 1
"""Some handler is bound."""
TRACED: Final = 2
"""Some tracer is attached."""
HEARD: Final = 4
"""The shell wants to hear of transitions."""
FAILED: Final = 8
"""`error` holds one, which ends with `exception`."""
BUSY: Final = 16
"""The queue is being worked off."""
QUEUED: Final = 32
"""An interrupt has left mutations in the queue."""
UNTIDY: Final = 64
"""This drain leaves something to be done when it is over, or before the next transition."""
DISPOSED: Final = 128

# The order of the flags has a meaning: a comparison costs a tenth of a bit test. From BUSY on, a mutation cannot be the
# very next thing that the machine does; and in a drain more than `QUIET` is set if it is not handlers alone.
QUIET: Final = BUSY | HANDLED

_SILENT: Final = Shell()


Listening: TypeAlias = tuple[tuple[Tracer, Callable[..., None]], ...]
"""Who is told of one step, in the order of attachment."""


class Listeners:
    """Of every step, the tracers whose classes override it: nobody is called to do nothing."""

    __slots__ = (
        "begin",
        "disposed",
        "end",
        "finals",
        "handler",
        "init",
        "queue_end",
        "queued",
        "schema_changed",
        "start",
    )

    def __init__(self, tracers: tuple[Tracer, ...]) -> None:
        self.queued = self._of(tracers, Tracer.queued, [tracer.queued for tracer in tracers])
        self.init = self._of(tracers, Tracer.init, [tracer.init for tracer in tracers])
        self.start = self._of(tracers, Tracer.start, [tracer.start for tracer in tracers])
        self.handler = self._of(tracers, Tracer.handler, [tracer.handler for tracer in tracers])
        self.begin = bool(self.init or self.start)
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


@final
class Here:
    """What stands in `ORIGIN` while a machine is in a transition, and may stay there afterwards.

    It holds nothing of the machine, because a context may live longer.
    """

    __slots__ = ("machine", "thread", "transition")

    def __init__(self, machine: str) -> None:
        self.machine: Final = machine
        self.thread = 0
        """That in which the transition runs. Another one may have inherited the context."""
        self.transition: Transition | None = None

    def source(self) -> Source | None:
        """The transition that runs, None if none does: what is mutated now comes from it."""
        transition = self.transition
        return None if transition is None or self.thread != get_ident() else transition.as_source(self.machine)


class More:
    """What a machine needs once it has handlers, tracers, a shell, a queue or an error."""

    __slots__ = (
        "auto_failures",
        "change",
        "drain_max",
        "error",
        "here",
        "name",
        "no_autos",
        "on",
        "owners",
        "queue",
        "queue_max",
        "shell",
        "slow_handler_s",
        "tracers",
        "transitions",
        "watched",
    )

    def __init__(
        self,
        name: str = "",
        queue_max: int = QUEUE_MAX,
        drain_max: int = DRAIN_MAX,
        slow_handler_s: float = SLOW_HANDLER_S,
    ) -> None:
        self.name: Final = name
        self.queue_max: Final = queue_max
        self.drain_max: Final = drain_max
        self.slow_handler_s: Final = slow_handler_s
        self.here: Final = Here(name)
        self.queue: Final[list[Mutation]] = []
        """What waits. A list: an empty deque is 700 bytes more, and at `queue_max` it is no quicker that anybody would see."""
        self.owners: tuple[object, ...] = ()
        """Of the tables of the automaton, one each."""
        self.tracers: tuple[Tracer, ...] = ()
        self.on: Listeners = _NOBODY
        self.shell: Shell = _SILENT
        self.watched: Set[int] | None = frozenset()
        """Of what the shell wants to hear while `HEARD` is set: what becomes of these states, and nothing else; None for
        all that happens. It may be a view that changes.
        """
        self.error: BaseException | None = None
        self.transitions = 0
        self.auto_failures = 0
        self.no_autos = False
        """Auto transitions failed in this drain, so it starts no more."""
        self.change: list[Callable[[], None]] = []
        """What is to be done before the next transition: handlers and tracers bound within this one."""

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
                self._tracer_failed(tracer, error)

    def tell_of(self, listeners: Listening, transition: Transition) -> None:
        """The same of a step of a transition, which is the most common."""
        for tracer, listen in listeners:
            try:
                listen(transition)
            except Exception as error:
                self._tracer_failed(tracer, error)

    def _tracer_failed(self, tracer: Tracer, error: Exception) -> None:
        """It sees no more."""
        self.set_tracers(tuple(each for each in self.tracers if each is not tracer))
        self.shell.tracer_failed(tracer, error)


class Body:
    """The data of a machine."""

    __slots__ = ("__weakref__", "automaton", "clock", "flags", "more", "node")

    def __init__(self, automaton: Automaton) -> None:
        self.automaton = automaton
        self.node: Node = automaton.intern(())
        self.clock: int = zero(automaton.width)
        self.flags = 0
        self.more: More | None = None
