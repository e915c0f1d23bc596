"""M10: a machine under another schema, and a machine as data."""

from __future__ import annotations

import json
from typing import Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.drawn import mutate, mutations, schemas
from tests.machine.lab import Keeper, Lab, Writer, entered, table, vetoes
from tests.machine.test_resolution import assert_consistent

from histrio_kernel.machine.core.errors import ImportRefused, UnknownState
from histrio_kernel.machine.core.exporting import Exported
from histrio_kernel.machine.core.handlers import Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import EXECUTED, Canceled, Queued, Result
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer

PLAIN: Final = Definition()


class Ear(Keeper):
    """Hears of evolutions and imports, too."""

    def evolved(self, old: Schema, new: Schema) -> None:
        """Note it."""
        self.heard.append(f"evolved {len(old)} {len(new)}")

    def imported(self, ticked: tuple[int, ...]) -> None:
        """Note it."""
        self.heard.append(f"imported {ticked}")


# -- another schema ------------------------------------------------------------------------------------------------------


def test_kept_states_keep_ticks_and_order() -> None:
    """M10: by their names, wherever they stand in the new schema; new ones begin at 0."""
    machine = Machine(Schema(dict.fromkeys("abcd", PLAIN)))
    machine.add("c")
    machine.add("a")
    for _ in range(4):
        machine.toggle("d")
    machine.toggle("b")

    assert machine.evolve(Schema(dict.fromkeys("xdcba", PLAIN))) is EXECUTED

    assert machine.names == ("b", "a", "c")
    assert {name: machine.tick(name) for name in "xdcba"} == {"x": 0, "d": 4, "c": 1, "b": 1, "a": 1}


def test_what_does_not_fit_leaves_with_its_final_handlers() -> None:
    """M10: `set(active)` is resolved under the new relations; no handler can veto it, and those that leave are told."""
    lab = Lab(
        {"a": PLAIN, "b": PLAIN, "c": PLAIN},
        {Slot(Kind.MAY_EXIT, "b"): vetoes, Slot(Kind.ANY_MAY_ENTER): lambda t: not lab.machine.any("a", "b")},
    )
    lab.machine.load(Exported(("a", "b", "c", "exception"), (1, 1, 1, 0), ("a", "b", "c")))
    lab.calls.clear()

    result = lab.machine.evolve(
        Schema({"a": Definition(remove=["b"]), "b": PLAIN, "c": Definition(require=["d"]), "d": PLAIN})
    )

    assert result is EXECUTED
    assert lab.machine.names == ("a",)
    assert [lab.machine.tick(name) for name in "abc"] == [1, 2, 2]
    assert lab.calls == ["b.exited", "c.exited", "any_state.entered"]


def test_auto_states_of_the_new_schema_come() -> None:
    """M10, M2: an evolution is a change, even if nothing left."""
    writer = Writer()
    machine = Machine(Schema({"a": PLAIN}))
    machine.add("a")
    machine.attach(writer)

    machine.evolve(Schema({"a": PLAIN, "auto": Definition(auto=True, require=["a"])}))

    assert machine.names == ("a", "auto")
    assert writer.seen == ["~", "a+auto"]


def test_a_gone_state_is_unknown() -> None:
    """M10: to every call; nothing of it is left."""
    machine = Machine(Schema({"a": PLAIN, "gone": PLAIN}))
    machine.add("a", "gone")
    machine.evolve(Schema({"a": PLAIN}))

    assert machine.names == ("a",)
    assert machine.time == (1, 0)
    for call in (machine.add, machine.can_add, machine.remove, machine.tick, machine.pending):
        with pytest.raises(UnknownState, match="gone"):
            call("gone")


def test_a_state_that_comes_again_begins_anew() -> None:
    """M10: what was gone and is there in a later schema is a new state."""
    machine = Machine(Schema({"a": PLAIN, "b": PLAIN}))
    machine.add("a", "b")
    machine.evolve(Schema({"a": PLAIN}))

    machine.evolve(Schema({"b": PLAIN, "a": PLAIN}))

    assert machine.time == (0, 1, 0)
    assert machine.names == ("a",)


def test_exception_outlives_an_evolution() -> None:
    """M8, M10: with its error and its tick."""
    machine = Machine(Schema({"a": PLAIN}))
    error = ValueError()
    machine.fail(error)

    machine.evolve(Schema({"new": PLAIN, "a": PLAIN}))

    assert machine.error is error
    assert machine.names == ("exception",)
    machine.remove("exception")
    assert machine.error is None


def test_handlers_stay_bound() -> None:
    """M10: to the states of their names."""
    lab = Lab({"a": PLAIN, "b": PLAIN})

    lab.machine.evolve(Schema({"exception": PLAIN, "b": PLAIN, "new": PLAIN, "a": PLAIN}))
    lab.calls.clear()
    lab.machine.add("b")

    assert lab.calls == ["b.may_enter", "any_state.may_enter", "b.entered", "any_state.entered"]


def test_what_waits_means_the_same_states() -> None:
    """M10: mutations that wait are renumbered; those that name a gone state are CANCELED and say why."""
    results: list[Result] = []

    def ask(transition: Transition) -> object:
        machine.evolve(Schema({"new": PLAIN, "c": PLAIN, "b": PLAIN, "a": PLAIN}))
        results.extend((machine.add("gone", "b"), machine.add("c"), machine.remove("a"), machine.add("b", args=1)))
        return None

    machine = Machine(Schema({"a": PLAIN, "gone": PLAIN, "b": PLAIN, "c": PLAIN}))
    machine.bind(table({entered("a"): ask}))
    machine.add("a")

    tickets = [result.ticket.result for result in results if isinstance(result, Queued)]
    assert isinstance(tickets[0], Canceled)
    assert "not in the new schema" in tickets[0].reason
    assert tickets[1:] == [EXECUTED] * 3
    assert set(machine.names) == {"b", "c"}
    assert machine.tick("a") == 2


def test_who_hears_of_an_evolution() -> None:
    """M9, M10: tracers get both schemas before the transition; the shell, too."""
    seen: list[str] = []

    class Watch(Tracer):
        def schema_changed(self, old: Schema, new: Schema) -> None:
            seen.append(f"{len(old)} -> {len(new)}")
            assert machine.schema is new

        def init(self, transition: Transition) -> None:
            seen.append(f"{transition.op}")

    ear, machine = Ear(), Machine(Schema({"a": PLAIN, "b": PLAIN}))
    machine.set_shell(ear)
    machine.listen(True)
    machine.attach(Watch())
    machine.add("a", "b")
    seen.clear()
    ear.heard.clear()

    machine.evolve(Schema({"a": Definition(remove=["b"]), "b": PLAIN, "c": PLAIN}))

    assert seen == ["3 -> 4", "evolve"]
    assert ear.heard == ["evolved 3 4", "moved", "settled", "queue ended"]


def test_a_tracer_mutates_under_the_new_schema() -> None:
    """M9, M10: what it asks for when it hears of the new schema is queued, and is about that schema."""

    class Eager(Tracer):
        def schema_changed(self, old: Schema, new: Schema) -> None:
            machine.add("new")

    machine = Machine(Schema({"a": PLAIN}))
    machine.attach(Eager())

    machine.evolve(Schema({"x": PLAIN, "new": PLAIN, "a": PLAIN}))

    assert machine.names == ("new",)


def test_two_machines_evolve_apart() -> None:
    """M11: the other machine of the old class is not touched."""
    schema = Schema({"a": PLAIN, "b": PLAIN})
    first, second = Machine(schema), Machine(schema)
    for machine in (first, second):
        machine.add("a")

    first.evolve(Schema({"b": Definition(remove=["a"]), "a": PLAIN}))
    first.add("b")
    second.add("b")

    assert first.names == ("b",)
    assert second.names == ("b", "a")


@settings(max_examples=count("examples"))
@given(data=st.data(), first=schemas(), second=schemas())
def test_any_machine_evolves_into_any_schema(data: st.DataObject, first: Schema, second: Schema) -> None:
    """M10, M2: whatever it was, afterwards it is consistent; ticks of kept states never go back."""
    machine = Machine(first)
    for each in data.draw(mutations(first, 8)):
        mutate(machine, each)
    before = dict(zip(first.names, machine.time, strict=True))

    assert machine.evolve(second) is EXECUTED

    assert_consistent(machine)
    for name in second.names:
        assert machine.tick(name) >= before.get(name, 0)
    for each in data.draw(mutations(second, 8)):
        mutate(machine, each)
        assert_consistent(machine)


# -- a machine as data ---------------------------------------------------------------------------------------------------


def test_data_goes_through_json() -> None:
    """M10: states, ticks and the order of activity are plain lists."""
    machine = Machine(Schema(dict.fromkeys("abc", PLAIN)))
    machine.add("c")
    machine.add("a")

    text = json.dumps(attrs.asdict(machine.export()))
    other = Machine(Schema(dict.fromkeys("cba", PLAIN)))
    other.load(Exported(**json.loads(text)))

    assert other.names == machine.names == ("a", "c")
    assert other.export().active == machine.export().active


def test_the_order_of_activity_is_imported() -> None:
    """M10, M2: order decides who wins later, so a machine that was imported goes on as the other one would have."""
    rows = {
        "a": Definition(remove=["b"]),
        "b": Definition(remove=["a"]),
        "adds": Definition(add=["a", "b"]),
        "first": PLAIN,
        "second": PLAIN,
    }
    original = Machine(Schema(rows))
    original.add("first")
    original.add("second")
    copy = Machine(Schema(rows))
    copy.load(original.export())

    for machine in (original, copy):
        machine.add("adds")

    assert copy.names == original.names
    assert copy.time == original.time


def test_an_import_runs_nothing() -> None:
    """M10: no handler, no tracer, no auto state, no transition; the shell hears which clocks have changed."""
    rows = {"a": PLAIN, "b": PLAIN, "auto": Definition(auto=True)}
    lab, ear = Lab(rows), Ear()
    lab.machine.set_shell(ear)
    source = Machine(Schema(rows))
    source.load(Exported(("a", "b", "auto", "exception"), (3, 2, 0, 0), ("a",)))
    lab.machine.add("b")
    lab.calls.clear()
    lab.writer.seen.clear()
    ear.heard.clear()

    lab.machine.load(source.export())

    assert (lab.calls, lab.writer.seen) == ([], [])
    assert ear.heard == ["imported (0, 1, 2)"]
    assert lab.machine.names == ("a",)
    assert lab.machine.time == (3, 2, 0, 0)


@pytest.mark.parametrize("active", [True, False])
def test_an_import_ends_an_error_with_its_exception(active: bool) -> None:
    """M8, M10: if `exception` is not active in what is imported, the machine has no error."""
    machine = Machine(Schema({"a": PLAIN}))
    error = ValueError()
    machine.fail(error)

    machine.load(Exported(("a", "exception"), (0, 2 + active), ("exception",) * active))

    assert (machine.error is error) == active


REFUSED: Final[dict[str, tuple[Exported, str]]] = {
    "an unknown state": (Exported(("a", "bb", "exception"), (0, 0, 0), ()), "did you mean 'b'"),
    "a state too few": (Exported(("a", "exception"), (0, 0), ()), "'b'"),
    "a state twice": (Exported(("a", "a", "b", "exception"), (0, 0, 0, 0), ()), "one each"),
    "a tick too few": (Exported(("a", "b", "exception"), (0, 0), ()), "one each"),
    "a negative tick": (Exported(("a", "b", "exception"), (-1, 0, 0), ("a",)), "no machine comes to"),
    "active with an even tick": (Exported(("a", "b", "exception"), (2, 0, 0), ("a",)), "exactly when"),
    "an odd tick, and not active": (Exported(("a", "b", "exception"), (1, 0, 0), ()), "exactly when"),
    "active twice": (Exported(("a", "b", "exception"), (1, 0, 0), ("a", "a")), "exactly when"),
    "an unknown active one": (Exported(("a", "b", "exception"), (1, 0, 0), ("a", "x")), "exactly when"),
}


@pytest.mark.parametrize(("data", "words"), REFUSED.values(), ids=REFUSED)
def test_data_that_does_not_fit_is_refused(data: Exported, words: str) -> None:
    """M10: with the reason, and nothing has changed."""
    machine = Machine(Schema({"a": PLAIN, "b": PLAIN}))
    machine.add("b")
    before = machine.export()

    with pytest.raises(ImportRefused, match=words):
        machine.load(data)
    assert machine.export() == before


@settings(max_examples=count("examples"))
@given(data=st.data(), schema=schemas())
def test_an_imported_machine_goes_on_as_the_original(data: st.DataObject, schema: Schema) -> None:
    """M10: after an export and import in the midst of a script, the rest of it ends the same."""
    original, copy = Machine(schema), Machine(schema)
    for each in data.draw(mutations(schema, 8)):
        mutate(original, each)

    copy.load(original.export())

    for each in data.draw(mutations(schema, 8)):
        assert bool(mutate(original, each)) == bool(mutate(copy, each))
        assert copy.export() == original.export()
