"""A machine as a part of another one: connected to it, watched with it, and disposed with it."""

# Design note
# -----------
# A submachine is connected by pipes, so what holds for pipes holds here: in order, no tasks, no circles. Its states may
# follow the whole's, and the whole's may follow its, as long as no state would come back to itself.
#
# A tracer of the whole holds the part, not the other way round.

from __future__ import annotations

from collections.abc import Hashable, Iterable
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar, runtime_checkable
from weakref import ReferenceType, WeakKeyDictionary, ref

from histrio_kernel.machine.around.pipes import Pipe, PipeRefused, pipe_errors, pipe_many
from histrio_kernel.machine.around.watcher import Watcher, label_of, unkeyed
from histrio_kernel.machine.core.body import Body
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.watching import Tracer

__all__ = ["Submachine", "nest", "parent_of", "submachines_of"]

S = TypeVar("S", bound=Hashable)
T = TypeVar("T", bound=Hashable)


@runtime_checkable
class Inheritable(Protocol):
    """A tracer that takes part in being inherited; one that is inherited and does not is attached as it is."""

    def inherited_by(self, machine: Machine) -> None:
        """Watch that submachine, too."""
        ...


_parents: Final[WeakKeyDictionary[Body, ReferenceType[Machine]]] = WeakKeyDictionary()


class Submachine:
    """What holds a part to its whole. `nest` makes one; `close` it, or leave its block, to take the part out again."""

    def __init__(self, whole: Machine, part: Machine, pipes: Iterable[Pipe]) -> None:
        self.whole: Final = whole
        self.part: Final = part
        self.pipes: Final = tuple(pipes)
        self._tie: Final = _Tie(self)
        _parents[part] = ref(whole)
        for tracer in () if whole.more is None else whole.more.tracers:
            _inherit(tracer, part)

    def __repr__(self) -> str:
        return f"<Submachine {label_of(self.part)} of {label_of(self.whole)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        """Whether they are two machines again."""
        return self._tie.is_closed

    def close(self) -> None:
        """They are two machines again: no pipes, and the part outlives the whole. Tracers that it inherited stay."""
        self._tie.close()
        for each in self.pipes:
            each.close()
        if parent_of(self.part) is self.whole:
            del _parents[self.part]

    def sync(self) -> None:
        """Align the states of both, first the part's, then the whole's."""
        for each in self.pipes:
            each.sync()


class _Tie(Watcher[Hashable]):
    """The whole disposes of its part."""

    def __init__(self, submachine: Submachine) -> None:
        self.submachine: Final = submachine
        super().__init__(submachine.whole)

    def disposed(self) -> None:
        """The whole is: so is the part."""
        self.submachine.close()
        self.submachine.part.dispose()


def nest(
    whole: Machine[S],
    part: Machine[T],
    *,
    down: Iterable[tuple[S, T]] = (),
    up: Iterable[tuple[T, S]] = (),
    errors: bool = False,
    error_state: S | None = None,
) -> Submachine:
    """Make one machine a part of another. What is active already is aligned at once.

    The part is disposed with the whole. It gets the tracers of the whole that are `inherited`.

    Args:
        whole: the outer machine.
        part: the inner one, which is a part of no other.
        down: pairs of a state of the whole and the state of the part that follows it.
        up: pairs of a state of the part and the state of the whole that follows it.
        errors: an error of the part becomes one of the whole.
        error_state: the state of the whole that such an error is reported with.

    Raises:
        UnknownState: a machine does not have one of the states.
        PipeRefused: a state would come back to itself; or the part has a whole already, or is one of its parts.

    Examples:
        >>> from histrio_kernel.machine.core.schema import Schema
        >>> car = Machine(Schema.from_data({"start": {}, "moving": {"require": ["start"]}}), "car")
        >>> motor = Machine(Schema.from_data({"on": {}, "turning": {"auto": True, "require": ["on"]}}), "motor")
        >>> submachine = nest(car, motor, down=[("start", "on")], up=[("turning", "moving")])
        >>> _ = car.add("start")
        >>> car, motor, parent_of(motor) is car
        (<Machine: start, moving>, <Machine: on, turning>, True)
        >>> car.dispose(), motor.is_disposed
        (None, True)
    """
    _check(unkeyed(whole), unkeyed(part))
    pipes: list[Pipe] = []
    try:
        if downs := list(down):
            pipes.append(pipe_many(whole, part, *downs))
        if ups := list(up):
            pipes.append(pipe_many(part, whole, *ups))
        if errors or error_state is not None:
            pipes.append(pipe_errors(part, whole, error_state))
    except Exception:
        for each in pipes:
            each.close()
        raise
    submachine = Submachine(unkeyed(whole), unkeyed(part), pipes)
    submachine.sync()
    return submachine


def parent_of(machine: Body) -> Machine | None:
    """The machine that this one is a part of; None if it is of none."""
    found = _parents.get(machine)
    return None if found is None else found()


def submachines_of(machine: Machine[S]) -> tuple[Machine, ...]:
    """The parts of that machine, in the order in which they became such."""
    tracers = () if machine.more is None else machine.more.tracers
    ties = (tracer for tracer in tracers if isinstance(tracer, _Tie) and not tracer.is_closed)
    return tuple(tie.submachine.part for tie in ties)


def _check(whole: Machine, part: Machine) -> None:
    """Raise `PipeRefused` if the part cannot be one of that whole."""
    parent = parent_of(part)
    if parent is not None:
        raise PipeRefused(f"{label_of(part)} is a part of {label_of(parent)} already: close that submachine first")
    above: Machine | None = whole
    while above is not None:
        if above is part:
            raise PipeRefused(
                f"{label_of(part)} cannot be a part of {label_of(whole)}, which is a part of it, or itself"
            )
        above = parent_of(above)


def _inherit(tracer: Tracer, part: Machine) -> None:
    """Give the part that tracer, if it is inherited."""
    if not tracer.inherited:
        return
    if isinstance(tracer, Inheritable):
        tracer.inherited_by(part)
    else:
        part.attach(tracer)
