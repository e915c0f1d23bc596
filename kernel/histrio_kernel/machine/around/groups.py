"""Several machines are asked and mutated as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Generic, final

from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import Result
from histrio_kernel.machine.core.variables import K

__all__ = ["MachineGroup"]


@final
class MachineGroup(Generic[K]):
    """Some machines with common states, in an order; a machine is in it once.

    A question is about all states that it names: `group.any("up", "idle")` asks for a machine in which both are active.

    Examples:
        >>> from histrio_kernel.machine.core.schema import Schema
        >>> schema = Schema.from_data({"up": {}, "idle": {"require": ["up"]}})
        >>> pool = MachineGroup([Machine(schema, "a"), Machine(schema, "b")])
        >>> pool.add("up"), pool.all("up"), pool.any("idle")
        ((EXECUTED, EXECUTED), True, False)
        >>> pool.having("up")
        (<Machine: up>, <Machine: up>)
    """

    __slots__ = ("_machines",)

    def __init__(self, machines: Iterable[Machine[K]] = ()) -> None:
        self._machines: Final[dict[Machine[K], None]] = dict.fromkeys(machines)

    def __iter__(self) -> Iterator[Machine[K]]:
        return iter(tuple(self._machines))

    def __len__(self) -> int:
        return len(self._machines)

    def __contains__(self, machine: object) -> bool:
        return machine in self._machines

    def __repr__(self) -> str:
        return f"<MachineGroup of {len(self)}>"

    def include(self, machine: Machine[K]) -> None:
        """It belongs to the group, as the last one if it did not yet."""
        self._machines[machine] = None

    def exclude(self, machine: Machine[K]) -> None:
        """It does not belong to the group any more. That is so already if it never did."""
        self._machines.pop(machine, None)

    def all(self, *states: K) -> bool:
        """Whether these states are active in every machine; of no machines, yes.

        Raises:
            UnknownState: a machine does not have one of them.
        """
        return all(machine.all(*states) for machine in self._machines)

    def any(self, *states: K) -> bool:
        """Whether there is a machine in which all of these states are active."""
        return any(machine.all(*states) for machine in self._machines)

    def none(self, *states: K) -> bool:
        """Whether there is no machine in which any of these states is active."""
        return all(machine.none(*states) for machine in self._machines)

    def having(self, *states: K) -> tuple[Machine[K], ...]:
        """The machines in which all of these states are active."""
        return tuple(machine for machine in self._machines if machine.all(*states))

    def count(self, *states: K) -> int:
        """How many machines have all of these states active."""
        return len(self.having(*states))

    def add(self, *states: K, args: object = None) -> tuple[Result, ...]:
        """Add these states in every machine, in order; the results of each."""
        return tuple(machine.add(*states, args=args) for machine in self)

    def remove(self, *states: K, args: object = None) -> tuple[Result, ...]:
        """Remove these states in every machine, in order; the results of each."""
        return tuple(machine.remove(*states, args=args) for machine in self)
