"""What can belong to an activation of a state, and what the lower floors know of activations and machines."""

# Design note
# -----------
# Operations, children and timers are made on floors that know nothing of machines. They see an activation as something
# that they are added to, that ends them, and that they tell when they have ended.

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from histrio_kernel.machine.states.base import BaseState

__all__ = ["ActorMachine", "Period", "Work"]


class Work(Protocol):
    """Something that ends with an activation."""

    def end(self) -> None:
        """Begin to end; the activation is told by `done` when it has ended. It may be within this call."""
        ...


class Period(Protocol):
    """An activation, to whoever gives it work."""

    def add(self, work: Work) -> None:
        """This work belongs to it; if it is over, the work is told to end at once."""
        ...

    def done(self, work: Work) -> None:
        """This work has ended."""
        ...

    def failed(self, error: BaseException) -> None:
        """Work of it has failed, and nobody else looks at the error."""
        ...


class ActorMachine(Protocol):
    """The machine of an actor, to its kernel cell."""

    @property
    def names(self) -> tuple[str, ...]:
        """The active states."""
        ...

    def activation(self, state: BaseState) -> Period:
        """The present activation of a state; raises if it is not active."""
        ...

    def end(self) -> None:
        """The actor ends: nothing is mutated any more, and all activations end."""
        ...

    def wound_down(self) -> Awaitable[None]:
        """Completes when all that belongs to activations has ended, async `exited` handlers too."""
        ...

    def hear(self, heard: bool) -> None:
        """Whether somebody reads the signals of the actor."""
        ...
