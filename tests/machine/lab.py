"""A machine whose handlers write down their calls, and whose shell keeps the errors that nobody takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Shell, Tracer

__all__ = ["Deed", "Keeper", "Lab", "Oops", "Writer", "entered", "raises", "table", "vetoes"]

Deed: TypeAlias = Callable[[Transition], object]


class Oops(Exception):
    """What a handler raises here."""


def raises(transition: Transition) -> object:
    """Fail."""
    raise Oops


def vetoes(transition: Transition) -> object:
    """Veto."""
    return False


def entered(state: str) -> Slot:
    """The slot that is told that this state has entered."""
    return Slot(Kind.ENTERED, state)


def table(deeds: Mapping[Slot, Deed]) -> HandlerTable:
    """Handlers that do these deeds, whatever they are bound to."""
    return HandlerTable(_handler(slot, deed) for slot, deed in deeds.items())


def _handler(slot: Slot, deed: Deed) -> Handler:
    def call(owner: object, transition: Transition) -> object:
        return deed(transition)

    return Handler(slot, call)


class Keeper(Shell):
    """Keeps what nobody else would hear of, and which transitions it heard of."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.failed: list[Tracer] = []
        self.heard: list[str] = []

    def moved(self, transition: Transition) -> None:
        """Note it."""
        self.heard.append("moved")

    def rolled_back(self, transition: Transition) -> None:
        """Note it."""
        self.heard.append(f"rolled back {transition.schema.spell(transition.rolled_back)}")

    def settled(self, transition: Transition) -> None:
        """Note it."""
        self.heard.append("settled")

    def queue_ended(self) -> None:
        """Note it."""
        self.heard.append("queue ended")

    def unclaimed(self, error: BaseException, transition: Transition | None) -> None:
        """Keep it."""
        self.errors.append(error)

    def tracer_failed(self, tracer: Tracer, error: Exception) -> None:
        """Keep it."""
        self.failed.append(tracer)


class Writer(Tracer):
    """Writes down the transitions."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def end(self, transition: Transition) -> None:
        """As `+a,b`, with `a` before an auto one and `!` behind what was canceled."""
        prefix = ("a" if transition.is_auto else "") + ("?" if transition.dry else "")
        names = ",".join(transition.schema.names[state] for state in transition.called)
        self.seen.append(f"{prefix}{transition.op.sign}{names}{'' if transition.result else '!'}")


class Lab:
    """A machine of these states, all of whose handlers are bound and noted in `calls`; some do a deed besides.

    Of the pairs only those that do a deed are bound.
    """

    def __init__(self, states: Mapping[str, Definition], deeds: Mapping[Slot, Deed] | None = None) -> None:
        self.calls: Final[list[str]] = []
        self.keeper: Final = Keeper()
        self.writer: Final = Writer()
        self.machine: Final = Machine(Schema(states))
        self.machine.set_shell(self.keeper)
        self.machine.listen(True)
        self.machine.attach(self.writer)
        names = self.machine.schema.names
        kinds = (Kind.MAY_ENTER, Kind.MAY_EXIT, Kind.STAYS, Kind.ENTERED, Kind.EXITED)
        every = [Slot(kind, name) for kind in kinds for name in names]
        every += [Slot(Kind.ANY_MAY_ENTER), Slot(Kind.ANY_ENTERED)]
        every += [slot for slot in deeds or {} if slot.kind is Kind.BESIDE]
        self.machine.bind(HandlerTable(self._handler(slot, (deeds or {}).get(slot)) for slot in every))

    def _handler(self, slot: Slot, deed: Deed | None) -> Handler:
        """One that notes its call."""

        def call(owner: object, transition: Transition) -> object:
            self.calls.append(str(slot))
            return None if deed is None else deed(transition)

        return Handler(slot, call)
