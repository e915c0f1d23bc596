"""A machine goes on under another schema: what both have keeps its ticks, what is gone has left."""

from __future__ import annotations

from typing import Final, final

from histrio_kernel.machine.core.automaton import shared_automaton
from histrio_kernel.machine.core.body import Body, More
from histrio_kernel.machine.core.clock import pack, unpack, width_of
from histrio_kernel.machine.core.errors import SchemaError
from histrio_kernel.machine.core.moves import Move, Mutation
from histrio_kernel.machine.core.queue import cancel
from histrio_kernel.machine.core.resolve import EVOLVE
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.source import Source

__all__ = ["Evolution", "evolve"]


@final
class Evolution(Mutation):
    """The mutation that changes the schema."""

    def __init__(self, schema: Schema, source: Source | None) -> None:
        super().__init__(EVOLVE, (), (), source=source)
        self.schema: Final = schema


def evolve(body: Body, more: More, new: Schema) -> Move:
    """Put the machine under the new schema, and give what its present states resolve to there.

    No handler can veto it: a machine whose states contradict their relations is worth less than one that lost some. But
    it is refused if handlers that were bound after it was asked for are for states that are gone.
    """
    old = body.automaton.schema
    clock = _carried_over(body.clock, old, new)
    try:
        automaton = shared_automaton(new, body.automaton.tables, body.automaton.edges_max, width_of(clock))
    except SchemaError as error:
        return body.automaton.refused(body.node, EVOLVE, (), str(error))
    kept = [old.names[state] for state in body.node.active if old.names[state] in new.definitions]
    body.automaton, body.node, body.clock = automaton, automaton.intern(map(new.index, kept)), clock
    for mutation in list(more.queue):
        if not _renumbered(mutation, old, new):
            more.queue.remove(mutation)
            cancel(more, mutation, "a state that it names is not in the new schema")
    more.tell(more.on.schema_changed, old, new)
    more.shell.evolved(old, new)
    return automaton.evolved(body.node)


def _carried_over(clock: int, old: Schema, new: Schema) -> int:
    """The ticks of the states that both have, under their new numbers."""
    ticks = dict(zip(old.names, unpack(clock, len(old)), strict=True))
    return pack(ticks.get(name, 0) for name in new.names)


def _renumbered(mutation: Mutation, old: Schema, new: Schema) -> bool:
    """Give a waiting mutation the new numbers of its states; False if one of them is gone."""
    names = [old.names[state] for state in mutation.called]
    if not all(name in new.definitions for name in names):
        return False
    mutation.renumber(tuple(map(new.index, names)))
    return True
