"""Who hears of a machine's steps: tracers, any number of them, and one shell that gives states their scopes and waits."""

# Design note
# -----------
# Both are told synchronously. A tracer is a guest: one that raises is reported once and detached, and the transition
# goes on as if it had not been there. The shell is family: it is the next floor of this house, it must not raise, and
# it hears only what it asked for by `Machine.listen`, so that an idle one costs nothing.

from __future__ import annotations

import logging
from typing import ClassVar, Final

from histrio_kernel.machine.core.handlers import Slot
from histrio_kernel.machine.core.moves import Mutation
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Transition

__all__ = ["Shell", "Tracer"]

_log: Final = logging.getLogger("histrio.machine")


class Tracer:
    """Override what you want to see. A tracer may read the machine, and mutate it: such mutations are queued."""

    __slots__ = ()

    inherited: ClassVar[bool] = False
    """Whether the submachines of a machine that it is attached to get it, too."""

    def queued(self, mutation: Mutation) -> None:
        """A mutation waits for its turn."""

    def init(self, transition: Transition) -> None:
        """A transition is resolved; nothing has been asked or changed."""

    def start(self, transition: Transition) -> None:
        """Its negotiation begins."""

    def handler(self, transition: Transition, slot: Slot, binding: int) -> None:
        """The handler of that slot in that binding is about to be called."""

    def finals(self, transition: Transition) -> None:
        """The clocks have moved; the final handlers come next."""

    def end(self, transition: Transition) -> None:
        """It is over and has its result."""

    def queue_end(self) -> None:
        """Nothing waits any more."""

    def schema_changed(self, old: Schema, new: Schema) -> None:
        """The machine has another schema; the transition that follows from it comes next."""

    def disposed(self) -> None:
        """The machine takes no more mutations."""


class Shell:
    """What a machine calls besides its handlers. This one hears nothing, and logs what nobody else would hear of."""

    __slots__ = ()

    def moved(self, transition: Transition) -> None:
        """Clocks have changed, and no final handler has run: scopes of what left or entered anew end here."""

    def rolled_back(self, transition: Transition) -> None:
        """The states `transition.rolled_back` have left again: their scopes end here."""

    def settled(self, transition: Transition) -> None:
        """A transition that moved a clock is over, with its finals, and the next has not begun: waits are looked at."""

    def queue_ended(self) -> None:
        """Nothing waits any more."""

    def imported(self, ticked: tuple[int, ...]) -> None:
        """An import has set the clocks of these states; no handler ran."""

    def evolved(self, old: Schema, new: Schema) -> None:
        """The machine has another schema: states have other numbers, and those that are gone have left."""

    def disposed(self) -> None:
        """The machine takes no more mutations."""

    def excepted(self, error: BaseException, transition: Transition) -> None:
        """The machine has this error as its `exception`, and the handlers of that state have been told."""

    def unclaimed(self, error: BaseException, transition: Transition | None) -> None:
        """An error that cannot become, or did not become, the machine's `exception`."""
        _log.error("a machine could not take an error as its exception: %r in %r", error, transition, exc_info=error)

    def tracer_failed(self, tracer: Tracer, error: Exception) -> None:
        """A tracer raised and has been detached."""
        _log.error("a tracer raised and is detached: %r", tracer, exc_info=error)

    def slow(self, transition: Transition, seconds: float) -> None:
        """The handlers of a transition have taken longer than `slow_handler_s`, of real time."""
        _log.warning("the handlers of a transition took %.3f s, and everything waited: %r", seconds, transition)
