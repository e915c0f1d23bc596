"""States that remove each other are shown as one group of which at most one is active, not as a web of arrows."""

from __future__ import annotations

from histrio_kernel.machine.core.schema import Schema

__all__ = ["exclusive_groups", "removals"]


def exclusive_groups(schema: Schema, at_least: int = 2) -> list[tuple[int, ...]]:
    """Groups of states each of which removes all others of its group; a state is in one of them at most.

    Each group begins with the first state that is in none yet and takes in what fits, in the order of the schema. So the
    same schema always gives the same groups; they need not be the largest.

    Args:
        schema: the states.
        at_least: how many states make a group.

    Examples:
        >>> rows = {name: {"remove": [other for other in "abc" if other != name]} for name in "abc"}
        >>> exclusive_groups(Schema.from_data({**rows, "d": {"remove": ["a"]}}))
        [(0, 1, 2)]
    """
    groups: list[tuple[int, ...]] = []
    taken: set[int] = set()
    for first in range(len(schema)):
        if first in taken:
            continue
        group = [first]
        for other in range(first + 1, len(schema)):
            if other not in taken and all(_rivals(schema, each, other) for each in group):
                group.append(other)
        if len(group) >= at_least:
            groups.append(tuple(group))
            taken.update(group)
    return groups


def removals(schema: Schema, groups: list[tuple[int, ...]]) -> list[tuple[int, int]]:
    """Who removes whom, without what the groups say already, in the order of the schema."""
    group_of = {state: number for number, group in enumerate(groups) for state in group}
    return [
        (remover, removed)
        for remover, definition in enumerate(schema.definitions.values())
        for removed in map(schema.index, definition.remove)
        if removed != remover and (remover not in group_of or group_of[remover] != group_of.get(removed))
    ]


def _rivals(schema: Schema, one: int, other: int) -> bool:
    """Whether they remove each other."""
    return one in schema.removed_by[other] and other in schema.removed_by[one]
