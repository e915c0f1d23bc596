"""M4: clocks, and what can be asked of a machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from histrio_kernel.machine.core.errors import UnknownState
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import Result
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer

PLAIN: Final = Definition()
ROWS: Final = {"a": PLAIN, "b": Definition(multi=True), "c": PLAIN}


def test_a_state_is_active_exactly_when_its_tick_is_odd() -> None:
    """M4: on and off by one each; two for a called Multi that is active; none for one that merely stays."""
    machine = Machine(Schema(ROWS))
    steps: list[tuple[Callable[[], Result], tuple[int, ...]]] = [
        (lambda: machine.add("a", "b"), (1, 1, 0, 0)),
        (lambda: machine.add("a", "b"), (1, 3, 0, 0)),
        (lambda: machine.add("a", "b", "c"), (1, 5, 1, 0)),
        (lambda: machine.add("a"), (1, 5, 1, 0)),
        (lambda: machine.set("b"), (2, 7, 2, 0)),
        (lambda: machine.remove("b"), (2, 8, 2, 0)),
        (lambda: machine.add("a"), (3, 8, 2, 0)),
        (machine.set, (4, 8, 2, 0)),
    ]

    for call, time in steps:
        assert call()
        assert machine.time == time
        assert all((state in machine) == (machine.tick(state) % 2 == 1) for state in ROWS)
    assert sum(machine.time) == 14


def test_time_is_a_snapshot() -> None:
    """M4: what was read does not change, and can be asked for again."""
    machine = Machine(Schema(ROWS))
    machine.add("a", "b")
    before = machine.time

    machine.remove("a")

    assert before == (1, 1, 0, 0)
    assert machine.time != before
    assert machine.was({"a": 1, "b": 1})
    assert not machine.was({"a": 3})
    assert machine.was({})


def test_a_transition_has_the_time_before_and_after() -> None:
    """M4, M9: and knows which states have ticked."""
    seen: list[tuple[bool, bool, int]] = []

    class Watch(Tracer):
        def end(self, transition: Transition) -> None:
            index = transition.schema.index
            ticked = (transition.ticked(index("a")), transition.ticked(index("c")))
            seen.append((*ticked, transition.number))

    machine = Machine(Schema(ROWS))
    machine.attach(Watch())
    machine.add("a")
    machine.add("b")

    assert seen == [(True, False, 1), (False, False, 2)]


def test_all_none_and_any() -> None:
    """M4: of nothing, all and none are true, and any is not."""
    machine = Machine(Schema(ROWS))
    machine.add("a", "b")

    assert machine.all("a", "b")
    assert not machine.all("a", "c")
    assert machine.all()
    assert machine.none("c")
    assert not machine.none("c", "a")
    assert machine.none()
    assert machine.any("c", "a")
    assert not machine.any("c")
    assert not machine.any()


def test_switch_is_the_first_active_state_of_groups() -> None:
    """M4: in the order of the groups; None if there is none."""
    machine = Machine(Schema(ROWS))
    machine.add("a", "b")

    assert machine.switch(["c", "b"], ["a"]) == "b"
    assert machine.switch(["c"], ["a", "b"]) == "a"
    assert machine.switch(["c"]) is None
    assert machine.switch() is None


def test_questions_about_unknown_states() -> None:
    """M10: every question refuses them, with the nearest name; in the original some answered."""
    machine = Machine(Schema({"online": PLAIN}))
    questions: tuple[Callable[[str], object], ...] = (
        machine.all,
        machine.none,
        machine.any,
        machine.tick,
        machine.pending,
        machine.__contains__,
        machine.can_add,
        machine.can_remove,
        lambda state: machine.was({state: 1}),
        lambda state: machine.switch([state]),
    )

    for ask in questions:
        with pytest.raises(UnknownState, match="did you mean 'online'"):
            ask("onlin")


def test_states_are_known_by_name_and_number() -> None:
    """M10: the schema has the order of states."""
    schema = Schema(ROWS)

    assert schema.names == ("a", "b", "c", "exception")
    assert schema.index("c") == 2
    assert schema.find(2) == schema.find("c") == 2
    assert len(schema) == 4
    assert Machine(schema).add(2)


def test_a_machine_shows_its_active_states() -> None:
    """M12: in a line."""
    machine = Machine(Schema(ROWS))
    assert repr(machine) == "<Machine: nothing active>"
    machine.add("a", "b")
    assert repr(machine) == "<Machine: a, b>"
    assert repr(machine.schema) == "<Schema of 4 states: a, b, c, exception>"


def test_ticks_have_no_end() -> None:
    """M4: clocks are unbounded: a million ticks are as good as one."""
    machine = Machine(Schema(ROWS))
    for _ in range(10_000):
        machine.add("b")

    assert machine.tick("b") == 19_999
    assert machine.time == (0, 19_999, 0, 0)


def test_the_active_ones_of_some_states() -> None:
    """M4: in the order in which they are named; and how many they are."""
    machine = Machine(Schema(ROWS))
    machine.add("a", "b")

    assert [state for state in ("c", "b", "a") if state in machine] == ["b", "a"]
    assert len(machine.names) == len(machine.active) == 2


def test_a_machine_has_a_name_and_tracers() -> None:
    """M12: a name if it was given one, and tracers in the order of attachment."""
    machine, plain = Machine(Schema(ROWS), name="one"), Machine(Schema(ROWS))
    first, second = Tracer(), Tracer()
    machine.attach(first)
    machine.attach(second)

    assert (machine.name, plain.name) == ("one", "")
    assert (machine.tracers, plain.tracers) == ((first, second), ())
    machine.detach(first)
    assert machine.tracers == (second,)
