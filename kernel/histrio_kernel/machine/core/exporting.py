"""A machine as plain data, and the checks that such data must pass before a machine takes it over."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from histrio_kernel.machine.core.errors import ImportRefused, nearest
from histrio_kernel.machine.core.schema import Schema

__all__ = ["Exported", "active_of", "export_of"]


# Two, because mypy does not see through a generic converter.


def _ints(values: Iterable[int]) -> tuple[int, ...]:
    """A tuple, also of what JSON gave as a list."""
    return tuple(values)


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    """A tuple, also of what JSON gave as a list."""
    return tuple(values)


@attrs.frozen
class Exported:
    """All states with their ticks, and the active ones in their order, which decides in later resolutions."""

    states: tuple[str, ...] = attrs.field(converter=_texts)
    ticks: tuple[int, ...] = attrs.field(converter=_ints)
    active: tuple[str, ...] = attrs.field(converter=_texts)


def export_of(schema: Schema, active: Iterable[int], ticks: tuple[int, ...]) -> Exported:
    """The data of a machine."""
    return Exported(schema.names, ticks, tuple(schema.names[state] for state in active))


def active_of(schema: Schema, exported: Exported) -> tuple[int, ...]:
    """The active states of a machine that takes this over.

    Raises:
        ImportRefused: the states are others, or the ticks and the active states contradict each other.
    """
    for name in exported.states:
        if name not in schema.definitions:
            raise ImportRefused(f"the data has a state {name!r}, the schema has not: {nearest(name, schema.names)}")
    for name in schema.names:
        if name not in exported.states:
            raise ImportRefused(f"the schema has a state {name!r}, the data has not: it is of another schema")
    if len(exported.ticks) != len(exported.states) or len(set(exported.states)) != len(exported.states):
        raise ImportRefused(f"{len(exported.states)} states with {len(exported.ticks)} ticks: there must be one each")
    for name, tick in zip(exported.states, exported.ticks, strict=True):
        if tick < 0:
            raise ImportRefused(f"state {name!r} has the tick {tick}, which no machine comes to")
    odd = {name for name, tick in zip(exported.states, exported.ticks, strict=True) if tick % 2}
    if odd != set(exported.active) or len(odd) != len(exported.active):
        raise ImportRefused(
            f"the states with odd ticks are {sorted(odd)}, those named active {sorted(exported.active)}: a state is "
            "active exactly when its tick is odd"
        )
    return tuple(map(schema.index, exported.active))
