"""A transition is what becomes of a mutation, as handlers, tracers and waits see it."""

from __future__ import annotations

from typing import Final, Generic, cast

from histrio_kernel.machine.core.clock import tick_of, unpack
from histrio_kernel.machine.core.moves import Move, Mutation
from histrio_kernel.machine.core.resolve import Op
from histrio_kernel.machine.core.results import Canceled, Executed
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.source import Source
from histrio_kernel.machine.core.variables import A_co

__all__ = ["Arguments", "Transition"]


class Arguments(dict[object, object]):
    """The arguments of one mutation, by the state that each is for."""


class Transition(Generic[A_co]):
    """One mutation being worked off. It is the handlers' argument, and must not be changed by them.

    `A_co` is the type of the arguments of the state that a handler is about.
    """

    result: Executed | Canceled | None = None
    """None until it is over."""
    error: BaseException | None = None
    """The first that a handler raised."""
    rolled_back: tuple[int, ...] = ()
    """The states that had entered and left again because a final handler failed."""

    def __init__(self, mutation: Mutation, move: Move, before: int, number: int) -> None:
        self.mutation: Final = mutation
        self.move = move
        """What it leads to by the relations; of an auto transition, after vetoes another one."""
        self.before: Final = before
        """The machine's clock when it began."""
        self.after = before
        """The machine's clock as the transition has moved it so far."""
        self.number: Final = number

    def __repr__(self) -> str:
        sign = ("?" if self.dry else "") + ("a" if self.move.is_auto else "") + self.op.sign
        return f"<Transition {self.number} {sign}{self.schema.spell(self.called)}: {'running' if self.result is None else self.result}>"

    @property
    def schema(self) -> Schema:
        """Of the machine, when the transition began."""
        return self.move.schema

    @property
    def op(self) -> Op:
        """The operation."""
        return self.mutation.op

    @property
    def called(self) -> tuple[int, ...]:
        """The states that were named."""
        return self.mutation.called

    @property
    def args(self) -> A_co:
        """The arguments that the mutation has for the state that the handler is about, None without."""
        args = self.mutation.args
        return cast("A_co", None if isinstance(args, Arguments) else args)

    def args_of(self, state: str) -> object:
        """The arguments that the mutation has for the state of that name, None without."""
        args = self.mutation.args
        return args.get(state) if isinstance(args, Arguments) else args

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
