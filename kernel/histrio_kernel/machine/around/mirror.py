"""A mirror: some states of another machine, kept equal, that can be read, traced and waited for, and not mutated."""

# Design note
# -----------
# A mirror is a machine with a pipe into it, whose states have no relations, so nothing that the source decided can come
# out otherwise. Its doors are closed to everybody else. The pipe goes in by the doors of the class behind it, so a mirror
# of a richer machine is made by inheriting from both: `class LiveMirror(Mirror, RicherMachine)`.
#
# States are equal after every transition of the source, or as soon as the mirror's own transition is over if one of its
# handlers has mutated the source. Ticks go along by themselves, but for what leaves no trace in states: an entry that was
# rolled back, an import. With `ticks` they are set right then, without a transition.

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final, NoReturn, cast

import attrs

from histrio_kernel.machine.around.flows import Edge
from histrio_kernel.machine.around.pipes import Inlet, Pipe
from histrio_kernel.machine.around.watcher import label_of, name_of, unkeyed
from histrio_kernel.machine.core.body import BUSY
from histrio_kernel.machine.core.errors import SchemaError
from histrio_kernel.machine.core.exporting import Exported
from histrio_kernel.machine.core.handlers import NEGOTIATING, HandlerTable
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import Result
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.variables import K
from histrio_kernel.machine.states.handlers import handlers_of

__all__ = ["Mirror", "ReadOnly"]


class ReadOnly(TypeError):
    """A mirror was to be mutated. It only shows what its source is: mutate that."""


class Mirror(Machine[K]):
    """A subset of the states of a machine, kept equal to it from now on, and read-only for everybody else.

    Handlers and tracers may be bound to it; handlers that could veto may not. `close` it, or dispose of it, to let it
    be what it is.

    Args:
        source: the machine that it shows.
        states: which of its states; all but `exception` if none are given.
        name: its own name.
        ticks: keep ticks equal, too, instead of only the states.

    Raises:
        UnknownState: the source does not have one of them.

    Examples:
        >>> source = Machine(Schema.from_data({"up": {}, "busy": {"require": ["up"]}}))
        >>> mirror = Mirror(source, ["busy"])
        >>> _ = source.add("up", "busy"), source.add("up")
        >>> mirror
        <Machine: busy>
        >>> mirror.add("busy")
        Traceback (most recent call last):
        histrio_kernel.machine.around.mirror.ReadOnly: machine is a mirror of machine: mutate that
    """

    def __init__(
        self, source: Machine[K], states: Iterable[K] | None = None, name: str = "", *, ticks: bool = False
    ) -> None:
        names = _mirrored(source, states)
        super().__init__(_schema_of(source, names), name)
        self._source: Final = unkeyed(source)
        self._ticks: Final = ticks
        self._names: Final = names
        self._take_over()
        inlet = Inlet(super().add, super().remove, super().fail)
        edges = [Edge(label_of(source), each, label_of(self), each) for each in names]
        self._pipe: Final = _MirrorPipe(self._source, unkeyed(self), edges, inlet=inlet)

    def close(self) -> None:
        """Follow the source no more."""
        self._pipe.close()

    def sync(self) -> None:
        """Become equal now, after the source has been imported into, which no tracer is told of."""
        self._pipe.sync()
        self.align()

    def align(self) -> None:
        """Set ticks that differ where the states do not, if ticks are kept equal and no transition runs."""
        if not self._ticks or self.flags & BUSY or self._pipe.is_closed:
            return
        ticks = dict(zip(self.schema.names, self.time, strict=True))
        right = self._ticks_of_source()
        wrong = {name: tick for name, tick in right.items() if tick != ticks[name] and (tick - ticks[name]) % 2 == 0}
        if wrong:
            ticks.update(wrong)
            super().load(Exported(ticks, ticks.values(), self.names))

    def _ticks_of_source(self) -> dict[str, int]:
        """The ticks of the mirrored states that the source has; another schema may have taken some from it."""
        source = self._source
        return {name: source.tick(name) for name in self._names if name in source.schema.definitions}

    def _take_over(self) -> None:
        """Begin as the source is, without a transition."""
        ticks = {**dict.fromkeys(self.schema.names, 0), **self._ticks_of_source()}
        if not self._ticks:
            ticks = {name: tick % 2 for name, tick in ticks.items()}
        active = (name for name in self._source.names if name in self._names)
        super().load(Exported(ticks, ticks.values(), tuple(active)))

    # -- closed doors ------------------------------------------------------------------------------------------------------

    def _refuse(self) -> NoReturn:
        raise ReadOnly(f"{label_of(self)} is a mirror of {label_of(self._source)}: mutate that")

    def add(self, *states: K, args: object = None) -> Result:
        """Not for a mirror."""
        self._refuse()

    def remove(self, *states: K, args: object = None) -> Result:
        """Not for a mirror."""
        self._refuse()

    def set(self, *states: K, args: object = None) -> Result:
        """Not for a mirror."""
        self._refuse()

    def toggle(self, *states: K, args: object = None) -> Result:
        """Not for a mirror."""
        self._refuse()

    def fail(self, error: Exception, state: K | None = None) -> Result:
        """Not for a mirror."""
        self._refuse()

    def evolve(self, schema: object) -> Result:
        """Not for a mirror."""
        self._refuse()

    def load(self, exported: Exported) -> None:
        """Not for a mirror."""
        self._refuse()

    def bind(self, handlers: object, owner: object = None) -> None:
        """Call these handlers; see the machine's own `bind`.

        Raises:
            SchemaError: one of them could veto, and a mirror follows its source.
        """
        found = handlers if isinstance(handlers, HandlerTable) else handlers_of(type(handlers), self.schema).table
        asking = next((slot for slot, _ in found.items() if slot.kind in NEGOTIATING), None)
        if asking is not None:
            raise SchemaError(
                f"{asking} could veto what has happened already: {label_of(self)} is a mirror of "
                f"{label_of(self._source)}. Bind it there, or make it an `entered`"
            )
        super().bind(cast(HandlerTable, handlers), owner)


class _MirrorPipe(Pipe):
    """Into a mirror; where a change of the source leaves states alone, ticks are looked at."""

    def end(self, transition: Transition) -> None:
        super().end(transition)
        mirror = self.target
        if transition.moved and isinstance(mirror, Mirror):
            mirror.align()


def _mirrored(source: Machine[K], states: Iterable[K] | None) -> tuple[str, ...]:
    """The names of the states that are mirrored, each once."""
    if states is not None:
        return tuple(dict.fromkeys(name_of(source, state) for state in states))
    exception = source.schema.exception
    return tuple(name for number, name in enumerate(source.schema.names) if number != exception)


def _schema_of(source: Machine[K], names: tuple[str, ...]) -> Schema:
    """The states, without relations, found by what the source finds them by."""
    schema = source.schema
    rows = {name: _without_relations(schema.definitions[name]) for name in names}
    keys: dict[Hashable, str] = {
        key: schema.names[number]
        for key, number in schema._keys.items()
        if not isinstance(key, int | str) and schema.names[number] in rows
    }
    return Schema(rows, schema.names[schema.exception], keys)


def _without_relations(definition: Definition) -> Definition:
    """What is left of a state that only shows."""
    return attrs.evolve(definition, auto=False, require=(), add=(), remove=(), after=(), until_done=False)
