"""M6: a shell that wants to hear what becomes of some states is told of nothing else, and nobody pays for the rest."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.drawn import mutate, mutations, schemas
from tests.machine.lab import raises

from histrio_kernel.machine.core.body import HEARD
from histrio_kernel.machine.core.clock import tick_of
from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Shell, Tracer

PLAIN: Final = Definition()


class Watching(Shell):
    """Writes down what it hears."""

    def __init__(self, machine: Machine[Hashable], *states: int) -> None:
        self.heard: list[str] = []
        self.states = set(states)
        machine.set_shell(self)
        machine.listen(True)
        assert machine.more is not None
        machine.more.watched = self.states

    def moved(self, transition: Transition) -> None:
        self.heard.append("moved")

    def settled(self, transition: Transition) -> None:
        self.heard.append(transition.schema.spell(transition.called))

    def queue_ended(self) -> None:
        self.heard.append("queue ended")

    def unclaimed(self, error: BaseException, transition: Transition | None) -> None:
        self.heard.append("unclaimed")


def fails(owner: object, transition: Transition) -> object:
    """A handler that does not do it."""
    return raises(transition)


def quiet(owner: object, transition: Transition) -> None:
    """A handler."""


@pytest.mark.parametrize("handled", [False, True])
@pytest.mark.parametrize("traced", [False, True])
def test_only_what_becomes_of_them_is_told(handled: bool, traced: bool) -> None:
    """M6: transitions in which a watched state ticks are told when they are over, whoever else takes part."""
    machine: Machine[Hashable] = Machine(Schema({"a": PLAIN, "b": PLAIN, "c": Definition(remove=["a"])}))
    if handled:
        machine.bind(HandlerTable([Handler(Slot(Kind.ENTERED, name), quiet) for name in "abc"]))
    if traced:
        machine.attach(Tracer())
    shell = Watching(machine, 0)

    for _ in range(2):
        for state in ("b", "a", "a", "c"):
            machine.add(state)
        machine.remove("b", "c")

    assert shell.heard == ["a", "c"] * 2


def test_an_auto_transition_is_told_by_itself() -> None:
    """M6: a watched state that the machine itself calls is heard of, also behind a mutation that nobody watches."""
    machine: Machine[Hashable] = Machine(Schema({"go": PLAIN, "auto": Definition(auto=True, require=["go"])}))
    shell = Watching(machine, 1)

    for _ in range(3):
        machine.add("go")
        machine.remove("go")

    assert shell.heard == ["auto", "go"] * 3


def test_a_rollback_is_told_whatever_it_takes_back() -> None:
    """M3, M6: a transition whose handler failed may have moved more than its move says, so it is always told."""
    machine: Machine[Hashable] = Machine(Schema({"bad": PLAIN, "other": PLAIN}))
    machine.bind(HandlerTable([Handler(Slot(Kind.ENTERED, "bad"), fails)]))
    shell = Watching(machine, 1)

    machine.add("bad")

    assert shell.heard == ["bad"]


def test_with_nothing_left_to_watch_the_machine_is_as_before() -> None:
    """M6: when the last watched state is let go within a transition, the machine tells no more, and costs no more."""
    machine: Machine[Hashable] = Machine(Schema({"a": PLAIN}))

    class Once(Watching):
        def settled(self, transition: Transition) -> None:
            super().settled(transition)
            self.states.clear()

    shell = Once(machine, 0)

    machine.add("a")

    assert shell.heard == ["a"]
    assert not machine.flags & HEARD


@settings(max_examples=count("machine_examples"), deadline=None)
@given(data=st.data(), schema=schemas())
def test_nothing_is_missed(data: st.DataObject, schema: Schema) -> None:
    """M6: after every mutation, a shell that watches some states has heard of every tick of theirs."""
    machine: Machine[Hashable] = Machine(schema)
    watched = data.draw(st.sets(st.integers(0, len(schema) - 1), min_size=1))
    known = dict.fromkeys(watched, 0)

    class Reader(Watching):
        def settled(self, transition: Transition) -> None:
            known.update({state: tick_of(transition.after, state) for state in watched})

    Reader(machine, *watched)

    for mutation in data.draw(mutations(schema, 12)):
        mutate(machine, mutation)

        assert known == {state: machine.time[state] for state in watched}
