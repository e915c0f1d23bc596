"""What objects do when they are used by one client at a time: the yardstick of the linearizability checker."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar, cast

import attrs

__all__ = [
    "Add",
    "CompareAndSwap",
    "Counter",
    "Get",
    "Model",
    "Pop",
    "Push",
    "Queue",
    "Read",
    "Register",
    "Write",
    "model",
]

O = TypeVar("O")  # noqa: E741 - an operation
O_contra = TypeVar("O_contra", contravariant=True)


class Model(Protocol[O_contra]):
    """An object that is used by one client at a time. States are hashable, and are never changed in place."""

    @property
    def initial(self) -> Hashable:
        """The state in the beginning."""
        ...

    def step(self, state: Hashable, operation: O_contra) -> tuple[Hashable, object]:
        """The state after an operation, and what it returns."""
        ...


@attrs.frozen
class _Functional(Generic[O]):
    """A model from two values."""

    initial: Hashable
    function: Callable[[Hashable, O], tuple[Hashable, object]]

    def step(self, state: Hashable, operation: O) -> tuple[Hashable, object]:
        """As the function says."""
        return self.function(state, operation)


def model(initial: Hashable, step: Callable[[Hashable, O], tuple[Hashable, object]]) -> Model[O]:
    """A model from its first state and a function from a state and an operation to the next state and the result."""
    return _Functional(initial, step)


@attrs.frozen
class Read:
    """What does it hold?"""


@attrs.frozen
class Write:
    """It holds this from now on; returns None."""

    value: Hashable


@attrs.frozen
class CompareAndSwap:
    """If it holds *expected*, it holds *value* from now on; returns whether it did."""

    expected: Hashable
    value: Hashable


@attrs.frozen
class Register:
    """A cell that holds one value."""

    initial: Hashable = None

    def step(self, state: Hashable, operation: Read | Write | CompareAndSwap) -> tuple[Hashable, object]:
        """See the operations."""
        match operation:
            case Read():
                return state, state
            case Write(value):
                return value, None
            case CompareAndSwap(expected, value):
                return (value, True) if state == expected else (state, False)


@attrs.frozen
class Add:
    """So much more; returns None."""

    amount: int = 1


@attrs.frozen
class Get:
    """How much is it?"""


@attrs.frozen
class Counter:
    """A number that is added to."""

    initial: int = 0

    def step(self, state: Hashable, operation: Add | Get) -> tuple[Hashable, object]:
        """See the operations."""
        assert isinstance(state, int)
        return (state + operation.amount, None) if isinstance(operation, Add) else (state, state)


@attrs.frozen
class Push:
    """One more at the end; returns None."""

    value: Hashable


@attrs.frozen
class Pop:
    """The first, which is gone afterwards; None if there is none."""


@attrs.frozen
class Queue:
    """First in, first out."""

    initial: tuple[Hashable, ...] = ()

    def step(self, state: Hashable, operation: Push | Pop) -> tuple[Hashable, object]:
        """See the operations."""
        waiting = cast("tuple[Hashable, ...]", state)
        if isinstance(operation, Push):
            return (*waiting, operation.value), None
        return (waiting[1:], waiting[0]) if waiting else (waiting, None)
