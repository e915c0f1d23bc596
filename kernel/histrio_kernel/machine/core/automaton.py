"""What follows from a mutation is worked out once and remembered, for all machines of a class and within a bound."""

# Design note
# -----------
# Resolution is a pure function of the ordered active states and the call, so it is an automaton, and like that of a
# regular expression it is built lazily: a node for each ordered set of active states that was met, one dict for each
# operation from the states *as they were given* to the edge. An edge says what a machine needs that nobody watches or
# handles, the auto transition included, and has the move for all others, which knows who enters, leaves and is called.
#
# At EDGES_MAX edges all are forgotten, which costs less than to know which of them are old. A machine may stand on a
# forgotten node: such a node is empty and stays so, its machine misses, comes here and is led to the new one. Whatever
# is remembered is stored in a node of the present epoch only; so the bound holds.
#
# What follows a veto or an error is not remembered: it depends on what handlers did.

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Final, TypeAlias, final
from weakref import WeakValueDictionary

from histrio_kernel.machine.core.clock import WIDTH, unit
from histrio_kernel.machine.core.handlers import Compiled, HandlerTable
from histrio_kernel.machine.core.limits import EDGES_MAX
from histrio_kernel.machine.core.moves import Edge, Move, Mutation, Node
from histrio_kernel.machine.core.resolve import ADD, EVOLVE, REMOVE, SET, Op, Resolver
from histrio_kernel.machine.core.results import EXECUTED, Canceled
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.steps import final_steps, negotiation_steps

__all__ = ["EDGES_MAX", "Automaton", "shared_automaton"]

TOGGLE: Final = 3
"""Where the edges of toggles are in `Node.edges`, behind those of the operations."""


@final
class Automaton:
    """The remembered resolution of one schema, with the tables of handlers that its machines have bound."""

    __slots__ = (
        "__weakref__",
        "_edges",
        "_nodes",
        "compiled",
        "edges_max",
        "epoch",
        "resolver",
        "schema",
        "tables",
        "width",
    )

    def __init__(
        self,
        schema: Schema,
        tables: Iterable[HandlerTable] = (),
        edges_max: int = EDGES_MAX,
        width: int = WIDTH,
    ) -> None:
        self.schema: Final = schema
        self.tables: Final = tuple(tables)
        self.edges_max: Final = edges_max
        self.width: Final = width
        """Of the clocks of its machines."""
        self.resolver: Final = Resolver(schema)
        self.compiled: Final = Compiled(schema, self.tables)
        self.epoch = 0
        self._nodes: dict[tuple[int, ...], Node] = {}
        self._edges = 0

    def __repr__(self) -> str:
        return f"<Automaton: {len(self._nodes)} nodes, {self._edges} of {self.edges_max} edges>"

    @property
    def edges(self) -> int:
        """How many edges are remembered."""
        return self._edges

    def intern(self, active: Iterable[int]) -> Node:
        """The one node of these active states, in this order."""
        states = tuple(active)
        node = self._nodes.get(states)
        if node is None:
            if len(self._nodes) >= self.edges_max:  # imports and rollbacks meet nodes without edges
                self.forget()
            node = self._nodes[states] = Node(states, self.epoch)
        return node

    def current(self, node: Node) -> Node:
        """The node of the same states that is not forgotten."""
        return node if node.epoch == self.epoch else self.intern(node.active)

    def forget(self) -> None:
        """All edges and nodes are forgotten; machines that stand on one are not disturbed."""
        for node in self._nodes.values():
            node.forget()
        self._nodes = {}
        self._edges = 0
        self.epoch += 1

    def auto(self, node: Node) -> Move | None:
        """The auto transition that follows a change to that node; None if no auto state could come."""
        known = node.auto
        if not isinstance(known, bool):
            return known
        called = self.resolver.auto_candidates(node.active)
        move = self._auto_move(node, called) if called else None
        self._room(node).auto = move
        return move

    def edge(self, node: Node, op: Op | None, states: tuple[Hashable, ...]) -> Edge:
        """What the relations say about this mutation in that node; `op` None is a toggle.

        Raises:
            UnknownState: one of `states` is none.
        """
        index = TOGGLE if op is None else op.index
        known = node.edges[index].get(states)
        if known is not None:
            return known
        if op is None:
            edge = self.edge(node, self._toggled(node, states), states)
        else:
            edge = self._edge(self._move(node, op, self.schema.find_all(states)))
        self._room(node).edges[index][states] = edge
        return edge

    def _edge(self, move: Move) -> Edge:
        """A move, and the auto transition after it."""
        after, delta, ticking = move.after, move.delta, move.ticking
        auto = self.auto(self.current(after)) if move.starts_auto else None
        if auto is not None:
            after, delta, ticking = auto.after, delta + auto.delta, ticking | auto.ticking
        return after, delta, EXECUTED if move.refusal is None else move.refusal, move, ticking

    def _toggled(self, node: Node, states: tuple[Hashable, ...]) -> Op:
        """What a toggle is there: a remove if all of `states` are active, else an add."""
        return REMOVE if node.members.issuperset(self.schema.find_all(states)) else ADD

    def evolved(self, node: Node) -> Move:
        """The states of that node resolved again under this schema: those that do not fit any more leave."""
        target = self.resolver.resolve(node.active, SET, node.active)
        return self._accepted(node, EVOLVE, node.active, target, called_again=())

    def revise(self, move: Move, let_go: Collection[int]) -> Move:
        """An auto transition after vetoes: those let go, and who was not negotiated, do not enter."""
        before = move.before
        negotiated = move.after.members.difference(let_go)
        barred = set(range(len(self.schema))) - before.members - negotiated
        kept = [state for state in move.called if state in negotiated]
        target = self.resolver.resolve(before.active, ADD, kept, barred)
        return self._accepted(before, ADD, move.called, target, is_auto=True, called_again=())

    def _room(self, node: Node) -> Node:
        """Where one more edge of that node is stored; it may be that all others are forgotten first."""
        if self._edges >= self.edges_max:
            self.forget()
        self._edges += 1
        return self.current(node)

    def _move(self, node: Node, op: Op, called: tuple[int, ...]) -> Move:
        """One mutation resolved."""
        target = self.resolver.resolve(node.active, op, called)
        present = set(target)
        missing = () if op is REMOVE else tuple(state for state in called if state not in present)
        if missing:
            return self.refused(node, op, called, f"the relations do not let {self.schema.spell(missing)} be active")
        return self._accepted(node, op, called, target, called_again=called)

    def _auto_move(self, node: Node, called: tuple[int, ...]) -> Move:
        """The auto states called together."""
        target = self.resolver.resolve_auto(node.active, called)
        if target is None:
            reason = f"the relations let none of {self.schema.spell(called)} be active"
            return self.refused(node, ADD, called, reason, is_auto=True)
        return self._accepted(node, ADD, called, target, is_auto=True, called_again=())

    def refused(self, node: Node, op: Op, called: tuple[int, ...], reason: str, *, is_auto: bool = False) -> Move:
        """A move that changes nothing."""
        return Move(
            op=op,
            is_auto=is_auto,
            called=called,
            refusal=Canceled(reason),
            before=node,
            after=node,
            exits=(),
            enters=(),
            delta=0,
            ticking=frozenset(),
            asks=(),
            tells=(),
            schema=self.schema,
            starts_auto=False,
            calls_exception=self.schema.exception in called,
            mutation=Mutation(op, called, called),
        )

    def _accepted(
        self,
        node: Node,
        op: Op,
        called: tuple[int, ...],
        target: Sequence[int],
        *,
        is_auto: bool = False,
        called_again: Collection[int],
    ) -> Move:
        """A move to `target`; those of `called_again` that are Multi enter even if they are active."""
        active, members = node.active, node.members
        after = self.intern(target)
        exits = self.resolver.order.sort(state for state in active if state not in after.members)
        again = self.schema.multi.intersection(called_again)
        enters = tuple(state for state in target if state not in members or state in again)
        ticking = sum(unit(state, self.width) for state in (*exits, *enters))
        delta = ticking + sum(unit(state, self.width) for state in enters if state in members)
        handlers = self.compiled
        steps = negotiation_steps(handlers, node, after, exits, enters, stays=op is not REMOVE)
        return Move(
            op=op,
            is_auto=is_auto,
            called=called,
            refusal=None,
            before=node,
            after=after,
            exits=exits,
            enters=enters,
            delta=delta,
            ticking=frozenset((*exits, *enters)),
            asks=tuple(steps) if handlers and op is not EVOLVE else (),
            tells=tuple(final_steps(handlers, exits, enters)) if handlers else (),
            schema=self.schema,
            starts_auto=op is EVOLVE or (bool(delta) and not is_auto and not self._is_quiet(op, called)),
            calls_exception=self.schema.exception in called,
            mutation=Mutation(op, called, called),
        )

    def _is_quiet(self, op: Op, called: tuple[int, ...]) -> bool:
        """Whether it is the add of one single quiet state."""
        return op is ADD and len(called) == 1 and called[0] in self.schema.quiet


_Family: TypeAlias = "tuple[Schema, tuple[HandlerTable, ...], int, int]"

_families: Final[WeakValueDictionary[_Family, Automaton]] = WeakValueDictionary()


def shared_automaton(
    schema: Schema, tables: Iterable[HandlerTable] = (), edges_max: int = EDGES_MAX, width: int = WIDTH
) -> Automaton:
    """The one automaton of all machines with this very schema, these very tables and clocks of this width, for as long
    as one of them lives.
    """
    family = (schema, tuple(tables), edges_max, width)
    known = _families.get(family)
    if known is None:
        known = _families[family] = Automaton(*family)
    return known
