"""A watcher is a tracer of one machine: attached when it is made, gone when it is closed or its block is left."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Generic, Self, cast

from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.variables import K
from histrio_kernel.machine.core.watching import Tracer

__all__ = ["Watcher", "label_of", "name_of", "unkeyed"]


def name_of(machine: Machine[K], state: K) -> str:
    """The name of that state in the present schema of the machine.

    Raises:
        UnknownState: there is none.
    """
    schema = machine.schema
    return schema.names[schema.find(state)]


def label_of(machine: Machine[K]) -> str:
    """What a reader knows the machine by: its name."""
    name = "" if machine.more is None else machine.more.name
    return name or "machine"


def unkeyed(machine: Machine[K]) -> Machine:
    """The same machine, for code that names states by their names, which are keys of every machine."""
    return cast("Machine", machine)


class Watcher(Tracer, Generic[K]):
    """The base of tracers that belong to one machine.

    It is attached at once; made within a transition of the machine, it sees the next one first. Use it as a context
    manager, or `close` it.
    """

    def __init__(self, machine: Machine[K]) -> None:
        self.machine: Final = machine
        self._is_closed = False
        machine.attach(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        """Whether it watches no more."""
        return self._is_closed

    def close(self) -> None:
        """Watch no more. What it has seen stays."""
        if not self._is_closed:
            self._is_closed = True
            self.machine.detach(self)
