"""M10: what a machine did can be asked, and the answers are those of a plain list of what happened."""

import math
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.drawn import mutate, mutations, schemas
from tests.machine.lab import Keeper, raises

from histrio_kernel.machine.around.history import Forgotten, History, NotTracked
from histrio_kernel.machine.around.records import UNSEEN, Activation
from histrio_kernel.machine.around.watcher import unkeyed
from histrio_kernel.machine.core.clock import tick_of
from histrio_kernel.machine.core.errors import UnknownState
from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.variables import K
from histrio_kernel.machine.core.watching import Tracer

PLAIN = Definition()
Moves: TypeAlias = list[tuple[float, int, int]]


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Plain(Tracer):
    """The plain list: of each transition and each state, when, and the ticks before and after."""

    def __init__(self, time: Time) -> None:
        self.time: Final = time
        self.moves: Final[dict[str, Moves]] = {}

    def end(self, transition: Transition) -> None:
        schema = transition.schema
        for state, name in enumerate(schema.names):
            ticks = tick_of(transition.before, state), tick_of(transition.after, state)
            self.moves.setdefault(name, []).append((self.time.now, *ticks))


@attrs.frozen
class Naive:
    """The definitions, read off the plain list of one state: it is what it is from one event to the next, both included."""

    moves: Moves

    def events(self) -> Iterator[tuple[float, int, bool]]:
        """When, which tick, and whether the transition went on to another one."""
        for at, before, after in self.moves:
            yield from ((at, tick, tick < after) for tick in range(before + 1, after + 1))

    def values(self) -> list[tuple[float, float, int]]:
        """From, to, and the tick. An even tick that a transition only passed through between two odd ones is none."""
        events = list(self.events())
        starts = [(-math.inf, 0, False), *events]
        ends = [at for at, _, _ in events] + [math.inf]
        rows = zip(starts, ends, strict=True)
        return [(start, end, tick) for (start, tick, passed), end in rows if tick % 2 or not passed]

    def is_at_some_moment(self, parity: int, start: float, end: float) -> bool:
        return any(tick % 2 == parity and start <= to and end >= since for since, to, tick in self.values())

    def moved_to(self, parity: int, start: float, end: float) -> bool:
        return any(tick % 2 == parity and start <= at <= end for at, tick, _ in self.events())

    def tick_at(self, time: float) -> int:
        return max([after for at, _, after in self.moves if at <= time], default=0)


def fail(owner: object, transition: Transition) -> object:
    """A handler that fails, so that its state is rolled back."""
    return raises(transition)


def failing_table(names: list[str]) -> HandlerTable:
    """Such handlers for these states."""
    return HandlerTable(Handler(Slot(Kind.ENTERED, name), fail) for name in names)


def run(data: st.DataObject, machine: Machine[K], time: Time) -> None:
    """Drawn mutations at drawn times, some at the same time."""
    failing = data.draw(st.lists(st.sampled_from(machine.schema.names[:-1]), max_size=2, unique=True))
    machine.set_shell(Keeper())
    machine.bind(failing_table(failing))
    for mutation in data.draw(mutations(machine.schema, 12)):
        time.now += data.draw(st.integers(0, 1))
        mutate(unkeyed(machine), mutation)


INTERVALS = st.tuples(st.integers(0, 14), st.integers(0, 14)).map(sorted)


@settings(max_examples=count("machine_examples"))
@given(st.data())
def test_answers_are_those_of_a_plain_list(data: st.DataObject) -> None:
    """M10: every question about an interval has the answer that the definitions give on the plain list of ticks."""
    time, schema = Time(), data.draw(schemas())
    machine = Machine(schema)
    plain = Plain(time)
    machine.attach(plain)
    history = History(machine, time, records_max=10_000)
    run(data, machine, time)
    start, end = data.draw(INTERVALS)

    for name in schema.names:
        naive = Naive(plain.moves.get(name, []))
        assert history.activated_between(name, start, end) == naive.moved_to(1, start, end)
        assert history.deactivated_between(name, start, end) == naive.moved_to(0, start, end)
        assert history.active_between(name, start, end) == naive.is_at_some_moment(1, start, end)
        assert history.inactive_between(name, start, end) == naive.is_at_some_moment(0, start, end)
        assert history.ticks_at(end)[name] == naive.tick_at(end)
        last = history.last_active(name)
        assert (last is not None and last.ended is None) == (name in machine)


@settings(max_examples=count("machine_examples"))
@given(st.data(), st.integers(1, 5))
def test_a_small_history_answers_truly_or_not_at_all(data: st.DataObject, records_max: int) -> None:
    """M10: within its bound a history gives the answers of an unbounded one, or says that it has forgotten."""
    time, schema = Time(), data.draw(schemas())
    machine: Machine[str] = Machine(schema)
    whole, small = History(machine, time, records_max=10_000), History(machine, time, records_max=records_max)
    run(data, machine, time)
    start, end = data.draw(INTERVALS)

    assert small.records == whole.records[-records_max:]
    if small.known_since < start:
        assert small.ticks_at(start) == whole.ticks_at(start)
    for name in schema.names:
        for one, other in zip(questions(small), questions(whole), strict=True):
            true = other(name, start, end)
            try:
                assert one(name, start, end) == true
            except Forgotten:
                assert start <= small.known_since


def questions(history: History[str]) -> list[Callable[[str, float, float], bool]]:
    """All that take an interval."""
    return [
        history.activated_between,
        history.deactivated_between,
        history.active_between,
        history.inactive_between,
    ]


@settings(max_examples=count("machine_examples"))
@given(st.data())
def test_history_goes_on_under_another_schema(data: st.DataObject) -> None:
    """M10: over `evolve` the periods of a state are closed when it is gone, and ticks are those of the machine."""
    time = Time()
    machine = Machine(data.draw(schemas()))
    history = History(machine, time, records_max=10_000)
    names = set(machine.schema.names)
    for _ in range(data.draw(st.integers(1, 2))):
        for mutation in data.draw(mutations(machine.schema, 4)):
            time.now += 1
            mutate(machine, mutation)
        time.now += 1
        machine.evolve(data.draw(schemas()))
        names |= set(machine.schema.names)

    assert history.ticks_at(time.now) == dict(zip(machine.schema.names, machine.time, strict=True))
    for name in names:
        is_active = name in machine.schema.definitions and name in machine
        periods = history.activations(name)
        assert all(each.ended is not None for each in periods[:-1])
        assert history.active_between(name, time.now + 1, time.now + 2) == is_active
        assert bool(periods and periods[-1].ended is None) == is_active


def two() -> tuple[Machine[str], Time]:
    """A machine of two rivals, and a clock."""
    machine: Machine[str] = Machine(Schema({"a": Definition(remove=["b"]), "b": Definition(remove=["a"])}), "two")
    return machine, Time()


def test_a_filter_filters() -> None:
    """M10: a state that was never touched was not activated, and one that is active still was not deactivated."""
    machine, time = two()
    history = History(machine, time)
    time.now = 5
    machine.add("a")

    assert not history.activated_between("b", 0, 9)
    assert not history.deactivated_between("a", 0, 9)
    assert history.activated_between("a", 0, 9)
    assert not history.activated_between("a", 0, 4)
    assert not history.active_between("a", 0, 4)
    assert history.active_between("a", 5, 5)
    assert history.inactive_between("a", 5, 5)
    assert not history.inactive_between("a", 6, 9)


def test_what_is_open_at_the_start_counts() -> None:
    """M10: a state that was active before the history began is active in an interval from then on, and was not begun."""
    machine, time = two()
    machine.add("a")
    history = History(machine, time)
    time.now = 3
    machine.remove("a")

    assert history.activations("a") == [Activation(1, None, 3)]
    assert history.active_between("a", 0, 1)
    assert history.active_between("a", 3, 4), "it ended in that very moment"
    assert not history.active_between("a", 3.5, 4)
    assert not history.activated_between("a", 0, 9)
    with pytest.raises(Forgotten, match=r"History of two.*its knowledge begins at 0"):
        history.activated_between("a", -1, 9)
    with pytest.raises(Forgotten):
        history.ticks_at(-1)


def test_a_multi_that_is_called_again_was_active_all_the_time() -> None:
    """M10: it is a period that ends and one that begins, with no moment between in which the state was not active."""
    machine: Machine[str] = Machine(Schema({"m": Definition(multi=True), "a": PLAIN}), "multi")
    time = Time()
    history = History(machine, time)
    for time.now in (1, 2):
        machine.add("m")

    assert history.activations("m") == [Activation(1, 1, 2), Activation(3, 2, None, renewed=True)]
    assert history.deactivated_between("m", 2, 2)
    assert not history.inactive_between("m", 2, 9)
    machine.remove("m")
    machine.add("m")
    assert history.inactive_between("m", 2, 9), "it left and came back in one moment"


def test_what_is_dropped_is_not_guessed() -> None:
    """M10: of the time of the last dropped record only the outcome is known; a yes that is still known is a yes."""
    machine, time = two()
    machine.add("b")
    history = History(machine, time, records_max=1)
    for time.now, state in ((1, "a"), (2, "b"), (4, "a")):
        machine.add(state)

    assert history.known_since == 2
    assert history.ticks_at(2)["b"] == 3
    assert history.active_between("b", 2, 2)
    assert history.deactivated_between("b", 0, 9), "at 4, whatever was before"
    assert not history.activated_between("b", 2.5, 9)
    for start in (0, 2):
        with pytest.raises(Forgotten, match=r"keeps 1 records \(records_max\)"):
            history.activated_between("b", start, 9)
    with pytest.raises(Forgotten):
        history.active_between("b", 0, 1)
    with pytest.raises(Forgotten):
        history.inactive_between("a", 0, 1)
    with pytest.raises(Forgotten):
        history.ticks_at(1)


def test_records_tell_what_was_asked_for_and_what_came_of_it() -> None:
    """M10: number, operation, called states, ticks, time, source, acceptance and reason; what is canceled if wanted."""
    machine: Machine[str] = Machine(Schema({"a": Definition(auto=True, require=["b"]), "b": PLAIN, "c": PLAIN}), "abc")
    time = Time()
    history = History(machine, time, states=["a", "b"], called=True, rejected=True)
    time.now = 1.5
    machine.add("b")
    machine.add("b")
    machine.add("c")
    machine.remove("b")
    machine.add("a")

    rows = [(r.op, r.called, r.is_auto, r.accepted, r.before.active, r.after.active) for r in history.records]
    assert rows == [
        ("add", ("b",), False, True, (), ("b",)),
        ("add", ("a",), True, True, ("b",), ("a", "b")),
        ("add", ("b",), False, True, ("a", "b"), ("a", "b")),
        ("remove", ("b",), False, True, ("a", "b", "c"), ("c",)),
        ("add", ("a",), True, False, ("c",), ("c",)),
        ("add", ("a",), False, False, ("c",), ("c",)),
    ]
    assert [record.number for record in history.records] == [1, 2, 3, 5, 6, 7]
    assert {record.at for record in history.records} == {1.5}
    assert history.records[-1].reason == "the relations do not let a be active"
    assert history.records[0].after.tick("b") == 1
    assert history.records[0].source is None
    machine.can_add("a")
    assert len(history) == 6, "a dry run is none"


def test_a_record_knows_its_source() -> None:
    """M9, M10: a mutation made in a transition of another machine is recorded with that transition."""
    machine, time = two()
    history = History(machine, time)
    other: Machine[str] = Machine(Schema({"x": PLAIN}), "other")

    def add(owner: object, transition: Transition) -> None:
        machine.add("a")

    other.bind(HandlerTable([Handler(Slot(Kind.ENTERED, "x"), add)]))
    other.add("x")

    source = history.records[0].source
    assert source is not None
    assert (source.machine, source.transition) == ("other", 1)


def test_latest_and_match_take_a_predicate() -> None:
    """M10: the newest first within a limit, or all, the oldest first; the predicate sees records."""
    machine, time = two()
    history = History(machine, time)
    for number in range(6):
        time.now = number
        machine.toggle("a" if number % 3 else "b")

    assert [record.at for record in history.latest(2)] == [5, 4]
    assert [record.at for record in history.latest(9, lambda record: record.activated("b"))] == [3, 0]
    assert [record.at for record in history.match(lambda record: record.deactivated("a"))] == [2, 5]
    assert history.latest(0) == []
    with pytest.raises(ValueError, match="limit is -1"):
        history.latest(-1)


def test_time_never_goes_back() -> None:
    """M10: a clock that is set back does not bring the records out of order."""
    machine, time = two()
    time.now = 10
    history = History(machine, time)
    time.now = 3
    machine.add("a")

    assert [record.at for record in history.records] == [10]


def test_what_no_tracer_was_told_of_is_noticed() -> None:
    """M10: an import moves clocks without a transition; the history says so, and its ticks are right again."""
    machine, time = two()
    history = History(machine, time)
    machine.add("a")
    exported = machine.export()
    machine.add("b")
    time.now = 7
    machine.load(exported)

    assert history.records[-1].op == UNSEEN
    assert history.ticks_at(7)["a"] == 1
    assert history.deactivated_between("b", 7, 7)
    assert [(each.tick, each.ended) for each in history.activations("a")] == [(1, 0), (1, None)]
    assert [(each.tick, each.ended) for each in history.activations("b")] == [(1, 7)]
    machine.remove("a")
    assert [record.op for record in history.records] == ["add", "add", UNSEEN, "remove"]


def test_only_tracked_states_are_recorded() -> None:
    """M10: a question about a state that is not recorded is an error that names those that are."""
    machine, time = two()
    history = History(machine, time, states=["a"])
    machine.add("b")
    assert len(history) == 0
    machine.add("a")
    assert len(history) == 1
    assert history.ticks_at(0) == {"a": 1}
    with pytest.raises(NotTracked, match=r"'b'.*not one of its `states`.*'a'"):
        history.active_between("b", 0, 1)
    with pytest.raises(UnknownState, match="the states are"):
        history.active_between("zzz", 0, 1)
    with pytest.raises(UnknownState, match="no state is called 'zzz'"):
        History(machine, time, states=["zzz"])


def test_mistakes_are_named() -> None:
    """M10: an interval that ends before it begins, and a history without room."""
    machine, time = two()
    with pytest.raises(ValueError, match="from 2 to 1 ends before it begins"):
        History(machine, time).active_between("a", 2, 1)
    with pytest.raises(ValueError, match="records_max is 0"):
        History(machine, time, records_max=0)
    assert repr(History(machine, time)) == "<History of two: 0 of 1000 records>"


def test_a_closed_history_keeps_what_it_has() -> None:
    """M10: after its block it records no more, and answers still."""
    machine, time = two()
    with History(machine, time) as history:
        machine.add("a")
    machine.add("b")

    assert history.is_closed
    assert [record.called for record in history.records] == [("a",)]
    assert history.active_between("a", 0, 1)


def test_a_clock_that_raises_costs_the_history_only() -> None:
    """M9: the machine goes on, the history is detached, and that is reported once."""
    machine, time = two()
    keeper = Keeper()
    machine.set_shell(keeper)
    history = History(machine, time)
    time.now = math.nan
    del time.now

    assert machine.add("a")
    assert machine.add("b")
    assert keeper.failed == [history]
