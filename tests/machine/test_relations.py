"""M2: what relations lead to, by hand: add, require, remove, after, Multi, and who wins."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import pytest

from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import EXECUTED, Canceled
from histrio_kernel.machine.core.schema import Definition, Schema

PLAIN: Final = Definition()
ABCD: Final = dict.fromkeys("abcd", PLAIN)
RELATED: Final = {
    "a": Definition(auto=True, require=["c"]),
    "b": Definition(multi=True, add=["c"]),
    "c": Definition(after=["d"]),
    "d": Definition(add=["c", "b"]),
}


def machine_of(rows: dict[str, Definition], *active: str) -> Machine:
    """A machine with these states, some of them active."""
    machine = Machine(Schema(rows))
    machine.set(*active)
    return machine


# -- mutations -----------------------------------------------------------------------------------------------------------


def test_a_set_of_one_state_makes_exactly_that_active() -> None:
    """M2: whatever was active before."""
    machine = machine_of(ABCD, "a", "b")

    assert machine.set("c")
    assert machine.names == ("c",)


def test_an_add_keeps_what_was_active() -> None:
    """M2: called states stand before it."""
    machine = machine_of(ABCD, "a", "b")

    assert machine.add("d")
    assert machine.names == ("d", "a", "b")


def test_a_remove_ends_only_what_it_names() -> None:
    """M2: and is accepted also if nothing of it is active."""
    machine = machine_of(ABCD, "a", "b", "c")

    assert machine.remove("b", "d")
    assert machine.names == ("a", "c")
    assert machine.remove("b")
    assert machine.time == (1, 2, 1, 0, 0)


def test_a_toggle_removes_if_all_are_active() -> None:
    """M2: else it adds."""
    machine = machine_of(ABCD, "a")

    assert machine.toggle("a", "b")
    assert machine.all("a", "b")
    assert machine.toggle("a", "b")
    assert machine.names == ()


def test_mutations_of_nothing() -> None:
    """M2: an add and a remove of no state resolve what is active; a set of none ends all."""
    machine = machine_of(ABCD, "a", "b")

    for call in (machine.add, machine.remove, machine.toggle):
        assert call() is EXECUTED
        assert machine.names == ("a", "b")
    assert machine.set() is EXECUTED
    assert machine.names == ()


def test_a_name_twice_counts_once() -> None:
    """M2: repeats keep their first place."""
    machine = machine_of({**ABCD, "m": Definition(multi=True)})

    assert machine.add("b", "m", "b", "a", "m")
    assert machine.names == ("b", "m", "a")
    assert machine.tick("m") == 1


def test_what_is_active_already_does_not_tick() -> None:
    """M2: an add or set of an active state is executed, and no clock moves."""
    machine = machine_of(ABCD, "a")

    assert machine.add("a")
    assert machine.set("a")
    assert machine.tick("a") == 1


# -- require -------------------------------------------------------------------------------------------------------------


def test_a_requirement_that_is_not_met_refuses() -> None:
    """M2: the call is CANCELED, the reason names the state, and nothing has changed."""
    machine = machine_of({"foo": Definition(require=["bar"]), "bar": PLAIN, "old": PLAIN}, "old")

    result = machine.set("foo")

    assert isinstance(result, Canceled)
    assert "foo" in result.reason
    assert machine.names == ("old",)
    assert machine.time == (0, 0, 1, 0)


def test_a_requirement_may_be_called_along() -> None:
    """M2: in any order; it stands before what requires it."""
    for called in (("foo", "bar"), ("bar", "foo")):
        machine = machine_of({"foo": Definition(require=["bar"]), "bar": PLAIN})
        assert machine.add(*called)
        assert machine.names == ("bar", "foo")


def test_a_requirement_may_be_implied() -> None:
    """M2: by the state itself."""
    machine = machine_of({"foo": Definition(require=["bar"], add=["bar"]), "bar": PLAIN})

    assert machine.add("foo")
    assert machine.names == ("bar", "foo")


def test_what_requires_leaves_with_what_it_requires() -> None:
    """M2: through as many states as there are."""
    rows = {"a": PLAIN, "b": Definition(require=["a"]), "c": Definition(require=["b"]), "d": Definition(require=["a"])}
    machine = machine_of(rows, "a", "b", "c", "d")

    assert machine.remove("a")
    assert machine.names == ()


def test_a_remove_may_take_away_a_requirement() -> None:
    """M2, step 4: what a removed state was required by leaves too, and what that had removed may stay."""
    rows = {
        "new": Definition(remove=["base"]),
        "base": PLAIN,
        "needs": Definition(require=["base"], remove=["kept"]),
        "kept": PLAIN,
    }
    machine = machine_of(rows, "base", "needs")

    assert machine.add("new")
    assert machine.names == ("new",)


def test_states_that_require_each_other_come_together() -> None:
    """M2: a circle of requirements gives no order, and is no error; alone neither can come."""
    rows = {"b": Definition(require=["a"]), "a": Definition(require=["b"]), "x": Definition(require=["y"]), "y": PLAIN}
    machine = machine_of(rows)

    assert not machine.add("a")
    assert machine.add("b", "x", "y", "a")
    assert machine.names == ("b", "x", "y", "a"), "a circle anywhere: no order by requirements at all"


# -- add -----------------------------------------------------------------------------------------------------------------


def test_adds_are_followed_to_the_end() -> None:
    """M2, M3: the original followed two levels."""
    names = [f"s{number}" for number in range(30)]
    rows = {name: Definition(add=[other]) for name, other in pairwise(names)}
    machine = machine_of({**rows, names[-1]: PLAIN})

    assert machine.add("s0")
    assert machine.names == tuple(names)


def test_what_is_implied_at_any_depth_removes() -> None:
    """M2, M3: in the original the removals of the second level were ignored, and `x` stayed beside `c`."""
    rows = {"a": Definition(add=["b"]), "b": Definition(add=["c"]), "c": Definition(remove=["x"]), "x": PLAIN}
    machine = machine_of(rows, "x")

    assert machine.add("a")
    assert machine.names == ("a", "b", "c")


def test_an_active_state_implies_nothing_anew() -> None:
    """M2: an add is about entering."""
    machine = machine_of({"a": Definition(add=["b"]), "b": PLAIN, "c": PLAIN}, "a")

    assert machine.remove("b")
    assert machine.add("a", "c")
    assert machine.set("a")
    assert "b" not in machine


def test_an_implied_state_that_is_refused_does_not_refuse_the_call() -> None:
    """M2: only called names must be in the result."""
    machine = machine_of({"a": Definition(add=["b"]), "b": Definition(require=["c"]), "c": PLAIN})

    assert machine.add("a")
    assert machine.names == ("a",)


def test_an_implied_state_stays_out_if_the_same_mutation_removes_it() -> None:
    """M2: the called one that removes it wins over the one that implies it."""
    rows = {"a": Definition(add=["b"]), "b": PLAIN, "c": Definition(remove=["b"])}

    assert machine_of(rows, "a", "c").names == ("a", "c")
    assert machine_of(rows, "a").names == ("a", "b")


def test_a_remove_implies_nothing() -> None:
    """M2: the add closure is for add and set."""
    machine = machine_of({"m": Definition(multi=True, add=["t"]), "t": PLAIN}, "m")

    assert machine.remove("t")
    assert machine.names == ("m",)


# -- remove --------------------------------------------------------------------------------------------------------------


def test_a_state_removes_another() -> None:
    """M2: when it comes."""
    machine = machine_of({**ABCD, "c": Definition(remove=["d"])}, "d")

    assert machine.add("c")
    assert machine.names == ("c",)


def test_a_state_that_is_removed_may_come_back() -> None:
    """M2: an active state that removes a called one loses, unless that cannot be."""
    machine = machine_of({**ABCD, "c": Definition(remove=["d"])}, "c")

    result = machine.add("d")

    assert isinstance(result, Canceled), "c does not leave for d, which does not remove it"
    assert machine.names == ("c",)


def test_calling_a_state_and_what_it_removes_is_refused() -> None:
    """M2: not all that was called would be active."""
    machine = machine_of({**ABCD, "c": Definition(remove=["d"])}, "d")

    assert isinstance(machine.set("c", "d"), Canceled)
    assert machine.names == ("d",)


@pytest.mark.parametrize("op", ["add", "set"])
@pytest.mark.parametrize("first", ["c", "d"])
def test_of_two_that_remove_each_other_the_called_one_wins(op: str, first: str) -> None:
    """M2: both ways, by add and by set."""
    rows = {**ABCD, "c": Definition(remove=["d"]), "d": Definition(remove=["c"])}
    second = "d" if first == "c" else "c"
    machine = machine_of(rows, first)

    assert (machine.add if op == "add" else machine.set)(second)
    assert machine.names == (second,)


def test_an_implied_state_wins_over_an_active_one() -> None:
    """M2: `z` adds `b`, which stands before the active `a` no less than what was called."""
    rows = {"a": Definition(remove=["b"]), "b": Definition(remove=["a"]), "z": Definition(add=["b"])}
    machine = machine_of(rows, "a")

    assert machine.set("z")
    assert machine.names == ("z", "b")


def test_water_makes_wet() -> None:
    """M2: water adds wet and removes dry, and dry removes wet."""
    rows = {
        "wet": Definition(require=["water"]),
        "dry": Definition(remove=["wet"]),
        "water": Definition(add=["wet"], remove=["dry"]),
    }
    machine = machine_of(rows, "dry")

    assert machine.set("water")
    assert machine.names == ("water", "wet")


def test_what_is_implied_is_judged_before_what_the_called_state_removes() -> None:
    """M2: added to `dry`, water brings no wet: `dry` is still among them when `wet` is judged. (The original: it does.)"""
    rows = {"wet": PLAIN, "dry": Definition(remove=["wet"]), "water": Definition(add=["wet"], remove=["dry"])}
    machine = machine_of(rows, "dry")

    assert machine.add("water")
    assert machine.names == ("water",)


def test_a_removed_state_removes_nobody() -> None:
    """M2, step 3: the walk goes backwards, so by the time a state is judged, those removed behind it do not count."""
    rows = {"first": PLAIN, "second": Definition(remove=["first"]), "third": Definition(remove=["second"])}
    machine = machine_of(rows, "second")

    assert machine.add("third", "first")
    assert machine.names == ("third", "first")


def test_a_states_own_name_means_nothing() -> None:
    """M2: in its `remove` or `after`."""
    machine = machine_of({"a": Definition(remove=["a"], after=["a"]), "b": PLAIN})

    assert machine.add("a", "b")
    assert machine.names == ("a", "b")


# -- Multi ---------------------------------------------------------------------------------------------------------------


def test_a_multi_ticks_by_two_when_it_is_called_again() -> None:
    """M2: called, and not when it merely stays or is implied."""
    machine = machine_of({"m": Definition(multi=True), "a": Definition(add=["m"]), "b": PLAIN})

    machine.add("m")
    machine.add("m")
    assert machine.tick("m") == 3
    machine.add("b")
    machine.remove("b")
    machine.add("a")
    assert machine.tick("m") == 3
    machine.set("m", "b")
    assert machine.tick("m") == 5
    machine.remove("m")
    assert machine.tick("m") == 6


def test_a_multi_that_is_removed_by_an_add_does_not_come_back() -> None:
    """M2, M3: in the original an active Multi brought its targets back in any transition."""
    machine = machine_of(RELATED, "b")
    assert machine.names == ("b", "c", "a")

    assert machine.remove("c")
    assert machine.none("a", "c")
    machine.add("b")
    assert machine.all("a", "b", "c")


# -- order ---------------------------------------------------------------------------------------------------------------


def test_after_orders_what_is_active() -> None:
    """M2: `c` is after `d`, however they were called."""
    machine = machine_of({**ABCD, "c": Definition(after=["d"])})

    machine.add("c", "a", "d", "b")
    assert machine.names == ("a", "d", "c", "b")


def test_a_circle_of_afters_is_no_error() -> None:
    """M2: if all wait, the first is taken."""
    rows = {"a": Definition(after=["c"]), "b": Definition(after=["a"]), "c": Definition(after=["b"]), "x": PLAIN}
    machine = machine_of(rows)

    machine.add("b", "a", "c", "x")
    assert machine.names == ("x", "b", "c", "a")


def test_requirements_go_before_and_after_has_the_last_word() -> None:
    """M2: first the place in the require graph, then `after`."""
    rows = {"base": Definition(after=["top"]), "top": Definition(require=["base"]), "free": PLAIN}

    assert machine_of(rows, "top", "base", "free").names == ("free", "top", "base")


def test_requirements_are_ordered_in_depth() -> None:
    """M2: in a depth-first post-order from the first state with requirements, in the order of the schema."""
    rows = {
        "a": Definition(auto=True, require=["b"]),
        "b": Definition(auto=True, require=["d"]),
        "c": Definition(auto=True, require=["b"]),
        "d": Definition(auto=True),
    }
    for called in (("a", "b", "c", "d"), ("d", "c", "b", "a"), ("b", "a", "d", "c")):
        machine = machine_of(rows)
        machine.add(*called)
        assert machine.names == ("d", "b", "a", "c")
    machine = machine_of({**rows, "go": PLAIN}, "go")
    assert machine.names == ("go", "d", "b", "a", "c")


def test_relations_can_be_read() -> None:
    """M10: of one state, of one kind, and between two states."""
    schema = Schema(RELATED)

    assert schema.definitions["b"].add == ("c",)
    assert schema.definitions["d"] == Definition(add=["c", "b"])
    kinds = ("require", "add", "remove", "after")
    between = [kind for kind in kinds if "c" in getattr(schema.definitions["d"], kind)]
    assert between == ["add"]
    assert [kind for kind in kinds if "d" in getattr(schema.definitions["c"], kind)] == ["after"]
    with pytest.raises(KeyError):
        schema.definitions["nobody"]
