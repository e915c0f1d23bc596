"""M4: clocks have no bound. Ticks that only an import can bring have wider fields, and mean the same everywhere."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.drawn import mutate, mutations, schemas

from histrio_kernel.machine.core.automaton import Automaton, shared_automaton
from histrio_kernel.machine.core.clock import WIDTH, Fields, pack, tick_of, unit, unpack, width_of, zero
from histrio_kernel.machine.core.exporting import Exported
from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer

PLAIN = Definition()
HUGE = (2**63 - 1, 2**63, 2**64 + 1, 2**127, 10**100 + 1)


def imported(schema: Schema, *ticks: int) -> Machine:
    """A machine with these ticks."""
    machine = Machine(schema)
    load(machine, *ticks)
    return machine


def load(machine: Machine, *ticks: int) -> None:
    """Import these ticks."""
    names = machine.schema.names
    active = [name for name, tick in zip(names, ticks, strict=True) if tick % 2]
    machine.load(Exported(names, ticks, active))


@given(ticks=st.lists(st.one_of(st.integers(0, 2**64), st.integers(0, 2**300)), min_size=1, max_size=6))
def test_what_is_packed_is_unpacked(ticks: list[int]) -> None:
    """M4: whatever the ticks, they can be read from the clock, one by one and together."""
    clock = pack(ticks)

    assert unpack(clock, len(ticks)) == tuple(ticks)
    assert [tick_of(clock, state) for state in range(len(ticks))] == ticks
    assert tick_of(clock, len(ticks)) == 0


@given(
    ticks=st.lists(st.one_of(st.integers(0, 2**64), st.integers(0, 2**300)), min_size=2, max_size=6),
    more=st.integers(1, 2**63),
    data=st.data(),
)
def test_one_that_ticks_leaves_its_neighbours_alone(ticks: list[int], more: int, data: st.DataObject) -> None:
    """M4: after a packing, 2**63 ticks of a state at least do not run into the next one."""
    state = data.draw(st.integers(0, len(ticks) - 1))
    clock = pack(ticks)

    clock += more * unit(state, width_of(clock))

    ticks[state] += more
    assert unpack(clock, len(ticks)) == tuple(ticks)


@given(
    before=st.lists(st.integers(0, 2**70), min_size=3, max_size=3),
    after=st.lists(st.integers(0, 2**70), min_size=3, max_size=3),
    states=st.sets(st.integers(0, 2)),
)
def test_which_have_ticked(before: list[int], after: list[int], states: set[int]) -> None:
    """M4: clocks can be compared in some of their states, also clocks of different widths."""
    differ = Fields(states).differ(pack(before), pack(after))

    assert differ == any(before[state] != after[state] for state in states)
    assert not Fields(states).differ(pack(before), pack(before))


@pytest.mark.parametrize("tick", HUGE)
def test_an_import_may_bring_any_ticks(tick: int) -> None:
    """M4: from there they go on, each by itself, and are exported again as they are."""
    machine = imported(Schema({"a": PLAIN, "b": PLAIN}), tick, 7, 0)

    assert machine.toggle("a")
    assert machine.toggle("b")

    assert machine.time == (tick + 1, 8, 0)
    assert machine.tick("a") == tick + 1
    assert machine.was({"a": tick + 1})
    assert ("a" in machine) == (tick % 2 == 0)
    assert machine.export().ticks == (tick + 1, 8, 0)


def test_ordinary_ticks_come_back_to_ordinary_clocks() -> None:
    """M4: a machine that has had huge ticks and has small ones now shares what is remembered with all others."""
    schema = Schema({"a": PLAIN})
    ordinary, machine = Machine(schema), imported(schema, 2**64, 0)
    assert machine.automaton is not ordinary.automaton
    assert machine.automaton is imported(schema, 2**65, 0).automaton

    load(machine, 3, 0)

    assert machine.automaton is ordinary.automaton
    assert machine.toggle("a")
    assert machine.time == (4, 0)


@pytest.mark.parametrize("tick", HUGE)
def test_transitions_tell_of_huge_ticks(tick: int) -> None:
    """M4, M9: handlers and tracers see who has ticked, and sources have the sum, whatever the width."""
    seen: list[tuple[bool, bool]] = []

    class Watch(Tracer):
        def end(self, transition: Transition) -> None:
            seen.append((transition.ticked(0), transition.ticked(1)))
            assert transition.as_source("m").tick == tick + 4

    machine = imported(Schema({"a": PLAIN, "b": PLAIN}), tick, 4, 0)
    machine.attach(Watch())

    machine.toggle("a")

    assert seen == [(True, False)]


def test_handlers_are_bound_and_rolled_back_on_wide_clocks() -> None:
    """M3, M4: a machine with huge ticks takes handlers, and what an error takes back ticks twice."""

    def fails(owner: object, transition: Transition) -> None:
        raise ValueError

    machine = imported(Schema({"a": PLAIN, "b": PLAIN}), 2**64, 2, 0)
    machine.bind(HandlerTable([Handler(Slot(Kind.ENTERED, "b"), fails)]))

    assert not machine.add("a", "b")

    assert machine.time == (2**64 + 1, 4, 1)


def test_evolving_carries_huge_ticks_over() -> None:
    """M4, M10: under another schema kept states have their ticks, and without the huge one the clock is ordinary again."""
    machine = imported(Schema({"a": PLAIN, "b": PLAIN}), 2**64 + 1, 3, 0)

    assert machine.evolve(Schema({"b": PLAIN, "new": PLAIN, "a": PLAIN}))
    assert machine.export().ticks == (3, 0, 2**64 + 1, 0)
    assert machine.remove("a")
    assert machine.evolve(Schema({"b": PLAIN, "new": PLAIN}))

    assert machine.export().ticks == (3, 0, 0)
    assert machine.automaton.width == WIDTH


def test_a_machine_on_a_wide_automaton_begins_at_zero() -> None:
    """M4: it may share the automaton of one with huge ticks."""
    wide = imported(Schema({"a": PLAIN}), 2**200, 0).automaton
    machine = Machine(wide)

    assert machine.time == (0, 0)
    assert machine.add("a")
    assert machine.time == (1, 0)
    assert width_of(zero(wide.width)) == wide.width


@settings(max_examples=count("machine_examples"), deadline=None)
@given(data=st.data(), schema=schemas(), doublings=st.integers(1, 3), edges_max=st.sampled_from([3, 4096]))
def test_the_width_changes_nothing(data: st.DataObject, schema: Schema, doublings: int, edges_max: int) -> None:
    """M4, M11: machines that differ in the width of their clocks do the same."""
    ordinary = Machine(Automaton(schema, edges_max=edges_max))
    wide = Machine(shared_automaton(schema, edges_max=edges_max, width=WIDTH << doublings))

    for mutation in data.draw(mutations(schema, 12)):
        mutate(ordinary, mutation)
        mutate(wide, mutation)

        assert wide.time == ordinary.time
        assert wide.active == ordinary.active
