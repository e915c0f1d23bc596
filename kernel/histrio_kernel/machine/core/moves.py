"""What resolution says about one mutation, worked out once: who would enter and leave, and how the clocks would move."""

# Design note
# -----------
# A *node* is an ordered tuple of active states, interned by its automaton, so that two machines in the same states share
# it and what is remembered about it. A *move* leads from a node: it is the outcome of the relations alone, before any
# handler is asked. It is frozen and shared by all transitions that make it, and carries the handlers it would call.

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final, TypeAlias, final

import attrs

from histrio_kernel.machine.core.handlers import Call, Slot
from histrio_kernel.machine.core.resolve import Op
from histrio_kernel.machine.core.results import Canceled, Executed, Ticket
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.source import Source

__all__ = ["NOWHERE", "Edge", "Move", "Mutation", "Node", "Said", "Step"]

Edge: TypeAlias = "tuple[Node, int, Executed | Canceled, Move, frozenset[int]]"
"""What a mutation comes to if nobody takes part: the next node after the auto transition, the clock delta, the result.
And its move, for those who take part, and the states that tick, for those who take part in some.
"""

NOWHERE: Final = -1
"""The state that a step is about when its veto concerns the whole transition."""


@final
@attrs.frozen(eq=False)
class Step:
    """One slot that a transition calls handlers for."""

    slot: Slot
    state: int = NOWHERE
    """Of a negotiation, the state that a veto lets go of in an auto transition; of a final, the one that moved."""
    enters: bool = False
    closes: bool = False
    """It is `any_state.entered`, which is told only if all went well."""


Said: TypeAlias = "tuple[Step, int, Call]"
"""A step, the number of a binding that has a handler for it, and the handler."""


@final
class Node:
    """One ordered set of active states, and what is remembered about mutations of it."""

    __slots__ = ("active", "add", "auto", "edges", "epoch", "members", "remove", "set", "toggle")

    def __init__(self, active: tuple[int, ...], epoch: int) -> None:
        self.active: Final = active
        self.members: Final = frozenset(active)
        self.epoch: Final = epoch
        self.add: Final[dict[tuple[Hashable, ...], Edge]] = {}
        self.remove: Final[dict[tuple[Hashable, ...], Edge]] = {}
        self.set: Final[dict[tuple[Hashable, ...], Edge]] = {}
        self.toggle: Final[dict[tuple[Hashable, ...], Edge]] = {}
        self.edges: Final = (self.add, self.remove, self.set, self.toggle)
        """By the number of the `Op`; the last is that of toggles."""
        self.auto: Move | bool | None = False
        """The auto transition that follows a change to this node, None for none; False when it is not known."""

    def __repr__(self) -> str:
        return f"<Node {self.active}>"

    def forget(self) -> None:
        """Nothing is remembered any more."""
        for edges in self.edges:
            edges.clear()
        self.auto = False


# Most mutations have no arguments, no error and no ticket, and such a one is made once for each move and shared by all
# its transitions. So this class, and that of transitions, keep their rare attributes as defaults of the class: an
# instance stores what it has, which halves the cost of making one.


class Mutation:
    """What was asked for: an operation, the states as given and as numbers, arguments, and where it came from."""

    cause: BaseException | None = None
    """The error that it reports: `exception` is called because of it."""
    move: Move | None = None
    """What it will be, if that is known already."""
    ticket: Ticket | None = None

    def __init__(
        self,
        op: Op,
        states: tuple[Hashable, ...],
        called: tuple[int, ...],
        args: object = None,
        source: Source | None = None,
        dry: bool = False,
    ) -> None:
        self.op: Final = op
        self.states = states
        self.called = called
        self.args: Final = args
        self.source: Final = source
        """The transition in which it was asked for; None from outside of any."""
        self.dry: Final = dry
        """It only asks whether it could be."""

    def renumber(self, called: tuple[int, ...]) -> None:
        """The machine has another schema, in which the states that were named have these numbers."""
        self.states = self.called = called

    def resolve(self, result: Executed | Canceled) -> None:
        """It is over."""
        if self.ticket is not None:
            self.ticket.resolve(result)

    def __repr__(self) -> str:
        return f"<Mutation {self.op} {self.called}{' dry' if self.dry else ''}>"


@final
@attrs.frozen(eq=False)
class Move:
    """The outcome of the relations for one mutation of one node."""

    op: Op
    is_auto: bool
    called: tuple[int, ...]
    """Those named in the mutation, each once; of an auto transition, its candidates."""
    refusal: Canceled | None
    """Why the relations refuse it."""
    before: Node
    after: Node
    """`before` when it is refused."""
    exits: tuple[int, ...]
    enters: tuple[int, ...]
    """Those of the outcome that are inactive, or Multi and called."""
    delta: int
    """What it adds to the clock."""
    ticking: frozenset[int]
    """The states whose ticks move."""
    asks: Sequence[Said]
    """The negotiation, in order; empty without handlers."""
    tells: Sequence[Said]
    """The final handlers of the states that leave, of those that enter, and `any_state.entered`, in order."""
    schema: Schema
    starts_auto: bool
    """Whether it changes something, and is such that auto states are called after it."""
    calls_exception: bool
    mutation: Mutation
    """What asked for it, if it came without arguments and from outside of any transition."""

    def __attrs_post_init__(self) -> None:
        """The mutation knows where it leads."""
        self.mutation.move = self
