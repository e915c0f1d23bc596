"""Which machines feed which: the open pipes of a machine, and whether one more would close a circle."""

# Design note
# -----------
# A circle is one of states: a state whose entering would, by pipes and relations alone, move that state again. So two
# machines may feed each other, as a part and its whole do, as long as nothing goes round. Within a machine a state moves
# what it adds and removes, what requires it, and the auto states, which are called after any change. What handlers do is
# the program's own affair; a circle that only they close ends at `drain_max`. A schema that evolves is not looked at
# again.
#
# What a pipe passes on runs within the transition that it follows, so a chain of pipes is a stack of drains, of about ten
# Python frames each. A chain that could come near the interpreter's limit is refused when it is made.
#
# A machine's pipes are found by the machine, weakly, so that knowing about a pipe keeps neither end alive.

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TypeAlias
from weakref import ReferenceType, WeakKeyDictionary, ref

import attrs

from histrio_kernel.machine.core.body import Body
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Schema

__all__ = ["CHAIN_MAX", "Edge", "Flow", "chain_length", "circle", "flows_from", "flows_into", "register"]

CHAIN_MAX: Final = 32
"""Pipes that may follow one upon the other."""


@attrs.frozen
class Edge:
    """One state that feeds another. Machines by name, for whoever draws or lists it."""

    source: str
    state: str
    target: str
    entered: str
    """What is added to the target when the state enters, and removed when it leaves."""
    left: str | None = None
    """What is added to the target when the state leaves, instead of removing `entered`."""

    def __str__(self) -> str:
        back = "" if self.left is None else f" | {self.left}"
        return f"{self.source}.{self.state} -> {self.target}.{self.entered}{back}"


class Flow(Protocol):
    """What an open pipe tells about itself."""

    @property
    def source(self) -> Machine:
        """Whose states feed."""
        ...

    @property
    def target(self) -> Machine:
        """Whose states are fed."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether nothing passes any more."""
        ...

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Which state feeds which."""
        ...


_Known: TypeAlias = "WeakKeyDictionary[Body, list[ReferenceType[Flow]]]"

_from: Final[_Known] = WeakKeyDictionary()
_into: Final[_Known] = WeakKeyDictionary()


def register(flow: Flow) -> None:
    """Both ends know of it from now on."""
    for known, machine in ((_from, flow.source), (_into, flow.target)):
        open_ones = [ref(each) for each in _open(known, machine)]
        known[machine] = [*open_ones, ref(flow)]


def flows_from(machine: Body) -> tuple[Flow, ...]:
    """The open pipes of which that machine is the source, in the order in which they were made."""
    return tuple(_open(_from, machine))


def flows_into(machine: Body) -> tuple[Flow, ...]:
    """The open pipes of which that machine is the target, in the order in which they were made."""
    return tuple(_open(_into, machine))


def _open(known: _Known, machine: Body) -> Iterator[Flow]:
    """Those that are alive and not closed."""
    for each in known.get(machine, ()):
        flow = each()
        if flow is not None and not flow.is_closed:
            yield flow


def chain_length(source: Machine, target: Machine) -> int:
    """How many pipes would follow one upon the other if there were one more, from that source to that target."""
    return _reach(source, {}, backwards=True) + 1 + _reach(target, {}, backwards=False)


def _reach(machine: Machine, known: dict[Machine, int], *, backwards: bool) -> int:
    """The longest chain that ends, or begins, with that machine. Machines that feed each other count once."""
    if machine not in known:
        known[machine] = 0
        flows = flows_into(machine) if backwards else flows_from(machine)
        nexts = [flow.source if backwards else flow.target for flow in flows]
        known[machine] = max((1 + _reach(each, known, backwards=backwards) for each in nexts), default=0)
    return known[machine]


_Place: TypeAlias = "tuple[Machine, int]"


@attrs.frozen(eq=False)
class _Step:
    """How the search came to a place."""

    place: _Place
    by: _Step | None

    def path(self) -> list[_Place]:
        """From the first place to this one."""
        return [*([] if self.by is None else self.by.path()), self.place]


def circle(source: Machine, target: Machine, edges: Sequence[Edge]) -> str | None:
    """The circle that these edges would close, as text from a state back to itself; None if there is none."""
    for edge in edges:
        start = (source, source.schema.find(edge.state))
        for name in filter(None, (edge.entered, edge.left)):
            found = _search((target, target.schema.find(name)), start)
            if found is not None:
                return " -> ".join(map(_spell, [start, *found.path()]))
    return None


def _search(begin: _Place, goal: _Place) -> _Step | None:
    """The shortest way, if there is one."""
    waiting = deque([_Step(begin, None)])
    seen = {begin}
    while waiting:
        step = waiting.popleft()
        if step.place == goal:
            return step
        for place in _next(step.place):
            if place not in seen:
                seen.add(place)
                waiting.append(_Step(place, step))
    return None


def _next(place: _Place) -> Iterator[_Place]:
    """What moves when that state moves, in its machine and by pipes."""
    machine, state = place
    for other in _moved_with(machine.schema, state):
        yield machine, other
    name = machine.schema.names[state]
    for flow in flows_from(machine):
        for edge in flow.edges:
            if edge.state == name:
                for target in filter(None, (edge.entered, edge.left)):
                    if target in flow.target.schema.definitions:
                        yield flow.target, flow.target.schema.index(target)


def _moved_with(schema: Schema, state: int) -> Iterator[int]:
    """The states that the relations may move when that one does."""
    yield from schema.add[state]
    for other in range(len(schema)):
        if state in schema.removed_by[other] or state in schema.require[other]:
            yield other
    yield from schema.autos


def _spell(place: _Place) -> str:
    """Machine and state."""
    machine, state = place
    name = "machine" if machine.more is None or not machine.more.name else machine.more.name
    return f"{name}.{machine.schema.names[state]}"
