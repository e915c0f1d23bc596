"""Small machines, for tests of what is around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.machine.lab import Writer

from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition

__all__ = ["MULTI", "PLAIN", "machine_of", "when", "written"]

PLAIN: Final = Definition()
MULTI: Final = Definition(multi=True)


def machine_of(name: str, *states: str, **rows: Definition) -> Machine[str]:
    """A machine of these plain states, and of those with relations."""
    return Machine(Schema({**dict.fromkeys(states, PLAIN), **rows}), name)


def written(machine: Machine[str]) -> list[str]:
    """What its transitions are from now on."""
    writer = Writer()
    machine.attach(writer)
    return writer.seen


def when(machine: Machine[str], state: str, do: Callable[[Transition], object], kind: Kind = Kind.ENTERED) -> None:
    """A handler of that state."""

    def call(owner: object, transition: Transition) -> object:
        return do(transition)

    machine.bind(HandlerTable([Handler(Slot(kind, state), call)]))
