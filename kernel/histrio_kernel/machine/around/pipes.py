"""One machine's states feed another's: in order, at once, without tasks, and never round in a circle."""

# Design note
# -----------
# A pipe is a tracer of its source that mutates its target when a transition of the source is over. Both happen in the
# source's drain, in the turn of whoever mutated the source, so what follows stands in the order of the source's
# transitions, and when `source.add` returns, the target is up to date. If the target is in a transition itself, the
# mutation waits in its queue, in the same order. (The original starts a thread of its own for each, so they overtake.)
#
# It acts on what a transition came to: a state that entered and was rolled back has passed nothing on.
#
# The target decides for itself: it may refuse or veto. What it may not do is raise: a full queue, a state that is gone
# after `evolve`, or an owner who is another actor breaks the pipe, which then is closed and reported like any tracer
# that raises. To go on after missing something would leave the two different without anybody knowing.

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Final, TypeAlias, TypeVar

import attrs

from histrio_kernel.machine.around.flows import CHAIN_MAX, Edge, chain_length, circle, flows_from, flows_into, register
from histrio_kernel.machine.around.watcher import Watcher, label_of, name_of, unkeyed
from histrio_kernel.machine.core.body import BUSY, QUEUED
from histrio_kernel.machine.core.clock import Fields, tick_of
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import Result
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Transition

__all__ = [
    "ArgsOf",
    "Inlet",
    "Pipe",
    "PipeRefused",
    "pipe",
    "pipe_all",
    "pipe_errors",
    "pipe_many",
    "pipes_from",
    "pipes_into",
]

S = TypeVar("S", bound=Hashable)
T = TypeVar("T", bound=Hashable)

ArgsOf: TypeAlias = Callable[[Transition, str], object]
"""The arguments for the target, from a transition of the source and the name of the state that has moved."""


class PipeRefused(ValueError):
    """A pipe cannot be made: it would close a circle, or does not say clearly what it is to do; nothing has changed."""


@attrs.frozen
class Inlet:
    """How a pipe mutates its target."""

    add: Callable[..., Result]
    remove: Callable[..., Result]
    fail: Callable[..., Result]

    @classmethod
    def of(cls, machine: Machine) -> Inlet:
        """The mutations that everybody uses."""
        return cls(machine.add, machine.remove, machine.fail)


class Pipe(Watcher[Hashable]):
    """Some states of one machine that feed states of another. `pipe` and its sisters make one.

    It ends when it is closed, when its block is left, and with either machine's disposal.
    """

    def __init__(
        self,
        source: Machine,
        target: Machine,
        edges: Iterable[Edge],
        *,
        flat: bool = False,
        args: ArgsOf | None = None,
        inlet: Inlet | None = None,
    ) -> None:
        self.target: Final = target
        self.edges: Final = tuple(edges)
        """Which state feeds which, by name."""
        self._flat: Final = flat
        self._args: Final = args
        self._inlet: Final = Inlet.of(target) if inlet is None else inlet
        _check(source, target, self.edges)
        self._watch(source.schema)
        super().__init__(source)
        register(self)

    def __repr__(self) -> str:
        return f"<Pipe {', '.join(map(str, self.edges))}{', closed' if self.is_closed else ''}>"

    @property
    def source(self) -> Machine:
        """The machine that feeds."""
        return self.machine

    @property
    def is_closed(self) -> bool:
        """Whether nothing passes any more."""
        return self._is_closed or self.machine.is_disposed or self.target.is_disposed

    def sync(self) -> tuple[Result, ...]:
        """Bring the target to what the source is now, after it may have missed something; no change, no mutation.

        Returns:
            The result of each mutation that it took.
        """
        if self.is_closed:
            return ()
        here = [edge for edge in self.edges if edge.state in self.source.schema.definitions]
        left = [edge for edge in here if edge.state not in self.source]
        entered = [edge for edge in here if edge.state in self.source]
        results = [self._leave(edge, None, flat=True) for edge in left]
        results += [self._enter(edge, None, flat=True) for edge in entered]
        return tuple(result for result in results if result is not None)

    # -- as a tracer -------------------------------------------------------------------------------------------------------

    def end(self, transition: Transition) -> None:
        """Pass on what has moved."""
        if not self._fields.differ(transition.before, transition.after) or transition.schema is not self._schema:
            return
        self._pass_on(lambda: self._moved(transition))

    def schema_changed(self, old: Schema, new: Schema) -> None:
        """A state that is gone has left."""
        gone = [edge for edge in self.edges if edge.state in old.definitions and edge.state not in new.definitions]
        self._watch(new)
        self._pass_on(lambda: [self._leave(edge, None, flat=True) for edge in gone])

    def disposed(self) -> None:
        """The source is."""
        self.close()

    def _watch(self, schema: Schema) -> None:
        """Know the states by their numbers in that schema."""
        self._schema = schema
        here = (edge for edge in self.edges if edge.state in schema.definitions)
        self._watched = tuple((schema.index(edge.state), edge) for edge in here)
        self._fields = Fields(number for number, _ in self._watched)

    def _pass_on(self, mutate: Callable[[], object]) -> None:
        """Mutate the target; if that raises, the pipe is broken."""
        if self._is_closed:
            return
        if self.target.is_disposed:
            self.close()
            return
        try:
            mutate()
        except Exception as error:
            error.add_note(f"{self!r} is broken and closed: what follows does not reach {label_of(self.target)}")
            self.close()
            raise

    def _moved(self, transition: Transition) -> None:
        """What left, then what entered, each in the order of the transition."""
        left: list[tuple[int, Edge]] = []
        entered: list[tuple[int, Edge]] = []
        for number, edge in self._watched:
            before, after = tick_of(transition.before, number), tick_of(transition.after, number)
            if before == after:
                continue
            if after % 2:
                entered.append((number, edge))
            elif before % 2:
                left.append((number, edge))
        for edge in _in_order(left, (*transition.exits, *transition.enters)):
            self._leave(edge, transition, flat=self._flat)
        for edge in _in_order(entered, transition.enters):
            self._enter(edge, transition, flat=self._flat)

    def _enter(self, edge: Edge, transition: Transition | None, *, flat: bool) -> Result | None:
        """The state has entered."""
        return self._add(edge.entered, self._args_of(edge, transition), flat=flat)

    def _leave(self, edge: Edge, transition: Transition | None, *, flat: bool) -> Result | None:
        """The state has left."""
        args = self._args_of(edge, transition)
        if edge.left is not None:
            return self._add(edge.left, args, flat=flat)
        if flat and self._is_certain() and edge.entered not in self.target:
            return None
        return self._inlet.remove(edge.entered, args=args)

    def _add(self, name: str, args: object, *, flat: bool) -> Result | None:
        """Add that state of the target, unless that would be for nothing."""
        if flat and self._is_certain() and name in self.target:
            return None
        return self._inlet.add(name, args=args)

    def _args_of(self, edge: Edge, transition: Transition | None) -> object:
        """What goes along."""
        return None if self._args is None or transition is None else self._args(transition, edge.state)

    def _is_certain(self) -> bool:
        """Whether what is active in the target now is what the mutation would meet: nothing waits or runs there."""
        return not self.target.flags & (BUSY | QUEUED)


class _ErrorPipe(Pipe):
    """Passes on errors, and not that they are over."""

    def _enter(self, edge: Edge, transition: Transition | None, *, flat: bool) -> Result | None:
        error = self.source.error if transition is None or transition.cause is None else transition.cause
        exception = self.target.schema.names[self.target.schema.exception]
        state = None if edge.entered == exception else edge.entered
        if flat and self._is_certain() and edge.entered in self.target:
            return None
        if isinstance(error, Exception):
            return self._inlet.fail(error, state)
        return self._inlet.add(*filter(None, (state, exception)))

    def _leave(self, edge: Edge, transition: Transition | None, *, flat: bool) -> Result | None:
        return None


def _in_order(edges: list[tuple[int, Edge]], order: tuple[int, ...]) -> Iterable[Edge]:
    """The edges, by the places of their states in `order`."""
    if len(edges) > 1:
        places = {state: place for place, state in enumerate(order)}
        edges.sort(key=lambda pair: places.get(pair[0], len(places)))
    return [edge for _, edge in edges]


def pipe(
    source: Machine[S],
    state: S,
    target: Machine[T],
    into: T | None = None,
    *,
    left: T | None = None,
    flat: bool = False,
    args: Callable[[Transition], object] | None = None,
) -> Pipe:
    """When a state of `source` enters, add one of `target`; when it leaves, remove that.

    It begins with the next transition of the source; `.sync()` aligns what is active already. A Multi that is called
    again is added again. The target may refuse. Several pipes of one source pass on in the order in which they were made.

    Args:
        source: the machine that feeds.
        state: its state.
        target: the machine that is fed.
        into: its state; the one of the same name if none is given.
        left: add this state when `state` leaves, instead of removing `into`.
        flat: make no mutation that would change nothing.
        args: makes the arguments for the target from the source's transition.

    Raises:
        UnknownState: a machine does not have one of the states.
        PipeRefused: it would close a circle of machines; the message shows it.

    Examples:
        >>> from histrio_kernel.machine.core.schema import Schema
        >>> line = Machine(Schema.from_data({"up": {}}), "line")
        >>> phone = Machine(Schema.from_data({"usable": {}}), "phone")
        >>> with pipe(line, "up", phone, "usable") as connection:
        ...     _ = line.add("up")
        ...     print(connection, phone)
        <Pipe line.up -> phone.usable> <Machine: usable>
        >>> pipe(phone, "usable", line, "up"), pipe(line, "up", phone, "usable")
        Traceback (most recent call last):
        histrio_kernel.machine.around.pipes.PipeRefused: a circle of pipes: line.up -> phone.usable -> line.up
    """
    each = None if args is None else _without_state(args)
    return Pipe(unkeyed(source), unkeyed(target), [_edge(source, state, target, into, left)], flat=flat, args=each)


def pipe_many(
    source: Machine[S],
    target: Machine[T],
    *pairs: tuple[S, T],
    flat: bool = False,
    args: ArgsOf | None = None,
) -> Pipe:
    """Several pipes as one: each pair is a state of `source`, and the one of `target` that it feeds.

    Of one transition of the source, first what left is removed, then what entered is added, one after the other.

    Raises:
        UnknownState: a machine does not have one of the states.
        PipeRefused: it would close a circle; or two states feed the same one, so that the later would undo the earlier.
    """
    edges = [_edge(source, state, target, into, None) for state, into in pairs]
    return Pipe(unkeyed(source), unkeyed(target), edges, flat=flat, args=args)


def pipe_all(
    source: Machine[S],
    target: Machine[T],
    states: Iterable[S] | None = None,
    *,
    flat: bool = False,
    args: ArgsOf | None = None,
) -> Pipe:
    """All states of `source` that `target` has by the same name, or those of `states`; see `pipe_many`.

    Not `exception`, whose error would be lost: `pipe_errors` takes it along.

    Raises:
        UnknownState: a machine does not have one of `states`.
        PipeRefused: it would close a circle; or the machines have no state in common.
    """
    theirs = target.schema
    common = [name for name in source.schema.names if name in theirs.definitions]
    exceptions = {source.schema.names[source.schema.exception], theirs.names[theirs.exception]}
    names = [n for n in common if n not in exceptions] if states is None else [name_of(source, s) for s in states]
    edges = [_named(source, name, target, name_of(unkeyed(target), name), None) for name in names]
    return Pipe(unkeyed(source), unkeyed(target), edges, flat=flat, args=args)


def pipe_errors(source: Machine[S], target: Machine[T], state: T | None = None, *, flat: bool = False) -> Pipe:
    """Each error of `source` becomes one of `target`: `target.fail(error, state)`. That it is over is not passed on.

    Raises:
        UnknownState: the target does not have that state.
        PipeRefused: it would close a circle of machines.
    """
    exception = unkeyed(target).schema.names[target.schema.exception]
    into = exception if state is None else name_of(target, state)
    edge = _named(source, source.schema.names[source.schema.exception], target, into, None)
    return _ErrorPipe(unkeyed(source), unkeyed(target), [edge], flat=flat)


def pipes_from(machine: Machine[S]) -> tuple[Edge, ...]:
    """What the states of that machine feed, by its open pipes."""
    return tuple(edge for flow in flows_from(machine) for edge in flow.edges)


def pipes_into(machine: Machine[S]) -> tuple[Edge, ...]:
    """What feeds the states of that machine, by open pipes."""
    return tuple(edge for flow in flows_into(machine) for edge in flow.edges)


def _without_state(args: Callable[[Transition], object]) -> ArgsOf:
    """The same function, for a pipe that has one state."""
    return lambda transition, _: args(transition)


def _edge(source: Machine[S], state: S, target: Machine[T], into: T | None, left: T | None) -> Edge:
    """One edge, by the states as a caller gives them."""
    name = name_of(source, state)
    entered = name_of(unkeyed(target), name) if into is None else name_of(target, into)
    return _named(source, name, target, entered, None if left is None else name_of(target, left))


def _named(source: Machine[S], state: str, target: Machine[T], entered: str, left: str | None) -> Edge:
    """One edge, by names."""
    return Edge(label_of(source), state, label_of(target), entered, left)


def _check(source: Machine, target: Machine, edges: tuple[Edge, ...]) -> None:
    """Raise `PipeRefused` if these edges may not be."""
    if source is target:
        raise PipeRefused(
            f"{label_of(source)} is not piped into itself: give the state the other one in its `add`, or an `entered` "
            "handler"
        )
    if not edges:
        raise PipeRefused(f"{label_of(source)} and {label_of(target)} have no state in common: name pairs, `pipe_many`")
    for machine in (source, target):
        if machine.is_disposed:
            raise PipeRefused(f"{label_of(machine)} is disposed, so nothing would ever pass")
    fed: dict[str, Edge] = {}
    for edge in edges:
        other = fed.setdefault(edge.entered, edge)
        if other is not edge:
            raise PipeRefused(
                f"both {other.state!r} and {edge.state!r} feed {edge.entered!r}, so the one that leaves would end it for "
                "the other: let them add a common state, and pipe that"
            )
    found = circle(source, target, edges)
    if found is not None:
        raise PipeRefused(f"a circle of pipes: {found}")
    length = chain_length(source, target)
    if length > CHAIN_MAX:
        raise PipeRefused(
            f"{length} pipes would follow one upon the other, and {CHAIN_MAX} may (CHAIN_MAX): pipe {label_of(target)} "
            "from a machine nearer to where the chain begins"
        )
