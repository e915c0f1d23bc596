"""M2, M11: what relations lead to, by hand and by drawing; and that the automaton remembers it rightly."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.drawn import mutate, mutations, schemas
from tests.machine.lab import Lab

from histrio_kernel.machine.core.automaton import Automaton
from histrio_kernel.machine.core.clock import pack, unpack
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.moves import Node
from histrio_kernel.machine.core.resolve import ADD, REMOVE, SET, Resolver
from histrio_kernel.machine.core.schema import Definition, Schema

EXAMPLES = count("machine_examples")


def assert_consistent(machine: Machine) -> None:
    """No active state is removed by another, every requirement is met, and the clocks say the same."""
    schema, active = machine.schema, set(machine.active)
    assert len(active) == len(machine.active)
    for state in active:
        assert schema.removed_by[state].isdisjoint(active)
        assert active.issuperset(schema.require[state])
    assert active == {state for state, tick in enumerate(machine.time) if tick % 2}


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), schema=schemas())
def test_what_is_active_is_consistent(data: st.DataObject, schema: Schema) -> None:
    """M2: after every mutation no active state is in the `remove` of another, and every requirement is met."""
    machine = Machine(schema)

    for each in data.draw(mutations(schema, 30)):
        mutate(machine, each)
        assert_consistent(machine)


def by_the_rules(
    resolver: Resolver, active: tuple[int, ...], op: str, called: tuple[int, ...], multi: frozenset[int]
) -> tuple[int, ...]:
    """What is active after a mutation and its auto transition, by the resolver alone."""
    kinds = {"add": ADD, "remove": REMOVE, "set": SET}
    if op == "toggle":
        op = "remove" if set(called) <= set(active) else "add"
    target = resolver.resolve(active, kinds[op], called)
    if op != "remove" and not set(called) <= set(target):
        return active
    changed = set(target) != set(active) or (op != "remove" and not multi.isdisjoint(called))
    candidates = resolver.auto_candidates(target)
    return (changed and candidates and resolver.resolve_auto(target, candidates)) or target


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), schema=schemas(), edges_max=st.sampled_from([3, 4096]))
def test_the_automaton_equals_the_resolver(data: st.DataObject, schema: Schema, edges_max: int) -> None:
    """M11: two machines that share an automaton, however small, do what the resolver says without memory."""
    automaton = Automaton(schema, edges_max=edges_max)
    resolver, machines = Resolver(schema), (Machine(automaton), Machine(automaton))
    active = machines[0].active

    for op, states in data.draw(mutations(schema, 20)):
        active = by_the_rules(resolver, active, op, schema.find_all(states), schema.multi)
        for machine in machines:
            mutate(machine, (op, states))

        assert machines[0].active == machines[1].active == active
        assert machines[0].time == machines[1].time
        assert automaton.edges <= edges_max


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data(), schema=schemas())
def test_in_an_auto_transition_nothing_moves_unasked(data: st.DataObject, schema: Schema) -> None:
    """M2: after vetoes of some auto states, who enters or leaves is among those that were negotiated."""
    automaton = Automaton(schema)
    machine = Machine(automaton)
    for each in data.draw(mutations(schema, 8)):
        mutate(machine, each)
    move = automaton.auto(automaton.current(machine.node))
    if move is None or move.refusal is not None:
        return

    let_go = set(data.draw(st.lists(st.sampled_from(sorted(move.after.members | {0})), unique=True)))
    revised = automaton.revise(move, let_go)

    assert let_go.isdisjoint(revised.enters)
    assert set(revised.enters) <= set(move.enters)
    assert set(revised.exits) <= set(move.exits)


def test_a_forgotten_node_holds_nothing() -> None:
    """M11: at the bound all edges are forgotten, and a machine that stands on a forgotten node goes on."""
    automaton = Automaton(Schema({name: Definition() for name in "abc"}), edges_max=5)
    idle, busy = Machine(automaton), Machine(automaton)
    idle.add("a")
    busy.add("a")
    kept: Node = idle.node
    busy.add("b")
    assert kept.add, "something is remembered on the node that the idle machine stands on"

    for name in "abcabc":
        busy.toggle(name)

    assert automaton.epoch > 0
    assert automaton.edges <= 5
    assert list(kept.edges) == [{}] * 4
    assert idle.toggle("a")
    assert idle.names == ()


def test_orphans_stay() -> None:
    """M2: a name that was implied by one which is dropped later stays."""
    schema = Schema(
        {
            "a": Definition(add=["b"]),
            "b": Definition(require=["x"], add=["c"]),
            "c": Definition(),
            "x": Definition(),
        }
    )
    machine = Machine(schema)

    assert machine.add("a")
    assert set(machine.names) == {"a", "c"}


def test_exits_are_in_order() -> None:
    """M2: what leaves is told in the order of activity, requirements first, and then by `after`."""
    lab = Lab({"late": Definition(after=["early"]), "free": Definition(), "early": Definition()})
    lab.machine.add("late")
    lab.machine.add("free")
    lab.machine.add("early")
    active = lab.machine.names
    lab.calls.clear()

    lab.machine.set()

    assert active == ("early", "free", "late")
    assert [call for call in lab.calls if "exit" in call] == [
        "early.may_exit",
        "free.may_exit",
        "late.may_exit",
        "early.exited",
        "free.exited",
        "late.exited",
    ]


def test_what_requires_leaves_behind_what_it_requires() -> None:
    """M2: the order of exits is that of entries: what is required comes first, whatever was called first."""
    lab = Lab({"needs": Definition(require=["base"]), "base": Definition()})
    lab.machine.add("needs", "base")
    lab.calls.clear()

    lab.machine.remove("base", "needs")

    assert [call for call in lab.calls if "exited" in call] == ["base.exited", "needs.exited"]


def test_a_chain_of_requirements_may_be_long() -> None:
    """M2: a state may require one that requires another, and so on, deeper than Python recurses."""
    names = [f"s{number}" for number in range(5_000)]
    chain = {name: Definition(require=[other]) for name, other in pairwise(names)}
    schema = Schema({**chain, names[-1]: Definition()})

    assert Resolver(schema).order.sort([0, 4_999, 7]) == (4_999, 7, 0)


def test_long_chains_and_circles_of_after() -> None:
    """M2: thousands of states that come after one another are ordered; in a circle the first one that waits is taken."""
    names = [f"s{number}" for number in range(5_000)]
    chain = {name: Definition(after=[other]) for name, other in pairwise(names)}
    open_end = Resolver(Schema({**chain, names[-1]: Definition()})).order
    circle = Resolver(Schema({**chain, names[-1]: Definition(after=[names[0]])})).order

    assert open_end.sort(range(5_000)) == tuple(reversed(range(5_000)))
    assert circle.sort(range(5_000)) == (0, *reversed(range(1, 5_000)))


def test_a_long_chain_of_requirements_leaves_together() -> None:
    """M2: without the state that all others require, directly or by others, none of them is left."""
    names = [f"s{number}" for number in range(5_000)]
    machine = Machine(Schema({name: Definition(require=names[max(0, n - 1) : n]) for n, name in enumerate(names)}))

    assert machine.add(*names)
    assert machine.remove(names[0])
    assert machine.names == ()


def test_after_is_honoured_over_others() -> None:
    """M2: `after` holds between any two states of a list, not between neighbours only."""
    machine = Machine(Schema({"c": Definition(after=["d"]), "x": Definition(), "d": Definition()}))

    machine.add("c", "x", "d")

    assert machine.names == ("x", "d", "c")


def test_an_active_multi_does_not_add_again() -> None:
    """M2: an active Multi implies its targets when it is called, and in no other transition."""
    machine = Machine(Schema({"m": Definition(multi=True, add=["t"]), "t": Definition(), "other": Definition()}))
    machine.add("m")
    machine.remove("t")

    machine.add("other")
    assert "t" not in machine
    machine.add("m")
    assert "t" in machine


def test_a_clock_does_not_run_into_its_neighbour() -> None:
    """M4: ticks far beyond what any machine comes to by itself move alone."""
    machine = Machine(Schema({"a": Definition(), "b": Definition()}))
    machine.clock = pack([2**62, 2**16, 0])

    machine.add("a")

    assert machine.tick("a") == 2**62 + 1
    assert unpack(machine.clock, 3) == (2**62 + 1, 2**16, 0)
