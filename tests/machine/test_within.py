"""M1, M3, M5, M9, M10: what a handler or tracer does to its own machine while a transition runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.machine.lab import Keeper, Lab, Oops, Writer, entered, raises, table

from histrio_kernel.machine.core.automaton import shared_automaton
from histrio_kernel.machine.core.errors import SchemaError
from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.moves import Mutation
from histrio_kernel.machine.core.results import EXECUTED, Canceled, Queued
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer

PLAIN = Definition()


def assert_at_home(machine: Machine) -> None:
    """It stands on a node of its own automaton, so that nothing it learns is told to machines with other handlers."""
    assert machine.automaton.intern(machine.node.active) is machine.automaton.current(machine.node)
    assert machine.node is machine.automaton.intern(machine.node.active)


def test_a_handler_bound_within_is_told_of_the_auto_transition() -> None:
    """M1: what is bound within a transition counts from the next one on, and an auto transition is the next one."""
    calls: list[str] = []
    machine = Machine(Schema({"a": PLAIN, "b": Definition(auto=True), "c": PLAIN}))
    late = table({entered("b"): lambda t: calls.append("b"), entered("c"): lambda t: calls.append("c")})
    machine.bind(table({entered("a"): lambda t: machine.bind(late)}))

    machine.add("a")
    assert calls == ["b"]
    assert_at_home(machine)
    machine.add("c")
    assert calls == ["b", "c"]


def test_machines_with_other_handlers_learn_nothing_wrong() -> None:
    """M11: one machine binds a table within a transition; others with the old handlers do not get to call it."""
    calls: list[object] = []
    schema = Schema({"a": PLAIN, "b": Definition(auto=True, require=["a"]), "c": PLAIN})
    first, second = Machine(schema), Machine(schema)
    late = table({entered("c"): lambda t: calls.append(t.called)})

    def bind(owner: object, transition: Transition) -> None:
        if owner == "first":
            first.bind(late)

    old = HandlerTable([Handler(entered("a"), bind)])
    first.bind(old, "first")
    second.bind(old, "second")

    first.add("a")
    first.add("c")
    second.add("a")
    second.add("c")

    assert calls == [(2,)]


def test_what_a_tracer_binds_counts_at_once() -> None:
    """M9: a mutation is queued before it is a transition, so handlers that a tracer binds there are called in it."""
    calls: list[str] = []
    machine = Machine(Schema({"a": PLAIN}))
    late = table({entered("a"): lambda t: calls.append("a")})

    class Eager(Tracer):
        def queued(self, mutation: Mutation) -> None:
            if armed:
                armed.clear()
                machine.bind(late)

    armed: list[bool] = []
    machine.attach(Eager())
    for _ in range(2):
        machine.toggle("a")
    armed.append(True)

    machine.add("a")

    assert calls == ["a"]
    assert_at_home(machine)


def test_arguments_survive_what_a_tracer_binds() -> None:
    """M9: the mutation that a tracer saw being queued keeps its arguments and source when handlers change."""
    args: list[object] = []
    machine = Machine(Schema({"a": PLAIN}))
    late = table({entered("a"): lambda t: args.append(t.args)})

    class Eager(Tracer):
        def queued(self, mutation: Mutation) -> None:
            if mutation.args is not None:
                machine.bind(late)

    machine.attach(Eager())
    machine.add("a")
    machine.remove("a")

    machine.add("a", args="yes")

    assert args == ["yes"]


@pytest.mark.parametrize("order", ["evolve first", "bind first"])
def test_evolving_and_binding_within_do_not_undo_each_other(order: str) -> None:
    """M10, M1: from inside one handler, both happen, in whatever order they were asked for."""
    calls: list[str] = []
    machine = Machine(Schema({"a": PLAIN, "b": PLAIN}))
    late = table({entered("b"): lambda t: calls.append("b")})

    def both(transition: Transition) -> object:
        steps: list[Callable[[], object]] = [
            lambda: machine.evolve(Schema({"b": PLAIN, "new": PLAIN, "a": PLAIN})),
            lambda: machine.bind(late),
        ]
        for step in steps if order == "evolve first" else reversed(steps):
            step()
        return None

    machine.bind(table({entered("a"): both}))

    machine.add("a")
    machine.add("b")

    assert calls == ["b"]
    assert machine.schema.names == ("b", "new", "a", "exception")
    machine.unbind(late)
    machine.remove("b")
    machine.add("b")
    assert calls == ["b"]


def test_unbinding_within_outlives_evolving() -> None:
    """M10, M1: a table that is taken away in the handler that evolves the machine is not bound afterwards."""
    calls: list[str] = []
    machine = Machine(Schema({"a": PLAIN, "b": PLAIN}))
    old = table({entered("b"): lambda t: calls.append("b")})
    machine.bind(old)

    def both(transition: Transition) -> object:
        machine.evolve(Schema({"b": PLAIN, "a": PLAIN}))
        machine.unbind(old)
        return None

    machine.bind(table({entered("a"): both}))

    machine.add("a")
    machine.add("b")

    assert calls == []


def test_handlers_bound_meanwhile_can_stop_an_evolution() -> None:
    """M10: a handler bound after the evolution was asked for is for a state that would be gone: it is CANCELED."""
    machine = Machine(Schema({"a": PLAIN, "gone": PLAIN}))
    results: list[object] = []

    def both(transition: Transition) -> object:
        results.append(machine.evolve(Schema({"a": PLAIN})))
        machine.bind(table({entered("gone"): lambda t: None}))
        return None

    machine.bind(table({entered("a"): both}))

    assert machine.add("a")
    (queued,) = results
    assert isinstance(queued, Queued)
    assert isinstance(queued.ticket.result, Canceled)
    assert "gone" in queued.ticket.result.reason
    assert machine.schema.names == ("a", "gone", "exception")
    assert machine.add("gone")


def test_evolving_is_refused_at_once_where_handlers_are_known_to_be_for_gone_states() -> None:
    """M10: a bound handler for a state that the new schema lacks is a `SchemaError`, and nothing has changed."""
    machine = Machine(Schema({"a": PLAIN, "gone": PLAIN}))
    machine.bind(table({entered("gone"): lambda t: None}))

    with pytest.raises(SchemaError, match="gone"):
        machine.evolve(Schema({"a": PLAIN}))
    assert machine.add("gone")


@pytest.mark.parametrize("kind", [Kind.MAY_ENTER, Kind.ENTERED])
@pytest.mark.parametrize("known", [False, True])
def test_the_shell_hears_of_the_transition_in_which_it_begins_to_listen(kind: Kind, known: bool) -> None:
    """M6: a wait that is begun in a handler is looked at when that transition is over, whether or not it was known."""
    keeper, machine = Keeper(), Machine(Schema({"a": PLAIN}))
    machine.set_shell(keeper)
    armed = not known

    def listen(transition: Transition) -> object:
        if armed:
            machine.listen(True)
        return None

    machine.bind(table({Slot(kind, "a"): listen}))
    for _ in range(2 * known):
        machine.toggle("a")
    armed = True

    machine.add("a")

    assert keeper.heard[-2:] == ["settled", "queue ended"]


def test_the_shell_hears_of_a_rollback_in_the_transition_in_which_it_begins_to_listen() -> None:
    """M3, M6: waits are looked at after a failed transition too, if a handler of it began the first wait."""
    keeper, machine = Keeper(), Machine(Schema({"a": PLAIN, "b": PLAIN}))
    machine.set_shell(keeper)
    machine.bind(table({entered("a"): lambda t: machine.listen(True), entered("b"): raises}))

    machine.add("a", "b")

    assert keeper.heard == ["rolled back b", "settled", "moved", "settled", "queue ended"]


def test_nothing_begins_after_dispose() -> None:
    """M5: a machine that is disposed in a handler ends its transition, and starts no auto states."""
    machine = Machine(Schema({"a": PLAIN, "b": Definition(auto=True)}))
    writer = Writer()
    machine.attach(writer)
    queued: list[object] = []

    def dispose(transition: Transition) -> object:
        queued.append(machine.add("b"))
        machine.dispose()
        queued.append(machine.add("b"))
        return None

    machine.bind(table({entered("a"): dispose}))

    assert machine.add("a") is EXECUTED
    assert machine.names == ("a",)
    assert writer.seen == ["+a"]
    first, second = queued
    assert isinstance(first, Queued)
    assert isinstance(first.ticket.result, Canceled)
    assert isinstance(second, Canceled)


def test_an_error_after_dispose_goes_to_the_error_hook() -> None:
    """M5, M8: a handler that disposes of its machine and then raises is rolled back; its error becomes no state."""
    lab = Lab({"a": PLAIN})

    def dispose(owner: object, transition: Transition) -> object:
        lab.machine.dispose()
        raise Oops

    lab.machine.bind(HandlerTable([Handler(entered("a"), dispose)]))

    assert isinstance(lab.machine.add("a"), Canceled)
    assert lab.machine.names == ()
    assert lab.writer.seen == ["+a!"]
    assert [type(error) for error in lab.keeper.errors] == [Oops]


def test_machines_of_one_class_share_what_they_remember() -> None:
    """M11: after all that was bound and unbound, two machines with the same handlers share an automaton."""
    schema = Schema({"a": PLAIN})
    quiet = table({entered("a"): lambda t: None})
    first, second = Machine(schema), Machine(schema)
    for machine in (first, second):
        machine.bind(quiet)

    assert first.automaton is second.automaton is shared_automaton(schema, [quiet])
    first.unbind(quiet)
    assert first.automaton is shared_automaton(schema)
