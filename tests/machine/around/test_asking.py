"""M4: questions to machines as objects, and to several machines at once."""

from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histrio_kernel.machine.around.conditions import Condition
from histrio_kernel.machine.around.groups import MachineGroup
from histrio_kernel.machine.core.errors import UnknownState
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import EXECUTED
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.states.mixins import Connected

ABC = Schema.from_data({"a": {}, "b": {}, "c": {}})
NAMES = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(tuple)


def machine_with(*states: str) -> Machine[str]:
    """One in which these states are active."""
    machine: Machine[str] = Machine(ABC)
    machine.set(*states)
    return machine


ATOMS: st.SearchStrategy[Condition] = st.one_of(
    NAMES.map(lambda names: Condition.all(*names)),
    NAMES.map(lambda names: Condition.any(*names)),
    NAMES.map(lambda names: Condition.none(*names)),
    st.builds(Condition.ticked, st.sampled_from(["a", "b", "c"]), st.integers(0, 2)),
)


@given(ATOMS, ATOMS, ATOMS, NAMES)
def test_conditions_combine_as_booleans_do(x: Condition, y: Condition, z: Condition, active: tuple[str, ...]) -> None:
    """M4: `&`, `|` and `~` of conditions ask what `and`, `or` and `not` of their answers say."""
    machine = machine_with(*active)
    answers = [each(machine) for each in (x, y, z)]

    assert (x & y)(machine) == (answers[0] and answers[1])
    assert (x | y)(machine) == (answers[0] or answers[1])
    assert (~x)(machine) == (not answers[0])
    assert (x & y | ~z)(machine) == ((answers[0] and answers[1]) or not answers[2])
    assert ~~x == x
    assert (x & y) & z == x & (y & z)
    assert hash(x & y) == hash(x & y)


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (Condition.all("a", "b"), "all(a, b)"),
        (Condition.all(Connected.start) & ~Condition.any("b"), "all(start) & ~any(b)"),
        (~(Condition.none("a") | Condition.any("b")) & Condition.all("c"), "~(none(a) | any(b)) & all(c)"),
        ((Condition.all("a") & Condition.all("b")) | Condition.was({"c": 2}), "(all(a) & all(b)) | ticked(c >= 2)"),
    ],
)
def test_a_condition_says_what_it_asks(condition: Condition, text: str) -> None:
    """M4: the repr of a condition reads as it was written."""
    assert repr(condition) == text


def test_a_condition_is_asked_of_many_machines() -> None:
    """M4: clocks, and what was; one condition for machines of several schemas, and of objects for states."""
    machine = machine_with("a")
    machine.remove("a")
    was = Condition.was({"a": 2, "b": 0})
    assert was(machine)
    assert not Condition.ticked("a", 3)(machine)

    line = Machine(Connected.schema())
    usable = Condition.all(Connected.start, Connected.connected)
    assert not usable(line)
    line.add(Connected.start, Connected.connected)
    assert usable(line)


def both(condition: object) -> object:
    """Meant to be `&`."""
    return condition and condition


def opposite(condition: object) -> object:
    """Meant to be `~`."""
    return not condition


@pytest.mark.parametrize("wrong", [bool, both, opposite])
def test_a_condition_is_not_an_answer(wrong: Callable[[object], object]) -> None:
    """M4: `and`, `or`, `not` and `if` on the condition itself are refused, with the words that work."""
    with pytest.raises(TypeError, match=r"ask it of a machine.*& \| ~"):
        wrong(Condition.all("a"))


def conjunction(other: object) -> object:
    """With something that type checkers would not let through."""
    return Condition.all("a") & cast(Condition, other)


def disjunction(other: object) -> object:
    """The other way round."""
    return cast(Condition, other) | Condition.all("a")


def test_a_condition_combines_with_conditions_only() -> None:
    """M4: something else is a TypeError; an unknown state is one when it is asked, with the nearest name."""
    for other in (3, "a", None):
        with pytest.raises(TypeError):
            conjunction(other)
        with pytest.raises(TypeError):
            disjunction(other)
    with pytest.raises(UnknownState, match=r"connectd.*did you mean 'connected'"):
        Condition.all("connectd")(Machine(Connected.schema()))


@given(st.lists(NAMES, max_size=4), NAMES)
def test_a_group_answers_for_all_its_machines(actives: list[tuple[str, ...]], states: tuple[str, ...]) -> None:
    """M4: all, any, none, count and having over machines are those over the answers of each."""
    machines = [machine_with(*active) for active in actives]
    group = MachineGroup(machines)
    answers = [machine.all(*states) for machine in machines]

    assert group.all(*states) == all(answers)
    assert group.any(*states) == any(answers)
    assert group.none(*states) == all(machine.none(*states) for machine in machines)
    assert group.count(*states) == sum(answers)
    assert group.having(*states) == tuple(m for m, answer in zip(machines, answers, strict=True) if answer)
    assert list(group) == machines


def test_a_group_is_mutated_and_changes() -> None:
    """M4: a mutation goes to each in order; a machine is in it once, and may be in and out of it at any time."""
    first, second = machine_with(), machine_with()
    group = MachineGroup([first, second, first])
    assert len(group) == 2
    assert group.add("a", "b") == (EXECUTED, EXECUTED)
    assert group.remove("b") == (EXECUTED, EXECUTED)
    assert group.all("a")

    group.exclude(second)
    group.exclude(second)
    group.remove("a")
    assert second in MachineGroup([second])
    assert second not in group
    assert "a" in second
    group.include(second)
    assert not group.all("a")
    assert repr(group) == "<MachineGroup of 2>"


def test_a_group_names_an_unknown_state() -> None:
    """M4: a state that a machine does not have is an error, not a no."""
    with pytest.raises(UnknownState, match="no state is called 'd'"):
        MachineGroup([machine_with()]).any("d")
