"""Schemas, mutations and handlers as Hypothesis draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from hypothesis import strategies as st

from histrio_kernel.machine.core.handlers import Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import Result
from histrio_kernel.machine.core.schema import Definition, Schema

__all__ = ["STATES_MAX", "Mutation", "mutate", "mutations", "schemas", "slots"]

STATES_MAX: Final = 9
Mutation: TypeAlias = "tuple[str, tuple[str, ...]]"


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """A schema in which no state requires or adds what it removes."""
    names = [f"s{number}" for number in range(draw(st.integers(2, STATES_MAX)))]
    few = st.lists(st.sampled_from([*names, "exception"]), max_size=3, unique=True)
    rows: dict[str, Definition] = {}
    for name in names:
        remove = draw(few)
        rows[name] = Definition(
            auto=draw(st.booleans()),
            multi=draw(st.booleans()),
            require=tuple(other for other in draw(few) if other not in remove),
            add=tuple(other for other in draw(few) if other not in remove or other == name),
            remove=tuple(other for other in remove),
            after=tuple(draw(few)),
        )
    return Schema({name: _sound(name, row) for name, row in rows.items()})


def _sound(name: str, row: Definition) -> Definition:
    """The same, without its own name in `remove`."""
    return Definition(row.auto, row.multi, row.require, row.add, tuple(n for n in row.remove if n != name), row.after)


def mutations(schema: Schema, size: int) -> st.SearchStrategy[list[Mutation]]:
    """A list of operations on these states."""
    states = st.lists(st.sampled_from(schema.names), max_size=3).map(tuple)
    return st.lists(st.tuples(st.sampled_from(["add", "remove", "set", "toggle"]), states), max_size=size)


def slots(names: Sequence[str]) -> list[Slot]:
    """Every slot of these states but the pairs."""
    kinds = (Kind.MAY_ENTER, Kind.MAY_EXIT, Kind.STAYS, Kind.ENTERED, Kind.EXITED)
    single = [Slot(kind, name) for kind in kinds for name in names]
    return [*single, Slot(Kind.ANY_MAY_ENTER), Slot(Kind.ANY_ENTERED)]


def mutate(machine: Machine, mutation: Mutation) -> Result:
    """One drawn mutation."""
    calls = {"add": machine.add, "remove": machine.remove, "set": machine.set, "toggle": machine.toggle}
    op, states = mutation
    return calls[op](*states)
