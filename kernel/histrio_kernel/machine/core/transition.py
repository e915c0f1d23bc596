"""A mutation is what was asked for; a transition is what becomes of it, as handlers, tracers and waits see it."""

from __future__ import annotations

from collections.abc import Hashable
from contextvars import ContextVar
from typing import Final, Protocol, final

import attrs

from histrio_kernel.machine.core.automaton import Automaton
from histrio_kernel.machine.core.clock import tick_of, unpack
from histrio_kernel.machine.core.moves import Move
from histrio_kernel.machine.core.resolve import Op
from histrio_kernel.machine.core.results import Canceled, Executed, Ticket
from histrio_kernel.machine.core.schema import Schema

__all__ = ["ORIGIN", "Mutation", "Origin", "Source", "Transition"]


@attrs.frozen
class Source:
    """Where a mutation was made: in which transition of which machine. Numbers, so that it keeps nothing alive."""

    machine: str
    """The machine's name."""
    transition: int
    """Its number in that machine, from 1."""
    tick: int
    """The sum of that machine's ticks when the transition began."""

    def source(self) -> Source:
        """Itself: it can stand in `ORIGIN`."""
        return self


@final
class Mutation:
    """What was asked for: an operation, the states as given and as numbers, arguments, and where it came from."""

    __slots__ = ("args", "automaton", "called", "cause", "dry", "move", "op", "result", "source", "states", "ticket")

    def __init__(
        self,
        op: Op,
        states: tuple[Hashable, ...],
        called: tuple[int, ...],
        args: object = None,
        *,
        cause: BaseException | None = None,
        dry: bool = False,
        move: Move | None = None,
        automaton: Automaton | None = None,
        source: Source | None = None,
    ) -> None:
        self.op: Final = op
        self.states = states
        self.called = called
        self.args: Final = args
        self.cause: Final = cause
        """The error that it reports: `exception` is called because of it."""
        self.dry: Final = dry
        self.move: Final = move
        """Of an auto transition, what it will be."""
        self.automaton: Final = automaton
        """Of an `evolve`, the one of the new schema."""
        self.source: Final = source
        self.ticket: Ticket | None = None
        self.result: Executed | Canceled | None = None

    def renumber(self, called: tuple[int, ...]) -> None:
        """The machine has another schema, in which the states that were named have these numbers."""
        self.states = self.called = called

    def resolve(self, result: Executed | Canceled) -> None:
        """It is over."""
        self.result = result
        if self.ticket is not None:
            self.ticket.resolve(result)

    def __repr__(self) -> str:
        return f"<Mutation {self.op} {self.called}{' dry' if self.dry else ''}>"


@final
class Transition:
    """One mutation being worked off. It is the handlers' argument, and must not be changed by them."""

    __slots__ = ("after", "before", "error", "move", "mutation", "number", "result", "rolled_back", "schema")

    def __init__(self, mutation: Mutation, move: Move, schema: Schema, before: int, number: int) -> None:
        self.mutation: Final = mutation
        self.move = move
        """What it leads to by the relations; of an auto transition, after vetoes another one."""
        self.schema: Final = schema
        self.before: Final = before
        """The machine's clock when it began."""
        self.after = before
        """The machine's clock as the transition has moved it so far."""
        self.number: Final = number
        self.result: Executed | Canceled | None = None
        """None until it is over."""
        self.error: BaseException | None = None
        """The first that a handler raised."""
        self.rolled_back: tuple[int, ...] = ()
        """The states that had entered and left again because a final handler failed."""

    def __repr__(self) -> str:
        sign = ("?" if self.dry else "") + ("a" if self.move.is_auto else "") + self.op.sign
        return f"<Transition {self.number} {sign}{self.schema.spell(self.called)}: {'running' if self.result is None else self.result}>"

    @property
    def op(self) -> Op:
        """The operation."""
        return self.mutation.op

    @property
    def called(self) -> tuple[int, ...]:
        """The states that were named."""
        return self.mutation.called

    @property
    def args(self) -> object:
        """The arguments of the mutation, None without."""
        return self.mutation.args

    @property
    def cause(self) -> BaseException | None:
        """The error that it reports."""
        return self.mutation.cause

    @property
    def dry(self) -> bool:
        """It only asks whether it could be: nothing will change, so a handler must do nothing that lasts."""
        return self.mutation.dry

    @property
    def is_auto(self) -> bool:
        """The machine itself called its auto states."""
        return self.move.is_auto

    @property
    def source(self) -> Source | None:
        """In which transition it was asked for; None from outside of any."""
        return self.mutation.source

    @property
    def exits(self) -> tuple[int, ...]:
        """The states that leave, in the order of their handlers."""
        return self.move.exits

    @property
    def enters(self) -> tuple[int, ...]:
        """The states that enter, and those Multi that are called again, in the order of their handlers."""
        return self.move.enters

    @property
    def target(self) -> tuple[int, ...]:
        """What would be active after it."""
        return self.move.after.active

    @property
    def moved(self) -> bool:
        """Whether a clock has moved."""
        return self.after != self.before

    def ticked(self, state: int) -> bool:
        """Whether the clock of that state has moved."""
        return tick_of(self.after, state) != tick_of(self.before, state)

    def as_source(self, machine: str) -> Source:
        """What a mutation made within it says about where it came from."""
        return Source(machine, self.number, sum(unpack(self.before, len(self.schema))))


class Origin(Protocol):
    """What can say in which transition the present code runs."""

    def source(self) -> Source | None:
        """That transition, None if there is none."""
        ...


ORIGIN: Final[ContextVar[Origin | None]] = ContextVar("histrio machine origin", default=None)
"""The machine in whose handlers or tracers the present code runs, or the `Source` of the task that runs it."""
