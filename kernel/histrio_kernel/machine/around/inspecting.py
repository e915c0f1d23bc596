"""A machine looked at: all of it on a page, its states on a line, and a stop when a mutation names some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from histrio_kernel.machine.around.watcher import Watcher, label_of, name_of
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.moves import Mutation
from histrio_kernel.machine.core.resolve import ADD, REMOVE, SET
from histrio_kernel.machine.core.schema import FLAGS, RELATIONS, Definition
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.variables import K

__all__ = ["Breakpoint", "inspect", "one_line"]


def one_line(machine: Machine[K], *, inactive: bool = False) -> str:
    """The active states with their ticks, in round brackets; with *inactive*, the others in square ones behind.

    Examples:
        >>> from histrio_kernel.machine.core.schema import Schema
        >>> machine = Machine(Schema.from_data({"wet": {}, "dry": {}}))
        >>> _ = machine.add("dry"), machine.toggle("dry"), machine.add("wet")
        >>> one_line(machine), one_line(machine, inactive=True)
        ('(wet:1)', '(wet:1) [dry:2 exception:0]')
    """
    ticks = dict(zip(machine.schema.names, machine.time, strict=True))
    active = f"({' '.join(f'{name}:{ticks[name]}' for name in machine.names)})"
    others = " ".join(f"{name}:{tick}" for name, tick in ticks.items() if tick % 2 == 0)
    return f"{active} [{others}]" if inactive and others else active


def inspect(machine: Machine[K], states: Iterable[K] | None = None) -> str:
    """Everything about a machine, a line for each state: an asterisk if it is active, its tick, flags and relations.

    Args:
        machine: the machine.
        states: which of its states; all in the order of the schema if none are given.

    Raises:
        UnknownState: one of `states` is none.

    Examples:
        >>> from histrio_kernel.machine.core.schema import Schema
        >>> machine = Machine(Schema.from_data({"wet": {"remove": ["dry"]}, "dry": {"auto": True}}), "weather")
        >>> _ = machine.add("wet")
        >>> print(inspect(machine))
        weather: 1 of 3 states active
        * wet       1  remove dry
          dry       0  auto
          exception 0  multi, keep
    """
    schema = machine.schema
    names = list(schema.names) if states is None else [name_of(machine, state) for state in states]
    lines = [f"{label_of(machine)}: {len(machine.active)} of {len(schema)} states active"]
    name_width = max((len(name) for name in names), default=0)
    ticks = {name: str(machine.time[schema.index(name)]) for name in names}
    tick_width = max((len(tick) for tick in ticks.values()), default=0)
    for name in names:
        star = "*" if schema.index(name) in machine.node.members else " "
        row = f"{star} {name:<{name_width}} {ticks[name]:>{tick_width}}  {spell_definition(schema.definitions[name])}"
        lines.append(row.rstrip())
    return "\n".join([*lines, *_circumstances(machine)])


def spell_definition(definition: Definition) -> str:
    """Flags, relations and tags of a state."""
    flags = ", ".join(flag for flag in FLAGS if getattr(definition, flag))
    relations = [f"{kind} {', '.join(getattr(definition, kind))}" for kind in RELATIONS if getattr(definition, kind)]
    tags = [f"tags {', '.join(definition.tags)}"] if definition.tags else []
    return "; ".join([*([flags] if flags else []), *relations, *tags])


def _circumstances(machine: Machine[K]) -> list[str]:
    """What a machine has besides states, if it has it."""
    lines: list[str] = []
    if machine.more is not None and machine.more.queue:
        waiting = ", ".join(f"{each.op.sign}{machine.schema.spell(each.called)}" for each in machine.more.queue)
        lines.append(f"queue: {waiting}")
    if machine.transition is not None:
        lines.append(f"transition: {machine.transition!r}")
    if machine.error is not None:
        lines.append(f"error: {machine.error!r}")
    if machine.is_disposed:
        lines.append("disposed")
    return lines


class Breakpoint(Watcher[K]):
    """Calls back when a mutation names certain states, in the stack of whoever makes it: call `breakpoint()` there.

    A mutation that waits is told when it is made, and one that the machine makes itself (auto states, an exception)
    when it begins. What relations bring along is not named.

    Args:
        machine: whose mutations.
        callback: called with the mutation.
        added: an `add` or a `set` that names all of these.
        removed: a `remove` that names all of these.
        strict: only if it would change something: one of them is not active yet, or still is.

    Raises:
        UnknownState: the machine does not have one of them.
        ValueError: no state is given.

    Examples:
        >>> from histrio_kernel.machine.core.schema import Schema
        >>> machine = Machine(Schema.from_data({"wet": {}, "dry": {}}))
        >>> with Breakpoint(machine, print, added=["wet"]):
        ...     _ = machine.add("dry"), machine.add("dry", "wet")
        <Mutation add (1, 0)>
    """

    def __init__(
        self,
        machine: Machine[K],
        callback: Callable[[Mutation], object],
        *,
        added: Iterable[K] = (),
        removed: Iterable[K] = (),
        strict: bool = False,
    ) -> None:
        self._callback: Final = callback
        self._added: Final = [name_of(machine, state) for state in added]
        self._removed: Final = [name_of(machine, state) for state in removed]
        self._strict: Final = strict
        self._told: Final[list[Mutation]] = []
        if not self._added and not self._removed:
            raise ValueError("a breakpoint needs the states that it waits for: added=[...] or removed=[...]")
        super().__init__(machine)

    def queued(self, mutation: Mutation) -> None:
        """It is made."""
        if mutation.cause is not None:
            self._told.append(mutation)
        self._look(mutation)

    def init(self, transition: Transition) -> None:
        """It begins."""
        mutation = transition.mutation
        if transition.is_auto or (mutation.cause is not None and mutation not in self._told):
            self._look(mutation)

    def queue_end(self) -> None:
        """What was told is over."""
        self._told.clear()

    def _look(self, mutation: Mutation) -> None:
        """Call back, if it is one of those."""
        if self._is_closed or mutation.dry:
            return
        if (mutation.op in (ADD, SET) and self._names(mutation, self._added, active=False)) or (
            mutation.op is REMOVE and self._names(mutation, self._removed, active=True)
        ):
            self._callback(mutation)

    def _names(self, mutation: Mutation, names: list[str], *, active: bool) -> bool:
        """Whether it names all of these; strictly, also whether one of them is still on the other side."""
        schema = self.machine.schema
        called = {schema.names[state] for state in mutation.called}
        if not names or not called.issuperset(names):
            return False
        return not self._strict or any((schema.index(name) in self.machine.node.members) is active for name in names)
